"""Images that show the same: near copies, bursts, and the groups that both make."""

from collections.abc import Iterable
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
        """Return the pairs of an image that is held out and one that is learned from."""
        held_out, learned = gallery.held_out, gallery.learned
        return [
            pair
            for pair in self.pairs
            if (learned[pair.first] and held_out[pair.second]) or (held_out[pair.first] and learned[pair.second])
        ]

    def across_classes(self, gallery: Gallery) -> list[Kin]:
        """Return the pairs of images whose labels differ."""
        return [pair for pair in self.pairs if gallery.labels[pair.first] != gallery.labels[pair.second]]

    def leaked(self, gallery: Gallery) -> list[int]:
        """Return the places of the held-out images that show what a training image shows."""
        leaking = np.isin(self.copies, self.copies[gallery.learned])
        leaking[_places(self.across_splits(gallery))] = True
        return np.flatnonzero(leaking & gallery.held_out).tolist()

    def burst(self, gallery: Gallery) -> list[int]:
        """Return the places of the held-out images of groups with a training image that are near copies of none."""
        both = gallery.held_out & np.isin(self.groups, self.groups[gallery.learned])
        both[self.leaked(gallery)] = False
        return np.flatnonzero(both).tolist()

    def torn(self, gallery: Gallery) -> list[int]:
        """Return the places of the images that show what an image of another label shows."""
        of_copies = np.unique(np.stack([self.copies, gallery.labels]), axis=1)[0]
        mixed = np.bincount(of_copies, minlength=1)[self.copies] > 1
        mixed[_places(self.across_classes(gallery))] = True
        return np.flatnonzero(mixed).tolist()


def _places(pairs: Iterable[Kin]) -> list[int]:
    return [place for pair in pairs for place in (pair.first, pair.second)]
