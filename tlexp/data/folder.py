"""The user's own images in folders, one per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.checked import Found, Reading, check
from tlexp.data.counts import Counts
from tlexp.data.decode import printable
from tlexp.data.groups import Grouper
from tlexp.data.images import Source
from tlexp.data.listing import Layout, deeper_notes, find_layout, find_trees, list_images, meant_root


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of images, or two, see `listing`.

    Attributes:
        root: Where it lies; None where training and test folder are named apart.
        train: The training folder; None where there is a root.
        test: The test folder; None where it is below the root, or split off.
        follow_links: Follow links out of it.
    """

    root: Path | None = None
    train: Path | None = None
    test: Path | None = None
    follow_links: bool

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """List, read and check the images; a fifth is held out where the folder has no test split.

        Raises:
            DataError: The folder has no usable form; images cannot be read (all of them in one message); a class is
                empty.
        """
        return check(self._listed(classes, at_least), reading, source_seed=source_seed)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the names of the class folders."""
        return self._layout(classes, at_least).classes

    def counts(self, *, classes: Sequence[str] | None, at_least: int, grouper: Grouper | None = None) -> Counts | None:
        """Return how many image files each class folder holds."""
        return self._listed(classes, at_least).counts(grouper)

    def _listed(self, classes: Sequence[str] | None, at_least: int) -> Found:
        """Return what lies there."""
        layout = self._layout(classes, at_least)
        pool = list_images(layout.pool, layout, follow_links=self.follow_links)
        tested = layout.held_out
        return Found(
            where=layout.shown(layout.pool if layout.root is None else layout.root),
            classes=layout.classes,
            pool=pool,
            held_out=None if tested is None else list_images(tested, layout, follow_links=self.follow_links),
            pool_from=self._told(layout, layout.pool),
            held_out_from=None if tested is None else self._told(layout, tested),
            notes=(*layout.notes, *deeper_notes(layout.pool, layout, pool)),
            meant=meant_root(layout, pool),
        )

    def _layout(self, classes: Sequence[str] | None, at_least: int) -> Layout:
        if self.train is not None:
            return find_trees(self.train, self.test, follow_links=self.follow_links, classes=classes, at_least=at_least)
        assert self.root is not None  # a configuration with neither has problems
        return find_layout(self.root, follow_links=self.follow_links, classes=classes, at_least=at_least)

    def _told(self, layout: Layout, split: Path) -> str:
        """Return a split as the user knows it: as it was typed, or below the root that was."""
        if layout.root is None or split == layout.root:
            typed = self.root or (self.train if split == layout.pool else self.test)
            return f"{printable(str(typed)).rstrip('/')}/"
        return f"{printable(str(split.relative_to(layout.root)))}/"
