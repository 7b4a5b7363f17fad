"""Near copies: images that show the same picture, or a part of it, resized, compressed anew or mirrored.

Perceptual hashes and frozen features propose pairs, and the alignment of their small grey pictures confirms them:
hashes lose crops, and features tell a photograph that was compressed anew from its original no better than from another
one of a cat. What is confirmed depends on how much strangers in the same set are alike. N images, P pairs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Pairs, blocks
from tlexp.doctor.alignment import correlations
from tlexp.doctor.fingerprint import ODD, Fingerprints, Signs, distances, signs
from tlexp.doctor.strangers import Features, cosines, random_pairs, usual

OnRows = Callable[[int, int], None]
"""Called with (images compared, images in all)."""

_DISTANCE: Final = 10
"""Signs of 64 in which two hashes may differ; 13 and more between any two of 1,000 photographs."""
_COSINE: Final = 0.5
_PROPOSED: Final = 4
"""Later images that each image is compared with closely, by either."""
_LEFT: Final = 0.1
"""1 - correlation of near copies, as a share of that of strangers."""
_PART_LEFT: Final = 0.02
"""The same times that of the features, where the hashes differ: two ships on a horizon fit in each other, too."""
_VALUES: Final = 1 << 23
"""Similarities of one block: 32 MiB, of which some five are held at once."""


@dataclass(frozen=True, kw_only=True)
class NearCopies:
    """Pairs of near copies, sorted.

    An image has at most 8 pairs with later ones, the nearest, so that many copies of one image are still connected.

    Attributes:
        pairs: Positions, the earlier image of each pair first, (P, 2).
        correlation: Of their pictures, aligned, (P,) float32 up to 1.
    """

    pairs: Pairs
    correlation: NDArray[np.float32]


def find_near_copies(
    fingerprints: Fingerprints, features: Features, progress: OnRows = lambda done, count: None
) -> NearCopies:
    """Return the pairs of near copies among images.

    Time grows with N squared, one product of the features with themselves; memory with N alone.

    Args:
        fingerprints: Of the images, (N, 32, 32) uint8.
        features: Of the images, (N, D) float32 of unit length.
        progress: Is told how far it is.
    """
    hashes = signs(fingerprints)
    pairs = _proposed(hashes, features, progress)
    strangers = random_pairs(len(features))
    looks = usual(correlations(fingerprints, strangers, at_least=np.inf))  # half as fine is enough for a median
    meanings = usual(cosines(features, strangers))
    at_least = 1 - _LEFT * (1 - looks)
    correlation, cosine = correlations(fingerprints, pairs, at_least=at_least), cosines(features, pairs)
    hashed = _differing(hashes, pairs) <= _DISTANCE
    left = (1 - correlation) * (1 - cosine) / (1 - looks) / (1 - meanings)
    kept = np.flatnonzero((correlation >= at_least) & (hashed | (left <= _PART_LEFT)))
    return NearCopies(pairs=pairs[kept], correlation=correlation[kept])


def _differing(hashes: Signs, pairs: Pairs) -> NDArray[np.float32]:
    """Return in how many signs the images of each pair differ, as they are or mirrored, (P,)."""
    same = (hashes[block[:, 0]] * hashes[block[:, 1]] for block in blocks(pairs))
    return np.concatenate([(len(ODD) - each[:, ~ODD].sum(1) - np.abs(each[:, ODD].sum(1))) / 2 for each in same])


def _proposed(hashes: Signs, features: Features, progress: OnRows) -> Pairs:
    """Return pairs of images to compare, each the earlier and the later one, sorted, (P, 2)."""
    count = len(hashes)
    found = [np.empty((0, 2), np.int64)]
    rows = max(1, _VALUES // max(1, count))
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        near = -np.minimum(*distances(hashes[start:stop], hashes[start:]))
        found += [start + pair for pair in _nearest(near, -_DISTANCE)]
        found += [start + pair for pair in _nearest(features[start:stop] @ features[start:].T, _COSINE)]
        progress(stop, count)
    return np.unique(np.concatenate(found), axis=0)


def _nearest(similar: NDArray[np.float32], at_least: float) -> Iterator[NDArray[np.int64]]:
    """Yield for each row its nearest later columns that are similar enough, as pairs (n, 2) of row and column.

    Of images that are all alike, each but the last has a pair with a later one: following them, all are connected.
    """
    for row, values in enumerate(similar):
        columns = row + 1 + np.flatnonzero(values[row + 1 :] >= at_least)
        if len(columns) > _PROPOSED:
            columns = columns[np.argpartition(-values[columns], _PROPOSED)[:_PROPOSED]]
        yield np.stack([np.full(len(columns), row), columns], axis=1)
