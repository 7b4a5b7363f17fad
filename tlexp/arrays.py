"""The arrays that images are spoken of in: N images, K classes."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
"""Places of images among others, (N,) int64."""
Labels = NDArray[np.int64]
"""The class of each image, 0..K-1, (N,) int64."""
Pairs = NDArray[np.int64]
"""Two places of images each, (P, 2) int64."""
Logits = NDArray[np.float32]
"""What a head gives for each image, (N, K) float32."""

_BLOCK = 4096
_Scalar = TypeVar("_Scalar", bound=np.generic)


def blocks(rows: NDArray[_Scalar]) -> list[NDArray[_Scalar]]:
    """Return rows (N, ...) in parts of 4,096 at most, none of them copied; one part where there are no rows.

    >>> [len(part) for part in blocks(np.zeros((5000, 2)))]
    [2500, 2500]
    """
    return np.array_split(rows, max(1, -(-len(rows) // _BLOCK)))
