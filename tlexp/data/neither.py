"""One more class: images that show none of the others, from a folder of their own."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.data.budget import hold_out
from tlexp.data.checked import CheckedImages, Reading, conversions, read_all
from tlexp.data.classes import NEITHER
from tlexp.data.decode import printable
from tlexp.data.images import Images, Joined, Source, Subset, describe, digest_lines, repeats
from tlexp.data.listing import list_tree
from tlexp.errors import DataError

_SETTING = "data.neither"


def add_neither(source: Source, folder: Path, *, source_seed: int, reading: Reading) -> Source:
    """Return the source with one more class, the last one, so that budgets of the others stay as they are.

    As large a share of its images is held out as of all others together.

    Args:
        source: The other classes.
        folder: Images at any depth.
        source_seed: Draws what is held out.
        reading: How files are read.

    Raises:
        DataError: There is such a class already; the folder cannot be used; an image is also one of another class.
    """
    where = f"{_SETTING}={printable(str(folder))}"
    if NEITHER in source.classes:
        raise DataError(f"{where}: there is a class {NEITHER} already; rename that one, or leave out {_SETTING}")
    listing = list_tree(folder, setting=_SETTING, prefix=f"{NEITHER}:", follow_links=reading.follow_links)
    (checked,), skipped = read_all([listing], [NEITHER], reading, where=where)
    images = CheckedImages(checked=checked, max_pixels=reading.max_pixels)
    _require_new(images, [source.pool, source.held_out], where)
    share = len(source.held_out.labels) / (len(source.pool.labels) + len(source.held_out.labels))
    parts = hold_out(images.labels, seed=source_seed, classes=[NEITHER], share=share)
    pool, held_out = (_subset(images, places, len(source.classes)) for places in parts)
    return dataclasses.replace(
        source,
        classes=(*source.classes, NEITHER),
        pool=Joined(parts=(source.pool, pool)),
        held_out=Joined(parts=(source.held_out, held_out)),
        digest=digest_lines([[NEITHER], source.digest, *describe(pool), ["held out"], *describe(held_out)]),
        skipped=(*source.skipped, *skipped),
        notes=(*source.notes, *conversions(checked), *repeats(pool, held_out, f"held-out images of {_SETTING}")),
    )


def _subset(images: CheckedImages, places: NDArray[np.int64], label: int) -> Subset:
    return Subset(images=images, places=places, labels=np.full(len(places), label, np.int64))


def _require_new(images: CheckedImages, others: Sequence[Images], where: str) -> None:
    """Refuse images that are shown as one of the other classes too."""
    known = {digest: name for part in others for name, _, digest in describe(part)}
    both = [(item.file.name, known[item.digest]) for item in images.checked if item.digest in known]
    if both:
        raise DataError(
            f"{where}: {len(both)} images are also of another class, e.g. {both[0][0]} = {both[0][1]}; remove them, or "
            "name a folder that lies apart from the classes"
        )
