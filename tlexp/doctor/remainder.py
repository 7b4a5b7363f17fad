"""What label budgets leave of the smallest class, and how well the test split can tell accuracies apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels
from tlexp.train.metrics import wilson_interval

BUDGETS = (5, 20, 100)
"""Labels per class that people study."""
WIDE = 0.05
"""A half width of the interval above this cannot tell accuracies apart that differ by ten points."""
_USUAL = 0.9


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """What a budget leaves of the smallest class in the training pool.

    Attributes:
        labels: Of the budget, per class.
        label: Index of the class.
        images: That it has.
        groups: That they make, copies and bursts counted once.
    """

    labels: int
    label: int
    images: int
    groups: int

    @property
    def left(self) -> int:
        """Images that the budget leaves; negative where the class cannot fill it."""
        return self.images - self.labels


@dataclass(frozen=True, kw_only=True)
class SmallClasses:
    """Classes of few images, without which larger budgets are possible.

    Attributes:
        labels: Indices of the classes.
        images: Of the smallest of the others.
    """

    labels: tuple[int, ...]
    images: int


@dataclass(frozen=True, kw_only=True)
class SplitSize:
    """How well the test split can tell accuracies apart.

    Attributes:
        images: Of the split.
        groups: That they make.
        accuracy: For which it is told.
        half_width: Of its 95 % interval, where all images count for themselves.
        grouped_half_width: The same where a group counts for one image.
    """

    images: int
    groups: int
    accuracy: float
    half_width: float
    grouped_half_width: float

    @property
    def wide(self) -> bool:
        """Whether it is too small to tell ten points apart."""
        return self.grouped_half_width > WIDE


def budget_remainders(labels: Labels, groups: NDArray[np.int64], *, classes: int) -> list[Remainder]:
    """Return what each usual budget leaves.

    Args:
        labels: Of the training pool, (N,) int64.
        groups: Number of each image's group, (N,) int64.
        classes: K.
    """
    counts = np.bincount(labels, minlength=classes)
    label = int(counts.argmin())
    distinct = len(np.unique(groups[labels == label]))
    return [Remainder(labels=k, label=label, images=int(counts[label]), groups=distinct) for k in BUDGETS]


def small_classes(labels: Labels, *, classes: int) -> SmallClasses | None:
    """Return the classes that cannot fill a budget that the others fill twice over what they have; None for none.

    >>> small_classes(np.repeat([0, 1, 2], [4, 40, 50]), classes=3)
    SmallClasses(labels=(0,), images=40)

    Args:
        labels: Of the training pool, (N,) int64.
        classes: K.
    """
    counts = np.bincount(labels, minlength=classes)
    for budget in BUDGETS:
        small = np.flatnonzero(counts < budget)
        others = counts[counts >= budget]
        if len(small) and len(others) >= 2 and others.min() >= 2 * counts[small].max():
            return SmallClasses(labels=tuple(small.tolist()), images=int(others.min()))
    return None


def size_test(groups: NDArray[np.int64], accuracy: float | None) -> SplitSize:
    """Return how well a test split can tell accuracies apart.

    Args:
        groups: Number of the group of each of its images, (N,) int64.
        accuracy: About what is expected; None where nobody knows.
    """
    expected = _USUAL if accuracy is None else accuracy
    images, distinct = len(groups), len(np.unique(groups))
    return SplitSize(
        images=images,
        groups=distinct,
        accuracy=expected,
        half_width=_half_width(images, expected),
        grouped_half_width=_half_width(distinct, expected),
    )


def _half_width(images: int, accuracy: float) -> float:
    low, high = wilson_interval(round(accuracy * images), images)
    return (high - low) / 2
