"""Which label budgets a pool of images allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.config.labels import parse_labels
from tlexp.data import budget_counts, fold_count, groups_per_class

FULL = ("1", "2", "5", "10", "20", "50", "100", "all")
"""The budgets of a study that names none."""


@dataclass(frozen=True, kw_only=True)
class BudgetSize:
    """A label budget of one pool.

    Attributes:
        labels: As written.
        images: In all.
        smallest: Images of its smallest class.
        per_class: Mean images per class.
        conditional: Whether it is above half of the pool: another pool might give another result.
        groups: Of the class that has fewest; None where each image stands for itself.
    """

    labels: str
    images: int
    smallest: int
    per_class: float
    conditional: bool
    groups: int | None = None

    @property
    def folds(self) -> int:
        """How many parts a trained network is selected on: 0, 1 (80/20) or up to 5; groups may need more."""
        return fold_count(self.smallest, self.groups)

    @property
    def pooled_folds(self) -> int:
        """How many parts a head that is solved is selected on."""
        return fold_count(self.smallest, self.groups, pooled=True)


def allowed_budgets(
    stated: Sequence[str],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    groups: NDArray[np.int64] | None = None,
    compared: bool = True,
) -> tuple[list[BudgetSize], dict[str, str]]:
    """Return the budgets that the pool allows, in growing order, and why others were left out.

    >>> found, skipped = allowed_budgets(["2", "9", "all"], np.array([0, 0, 0, 1, 1]), ["a", "b"])
    >>> [budget.labels for budget in found], skipped
    (['2', 'all'], {'labels=9': 'the smallest class, b, has 2 images'})

    Args:
        stated: Label budgets as written.
        labels: Of the pool, (N,).
        classes: Their names.
        groups: Number of each image's group, (N,); None where each stands for itself.
        compared: Whether settings are compared inside a budget, which takes two groups of each class.
    """
    known = None if groups is None else groups_per_class(labels, groups, classes=len(classes))
    available = np.bincount(labels, minlength=len(classes))
    found: dict[tuple[int, ...], BudgetSize] = {}
    skipped: dict[str, str] = {}
    for text in stated:
        budget = parse_labels(text)
        counts = budget_counts(budget, available.tolist())
        short = [(int(have), name) for have, want, name in zip(available, counts, classes, strict=True) if have < want]
        if short:
            least, name = min(short)
            skipped[f"labels={budget}"] = f"the smallest class, {name}, has {least} images"
            continue
        drawn = None if known is None else [min(pair) for pair in zip(known, counts, strict=True)]  # spread over all
        if compared and drawn is not None and min(counts) > 1 and min(drawn) < 2:
            skipped[f"labels={budget}"] = (
                f"all images of {classes[drawn.index(min(drawn))]} are one group (data.group), which leaves nothing to "
                "compare settings on"
            )
            continue
        same = found.get(tuple(counts))
        if same is not None:
            skipped[f"labels={budget}"] = f"the same images as labels={same.labels}"
            continue
        images = sum(counts)
        found[tuple(counts)] = BudgetSize(
            labels=str(budget),
            images=images,
            smallest=min(counts),
            per_class=images / len(classes),
            conditional=2 * images > len(labels),
            groups=None if drawn is None else min(drawn),
        )
    return sorted(found.values(), key=lambda size: size.images), skipped
