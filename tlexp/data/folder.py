"""The user's own images in folders, one per class."""

from collections.abc import Sequence
from pathlib import Path

from tlexp.data.checked import Found, Reading, check
from tlexp.data.decode import printable
from tlexp.data.images import Source
from tlexp.data.listing import find_layout, list_images


def open_folder(
    root: Path, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading
) -> Source:
    """List, read and check a folder of images.

    Args:
        root: See `listing`.
        classes: Those to use; all when None.
        at_least: So many classes are needed.
        source_seed: Splits off the held-out fifth where the folder has no test split.
        reading: How files are read.

    Raises:
        DataError: The folder has no usable form; images cannot be read (all of them in one message); a class is empty.
    """
    links = reading.follow_links
    layout = find_layout(root, follow_links=links, classes=classes, at_least=at_least)
    found = Found(
        where=f"data.root={printable(str(layout.root))}",
        classes=layout.classes,
        pool=list_images(layout.pool, layout, follow_links=links),
        held_out=None if layout.held_out is None else list_images(layout.held_out, layout, follow_links=links),
        notes=layout.notes,
    )
    return check(found, reading, source_seed=source_seed)
