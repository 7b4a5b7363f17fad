"""Images that show the same: near copies, bursts, and the groups that both make."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.doctor.gallery import Gallery


@dataclass(frozen=True, kw_only=True)
class Kin:
    """Two images that are near copies, by their places.

    Attributes:
        first: The one that comes first.
        second: The other one.
        similarity: How sure that is, at most 1.
    """

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """What of a gallery shows the same.

    Attributes:
        pairs: Near copies, the most similar first; of many copies of one image some pairs alone.
        copies: Number of what each image shows, (N,) int64: near copies have the same, directly or over others.
        groups: Number of each image's group, near copies and bursts together, (N,) int64; one alone has its own.
    """

    pairs: tuple[Kin, ...]
    copies: NDArray[np.int64]
    groups: NDArray[np.int64]

    @property
    def large(self) -> list[NDArray[np.int64]]:
        """The places of each group of several images, the largest first."""
        order = np.argsort(self.groups, kind="stable")
        ends = np.flatnonzero(np.diff(self.groups[order])) + 1
        parts = [np.sort(part) for part in np.split(order, ends) if len(part) > 1]
        return sorted(parts, key=lambda part: (-len(part), int(part[0])))

    def across_splits(self, gallery: Gallery) -> list[Kin]:
        """Return the pairs of an image that is tested and one that is learned from."""
        return [pair for pair in self.pairs if gallery.tested[pair.first] != gallery.tested[pair.second]]

    def across_classes(self, gallery: Gallery) -> list[Kin]:
        """Return the pairs of images whose labels differ."""
        return [pair for pair in self.pairs if gallery.labels[pair.first] != gallery.labels[pair.second]]

    def leaked(self, gallery: Gallery) -> list[int]:
        """Return the places of the test images that show what a training image shows."""
        return [place for place in self._apart(gallery.tested, self.across_splits(gallery)) if gallery.tested[place]]

    def torn(self, gallery: Gallery) -> list[int]:
        """Return the places of the images that show what an image of another label shows."""
        return self._apart(gallery.labels, self.across_classes(gallery))

    def _apart(self, values: NDArray[Any], pairs: Iterable[Kin]) -> list[int]:
        """Return the places of near copies of several values (N,); those of pairs in any case."""
        mixed = _several(self.copies, values)
        mixed[[place for pair in pairs for place in (pair.first, pair.second)]] = True
        return np.flatnonzero(mixed).tolist()


def _several(groups: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which images are of a group (N,) that has several values (N,), (N,)."""
    _, coded = np.unique(values, return_inverse=True)
    found = np.unique(np.stack([groups, coded]), axis=1)[0]
    return np.bincount(found, minlength=1)[groups] > 1
