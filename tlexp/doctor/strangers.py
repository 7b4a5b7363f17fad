"""How alike images are that have nothing to do with each other: much where all show the same kind of thing."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Pairs, blocks

Features = NDArray[np.float32]
"""Frozen features of unit length, (N, D) float32."""

_PAIRS: Final = 256
_MOST: Final = 0.8
"""Strangers are not taken for more alike than this: all images of a small set may be copies."""


def random_pairs(count: int) -> Pairs:
    """Return pairs of different images among so many, drawn the same each time; none where there is one image.

    >>> random_pairs(2)[:3].tolist(), random_pairs(1).tolist()
    ([[1, 0], [1, 0], [1, 0]], [])
    """
    generator = np.random.default_rng(0)
    first = generator.integers(0, max(1, count), _PAIRS if count > 1 else 0)
    return np.stack([first, (first + generator.integers(1, max(2, count), len(first))) % max(1, count)], axis=1)


def usual(similar: NDArray[np.float32]) -> float:
    """Return the median similarity (P,) of strangers, in [0, 0.8]; 0 where there are none."""
    return min(max(float(np.median(similar)), 0.0), _MOST) if len(similar) else 0.0


def cosines(features: Features, pairs: Pairs) -> NDArray[np.float32]:
    """Return the cosine of the two features of each pair, (P,) float32."""
    each = (np.einsum("pd,pd->p", features[block[:, 0]], features[block[:, 1]]) for block in blocks(pairs))
    return np.concatenate([*each])
