"""How many images each class has in each split, by what is listed: none is opened."""

from collections.abc import Sequence
from dataclasses import dataclass

from tlexp.config.labels import LabelBudget
from tlexp.data.budget import require_budget, split_counts
from tlexp.data.files import Listing


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images of each class, K numbers a split.

    Attributes:
        classes: Names in the order of the labels.
        pool: What label budgets are drawn from.
        held_out: The test split.
        split_off: Whether the test split is a fifth of what is given, which comes in one part.
        estimated: So many of the last classes are split as is known only when copies are left out.
    """

    classes: tuple[str, ...]
    pool: tuple[int, ...]
    held_out: tuple[int, ...]
    split_off: bool
    estimated: int = 0

    def with_class(self, name: str, images: int) -> "Counts":
        """Return them with one more class, of which as large a share is held out as of all others together.

        Raises:
            DataError: It has a single image, which cannot be on both sides.
        """
        share = sum(self.held_out) / (sum(self.pool) + sum(self.held_out))
        pool, held_out = split_counts([images], classes=[name], share=share)
        return Counts(
            classes=(*self.classes, name),
            pool=(*self.pool, *pool),
            held_out=(*self.held_out, *held_out),
            split_off=self.split_off,
            estimated=self.estimated + 1,
        )

    def require(self, budget: LabelBudget) -> None:
        """Refuse a label budget that a class cannot fill, whatever reading leaves out; estimated ones are not asked.

        Raises:
            DataError: As said.
        """
        known = slice(len(self.classes) - self.estimated)
        held_out = self.held_out[known] if self.split_off else None
        require_budget(budget, self.pool[known], classes=self.classes[known], held_out=held_out)


def count_listed(classes: Sequence[str], pool: Listing, held_out: Listing | None) -> Counts | None:
    """Return how many images each class has; None where links and the like are refused, which only reading can weigh.

    Raises:
        DataError: A class has a single image, and no test split is given.
    """
    if pool.refused or (held_out is not None and held_out.refused):
        return None
    given = _per_class(pool, len(classes))
    if held_out is None:
        left, tested = split_counts(given, classes=classes)
        return Counts(classes=tuple(classes), pool=left, held_out=tested, split_off=True)
    return Counts(classes=tuple(classes), pool=given, held_out=_per_class(held_out, len(classes)), split_off=False)


def _per_class(listing: Listing, classes: int) -> tuple[int, ...]:
    counts = [0] * classes
    for file in listing.files:
        counts[file.label] += 1
    return tuple(counts)
