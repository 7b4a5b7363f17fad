"""How many images each class has in each split, by what is listed: none is opened."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.config.labels import LabelBudget
from tlexp.data.budget import hold_out, require_budget, split_counts
from tlexp.data.files import Listing
from tlexp.data.groups import Groups


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images of each class, K numbers a split.

    Attributes:
        classes: Names in the order of the labels.
        pool: What label budgets are drawn from.
        held_out: The test split.
        split_off: Whether the test split is a fifth of what is given, which comes in one part.
        estimated: So many of the last classes are split as is known only when copies are left out.
        groups: How many groups the images of the pool and of the test split are; None where each stands for itself.
        leaked: How many of them are in both.
    """

    classes: tuple[str, ...]
    pool: tuple[int, ...]
    held_out: tuple[int, ...]
    split_off: bool
    estimated: int = 0
    groups: tuple[int, int] | None = None
    leaked: int = 0

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


def count_listed(
    classes: Sequence[str], pool: Listing, held_out: Listing | None, groups: Groups | None = None
) -> Counts | None:
    """Return how many images each class has; None where links and the like are refused, which only reading can weigh.

    With groups all classes are estimated: what is split off goes by the groups that are left without copies.

    Raises:
        DataError: A class has a single image, or a single group, and no test split is given.
    """
    if pool.refused or (held_out is not None and held_out.refused):
        return None
    if groups is not None:
        return _count_grouped(classes, pool, held_out, groups)
    given = _per_class(pool, len(classes))
    if held_out is None:
        left, tested = split_counts(given, classes=classes)
        return Counts(classes=tuple(classes), pool=left, held_out=tested, split_off=True)
    return Counts(classes=tuple(classes), pool=given, held_out=_per_class(held_out, len(classes)), split_off=False)


def _count_grouped(classes: Sequence[str], pool: Listing, held_out: Listing | None, groups: Groups) -> Counts:
    """Return how many images each class has where no split parts a group; which ones a seed splits off differs."""
    names = [[file.name for file in listing.files] for listing in (pool, held_out or Listing(files=()))]
    labels = [np.array([file.label for file in listing.files], np.int64) for listing in (pool, held_out or pool)]
    if held_out is None:
        sides = hold_out(labels[0], seed=0, classes=classes, groups=groups.codes(names[0]))
        names = [[names[0][place] for place in side.tolist()] for side in sides]
        labels = [labels[0][side] for side in sides]
    counts = [_counted(each, len(classes)) for each in labels]
    return Counts(
        classes=tuple(classes),
        pool=counts[0],
        held_out=counts[1],
        split_off=held_out is None,
        estimated=len(classes),
        groups=(groups.count(names[0]), groups.count(names[1])),
        leaked=groups.count(names[0]) + groups.count(names[1]) - groups.count([*names[0], *names[1]]),
    )


def _counted(labels: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=classes).tolist())


def _per_class(listing: Listing, classes: int) -> tuple[int, ...]:
    counts = [0] * classes
    for file in listing.files:
        counts[file.label] += 1
    return tuple(counts)
