"""The user's own images in folders, one per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.checked import Found, Reading, check
from tlexp.data.decode import printable
from tlexp.data.images import Source
from tlexp.data.listing import find_layout, list_images


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of images, see `listing`.

    Attributes:
        root: Where it lies.
        follow_links: Follow links out of it.
    """

    root: Path
    follow_links: bool

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """List, read and check the images; a fifth is held out where the folder has no test split.

        Raises:
            DataError: The folder has no usable form; images cannot be read (all of them in one message); a class is
                empty.
        """
        links = self.follow_links
        layout = find_layout(self.root, follow_links=links, classes=classes, at_least=at_least)
        found = Found(
            where=f"data.root={printable(str(layout.root))}",
            classes=layout.classes,
            pool=list_images(layout.pool, layout, follow_links=links),
            held_out=None if layout.held_out is None else list_images(layout.held_out, layout, follow_links=links),
            notes=layout.notes,
        )
        return check(found, reading, source_seed=source_seed)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the names of the class folders."""
        return find_layout(self.root, follow_links=self.follow_links, classes=classes, at_least=at_least).classes
