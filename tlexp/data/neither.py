"""One more class: images that show none of the others, from a folder of their own."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.data.budget import hold_out
from tlexp.data.checked import CheckedImages, Reading, conversions, read_all
from tlexp.data.classes import NEITHER
from tlexp.data.copies import find_copies
from tlexp.data.decode import printable
from tlexp.data.groups import NEITHER_PREFIX, Groups
from tlexp.data.images import (
    Images,
    Joined,
    Source,
    Subset,
    describe,
    digest_lines,
    grouped_digest,
    subset,
    without,
)
from tlexp.data.listing import list_tree
from tlexp.data.splits import TRAIN
from tlexp.errors import DataError

_SETTING = "data.neither"


def add_neither(source: Source, folder: Path, *, source_seed: int, reading: Reading) -> Source:
    """Return the source with one more class, the last one, so that budgets of the others stay as they are.

    As large a share of its images is held out as of all others together; a group that is on one side stays there.

    Args:
        source: The other classes.
        folder: Images at any depth.
        source_seed: Draws what is held out.
        reading: How files are read.

    Raises:
        DataError: There is such a class already; the folder cannot be used; a class has nothing but copies of others;
            images have no group, or all of them one.
    """
    where = f"{_SETTING}={printable(str(folder))}"
    if NEITHER in source.classes:
        raise DataError(f"{where}: there is a class {NEITHER} already; rename that one, or leave out {_SETTING}")
    listing = list_tree(folder, setting=_SETTING, prefix=NEITHER_PREFIX, follow_links=reading.follow_links)
    stated = reading.more_groups(source.groups, listing, [NEITHER], where=where, prefix=NEITHER_PREFIX)
    (checked,), skipped = read_all([listing], [NEITHER], reading, where=where)
    label = len(source.classes)
    read = _labelled(CheckedImages(checked=checked, decoding=reading.decoding), label)
    splits = {TRAIN: source.pool, "test": source.held_out, NEITHER: read}
    copies = find_copies({split: describe(images) for split, images in splits.items()}, source.copies)
    rest, images = source.without(copies, where=where).regrouped(stated, copies, where=where), without(read, copies)
    groups = rest.groups
    share = len(rest.held_out.labels) / (len(rest.pool.labels) + len(rest.held_out.labels))
    parts = hold_out(
        np.zeros_like(images.labels),
        seed=source_seed,
        classes=[NEITHER],
        share=share,
        groups=None if groups is None else groups.codes(images.names),
        settled=None if groups is None else _sides(rest, images, groups),
    )
    pool, held_out = (subset(images, places) for places in parts)
    digest = digest_lines([[NEITHER], rest.digest, *describe(pool), ["held out"], *describe(held_out)])
    return dataclasses.replace(
        rest,
        classes=(*source.classes, NEITHER),
        pool=Joined(parts=(rest.pool, pool)),
        held_out=Joined(parts=(rest.held_out, held_out)),
        digest=grouped_digest(digest, groups, pool, held_out),
        skipped=(*source.skipped, *skipped),
        notes=(*rest.notes, *conversions(checked)),
    )


def _sides(source: Source, images: Images, groups: Groups) -> NDArray[np.int64]:
    """Return where the groups of images are already, (N,) int64: 0 in the pool, 1 held out alone, -1 on no side."""
    held_out, pool = ({groups.of[name] for name in split.names} for split in (source.held_out, source.pool))
    sides = dict.fromkeys(held_out, 1) | dict.fromkeys(pool, 0)
    return np.array([sides.get(groups.of[name], -1) for name in images.names], np.int64)


def _labelled(images: Images, label: int) -> Images:
    """Return images of one class under another label."""
    count = len(images.labels)
    return Subset(images=images, places=np.arange(count), labels=np.full(count, label, np.int64))
