"""A second held-out set of the same classes, from another domain: read once, like the test split."""

import dataclasses
from pathlib import Path

from tlexp.data.checked import CheckedImages, Reading, conversions, read_all
from tlexp.data.decode import printable
from tlexp.data.images import Source, describe, digest_lines, repeats
from tlexp.data.listing import list_classes

_SETTING = "data.shifted"


def add_shifted(source: Source, folder: Path, *, some: bool, reading: Reading) -> Source:
    """Return the source with a shifted set beside the test split.

    Args:
        source: The run's images.
        folder: One folder for each class, no more and no fewer: else its measures would not compare with the test's.
        some: Whether the run leaves out classes of its source, which the folder may then have too.
        reading: How files are read.

    Raises:
        DataError: The folder cannot be used or has other classes; images cannot be read.
    """
    listing = list_classes(
        folder,
        source.classes,
        others=some,
        setting=_SETTING,
        prefix="shifted:",
        follow_links=reading.follow_links,
    )
    where = f"{_SETTING}={printable(str(folder))}"
    (checked,), skipped = read_all([listing], source.classes, reading, where=where)
    images = CheckedImages(checked=checked, max_pixels=reading.max_pixels)
    return dataclasses.replace(
        source,
        shifted=images,
        digest=digest_lines([["shifted"], source.digest, *describe(images)]),
        skipped=(*source.skipped, *skipped),
        notes=(*source.notes, *conversions(checked), *repeats(source.pool, images, f"images of {_SETTING}")),
    )
