"""Images that show the same: near copies, bursts, and the groups that both make."""

from dataclasses import dataclass

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
        pairs: Near copies, the most similar first.
        groups: Number of each image's group, near copies and bursts together, (N,) int64; one alone has its own.
    """

    pairs: tuple[Kin, ...]
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
        """Return the places of the test images that have a near copy in training."""
        both = {place for pair in self.across_splits(gallery) for place in (pair.first, pair.second)}
        return sorted(place for place in both if gallery.tested[place])
