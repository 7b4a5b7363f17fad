"""What every place that images come from keeps to: `folder`, `csv_source`, `timm_source`, `in_memory` and `shapes`."""

from collections.abc import Sequence
from typing import Protocol

from tlexp.data.checked import Reading
from tlexp.data.counts import Counts
from tlexp.data.groups import Grouper
from tlexp.data.images import Source


class Origin(Protocol):
    """Where images come from."""

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """Return the images in two splits, checked.

        Args:
            classes: Those to use, in any order; all when None.
            at_least: So many classes are needed.
            source_seed: Renders shapes, and splits off a held-out fifth where none is given.
            reading: How files are read.

        Raises:
            DataError: The images do not allow a run.
        """
        ...

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the names of the classes to use without reading an image.

        Raises:
            DataError: The images are missing or lie in no usable form, or a class is not there.
        """
        ...

    def counts(self, *, classes: Sequence[str] | None, at_least: int, grouper: Grouper | None = None) -> Counts | None:
        """Return how many images there are of each class to use; None where only opening them could tell.

        Args:
            classes: As `open`.
            at_least: As `open`.
            grouper: Says which images belong together; each stands for itself when None.

        Raises:
            DataError: As `class_names`; a class has no image, or one alone where a fifth is held out; so with groups;
                images have no group.
        """
        ...
