"""Near copies: images that show the same picture, or a part of it, resized, compressed anew or mirrored.

Perceptual hashes and frozen features propose pairs, and the alignment of their small grey pictures confirms them:
hashes lose crops, and features tell a photograph that was compressed anew from its original no better than from another
one of a cat. What is confirmed depends on how much strangers in the same set are alike. N images, P pairs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Positions
from tlexp.doctor.alignment import correlations
from tlexp.doctor.fingerprint import ODD, Fingerprints, Signs, distances, signs
from tlexp.doctor.strangers import Features, Pairs, cosines, random_pairs, usual

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
_VALUES: Final = 1 << 25
"""Similarities that are held at once: 128 MiB."""


class Likeness(StrEnum):
    """How one image of a pair comes from the other."""

    same = "same picture"
    mirrored = "mirrored"
    part = "a part of it"


@dataclass(frozen=True, kw_only=True)
class NearCopies:
    """Pairs of near copies, sorted.

    An image has at most 8 pairs with later ones, the nearest, so that many copies of one image are still connected.

    Attributes:
        first: The earlier image of each pair, (P,).
        second: The later one, (P,).
        correlation: Of their pictures, aligned, (P,) float32 up to 1.
        cosine: Of their features, (P,) float32.
        distance: Signs of 64 in which their hashes differ, (P,) float32.
        likeness: How one comes from the other, P of them.
        at_least: The correlation that is asked for in this set.
    """

    first: Positions
    second: Positions
    correlation: NDArray[np.float32]
    cosine: NDArray[np.float32]
    distance: NDArray[np.float32]
    likeness: tuple[Likeness, ...]
    at_least: float

    @property
    def pairs(self) -> Pairs:
        """Return the positions, (P, 2)."""
        return np.stack([self.first, self.second], axis=1)


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
    pairs = _proposed(signs(fingerprints), features, progress)
    strangers = random_pairs(len(features))
    looks = usual(_aligned(fingerprints, strangers, at_least=np.inf))  # half as fine is enough for a median
    meanings = usual(cosines(features, strangers))
    at_least = 1 - _LEFT * (1 - looks)
    correlation, cosine = _aligned(fingerprints, pairs, at_least=at_least), cosines(features, pairs)
    plain, mirrored = _differing(signs(fingerprints), pairs)
    hashed = np.minimum(plain, mirrored) <= _DISTANCE
    left = (1 - correlation) * (1 - cosine) / (1 - looks) / (1 - meanings)
    kept = np.flatnonzero((correlation >= at_least) & (hashed | (left <= _PART_LEFT)))
    return NearCopies(
        first=pairs[kept, 0],
        second=pairs[kept, 1],
        correlation=correlation[kept],
        cosine=cosine[kept],
        distance=np.minimum(plain, mirrored)[kept],
        likeness=tuple(map(_likeness, plain[kept].tolist(), mirrored[kept].tolist())),
        at_least=at_least,
    )


def _aligned(fingerprints: Fingerprints, pairs: Pairs, *, at_least: float) -> NDArray[np.float32]:
    return correlations(fingerprints[pairs[:, 0]], fingerprints[pairs[:, 1]], at_least=at_least)


def _likeness(plain: float, mirrored: float) -> Likeness:
    if min(plain, mirrored) > _DISTANCE:
        return Likeness.part
    return Likeness.same if plain <= mirrored else Likeness.mirrored


def _differing(hashes: Signs, pairs: Pairs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return in how many signs the images of each pair differ, as they are and mirrored, (P,) each."""
    same = hashes[pairs[:, 0]] * hashes[pairs[:, 1]]
    even, odd = same[:, ~ODD].sum(1), same[:, ODD].sum(1)
    return (len(ODD) - even - odd) / 2, (len(ODD) - even + odd) / 2


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
