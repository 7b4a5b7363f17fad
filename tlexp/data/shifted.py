"""A second held-out set of the same classes, from another domain: read once, like the test split."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from tlexp.data.checked import CheckedImages, Reading, conversions, read_all
from tlexp.data.decode import printable
from tlexp.data.images import Source, describe, digest_lines
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
        notes=(*source.notes, *conversions(checked), *_leaks(source, images)),
    )


def _leaks(source: Source, images: CheckedImages) -> Iterator[str]:
    """Say which shifted images may be learned from."""
    pool = {source.pool.digest(index): index for index in range(len(source.pool.labels))}
    places = [place for place in range(len(images.names)) if images.digest(place) in pool]
    if places:
        same = source.pool.names[pool[images.digest(places[0])]]
        yield (
            f"{len(places)} images of {_SETTING} are also in the training pool, e.g. {images.names[places[0]]} = {same}"
        )
