"""What is taken down of each image, and what of a gallery shows the same."""

from collections.abc import Iterator

import numpy as np

from tlexp.data import Source
from tlexp.doctor.bursts import find_bursts
from tlexp.doctor.fingerprint import fingerprint
from tlexp.doctor.gallery import Gallery
from tlexp.doctor.grouping import group_images, groups_csv, named_groups
from tlexp.doctor.kinship import Kin, Kinship
from tlexp.doctor.near_copies import find_near_copies
from tlexp.train import Listener

glance = fingerprint
"""What is taken down of each image when it is read."""


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
