"""A second held-out set of the same classes, from another domain: read once, like the test split."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from tlexp.data.checked import CheckedImages, Reading, conversions, read_all
from tlexp.data.copies import find_copies, require_classes
from tlexp.data.decode import printable
from tlexp.data.groups import SHIFTED_PREFIX
from tlexp.data.images import Images, Source, describe, digest_lines, grouped_digest, without
from tlexp.data.listing import list_classes
from tlexp.data.splits import TRAIN

_SETTING = "data.shifted"


def add_shifted(source: Source, folder: Path, *, some: bool, reading: Reading) -> Source:
    """Return the source with a shifted set beside the test split.

    Args:
        source: The run's images.
        folder: One folder for each class, no more and no fewer: else its measures would not compare with the test's.
        some: Whether the run leaves out classes of its source, which the folder may then have too.
        reading: How files are read.

    Raises:
        DataError: The folder cannot be used or has other classes; images cannot be read; a class has nothing but
            copies; images have no group, or groups are in the training pool as well.
    """
    listing = list_classes(
        folder,
        source.classes,
        others=some,
        setting=_SETTING,
        prefix=SHIFTED_PREFIX,
        follow_links=reading.follow_links,
    )
    where = f"{_SETTING}={printable(str(folder))}"
    stated = reading.more_groups(source.groups, listing, source.classes, where=where, prefix=SHIFTED_PREFIX)
    (checked,), skipped = read_all([listing], source.classes, reading, where=where)
    read = CheckedImages(checked=checked, decoding=reading.decoding)
    splits: dict[str, Images] = {TRAIN: source.pool, "test": source.held_out, "shifted": read}
    copies = find_copies({split: describe(images) for split, images in splits.items()}, source.copies)
    rest, images = source.without(copies, where=where).regrouped(stated, copies, where=where), without(read, copies)
    require_classes(source.classes, {"shifted": images.labels}, copies, where=where)
    found = dataclasses.replace(
        rest,
        shifted=images,
        digest=grouped_digest(digest_lines([["shifted"], rest.digest, *describe(images)]), rest.groups, images),
        skipped=(*source.skipped, *skipped),
        notes=(*rest.notes, *conversions(checked), *_tested_twice(rest.held_out, images)),
    )
    return found.settled(images, split="shifted", where=where)


def _tested_twice(held_out: Images, shifted: Images) -> Iterator[str]:
    """Say how many images both held-out sets have: neither is learned from, so they stay in both."""
    known = {digest: name for name, _, digest in describe(held_out)}
    same = [(name, known[digest]) for name, _, digest in describe(shifted) if digest in known]
    if same:
        yield f"{len(same)} images of {_SETTING} are also in the test split, e.g. {same[0][0]} = {same[0][1]}"
