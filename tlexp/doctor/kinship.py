"""Images that show the same: near copies, bursts, and the groups that both make."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.data import Source
from tlexp.doctor.bursts import find_bursts
from tlexp.doctor.gallery import Gallery
from tlexp.doctor.grouping import group_images, groups_csv, named_groups
from tlexp.doctor.near_copies import find_near_copies
from tlexp.train import Listener


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


def find_kinship(gallery: Gallery, listener: Listener) -> Kinship:
    """Return which images are near copies or of one burst."""
    features = gallery.features.numpy()
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    found = find_near_copies(gallery.fingerprints, features, listener.images)
    grouping = group_images(np.concatenate([found.pairs, find_bursts(gallery.names, features)]), features)
    for size in grouping.loose:
        listener.message(f"{size:,} images are connected by near copies and do not look alike: look at that group")
    pairs = [
        Kin(first=first, second=second, similarity=similarity)
        for (first, second), similarity in zip(found.pairs.tolist(), found.correlation.tolist(), strict=True)
    ]
    return Kinship(
        pairs=tuple(sorted(pairs, key=lambda pair: -pair.similarity)),
        copies=group_images(found.pairs, features).numbers,
        groups=grouping.numbers,
    )


def group_table(source: Source, gallery: Gallery, kinship: Kinship) -> bytes:
    """Return the table that `data.group=` reads: path and group of every image that a run lists.

    Groups that the source has already are joined with those that were found. Images are in it that the run then leaves
    out: exact copies stand with their likes, unreadable files alone.
    """
    unread = [name for name, _ in source.skipped]
    following = int(kinship.groups.max(initial=-1)) + 1
    numbers = np.concatenate([kinship.groups, following + np.arange(len(unread))])
    copies = [(copy.name, copy.same_as) for copy in source.copies]
    return groups_csv(named_groups([*gallery.names, *unread], numbers, [*copies, *_given_pairs(source)]))


def _given_pairs(source: Source) -> Iterator[tuple[str, str]]:
    """Yield each image with the first one of the group that it was given."""
    first: dict[str, str] = {}
    for name, group in sorted(({} if source.groups is None else source.groups.of).items()):
        yield first.setdefault(group, name), name
