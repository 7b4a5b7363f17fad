"""How far a mean over data seeds and test images may be off, by both at once.

values (..., S, n) of S seeds and n test images: 0 or 1 for one column, -1 to 1 for the difference of two.
K classes, n_c test images in class c. Leading axes are studies or columns, computed at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tlexp.studies.analysis.findings import Interval

CONFIDENCE = 0.95
_UNSEEN = 4.0
"""Test images that may have been missed: where fewer differ, so many are taken to, spread evenly over the classes. The
interval of an accuracy of 1 then ends near 1 - 4 / n, as Wilson's (1927) does, 3.84 / n; it would be a point else."""


@dataclass(frozen=True, kw_only=True)
class TestImages:
    """The images of the test split, as balanced accuracy weighs them: all classes alike.

    Attributes:
        labels: (n,) of each image, in any order; classes without an image do not count.
    """

    __test__ = False  # no test, whatever pytest makes of the name
    labels: NDArray[np.int64]

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(n,) place of each image's class among those present."""
        return np.unique(self.labels, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(K,) images of each class present."""
        return np.bincount(self.places)

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing."""
        return 1 / len(self.counts)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(n,) 1 / (K n_c); they sum to 1."""
        weights: NDArray[np.float64] = 1 / (len(self.counts) * self.counts[self.places])
        return weights

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.places, kind="stable").astype(np.int64)

    def class_sums(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return (..., K) sums of (..., n) values over the images of each class."""
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        return np.add.reduceat(values[..., self._order], starts, axis=-1)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A balanced accuracy, or the difference of two, and what it would vary by.

    Attributes:
        value: (...).
        per_seed: (..., S) the value of each seed.
        seed_variance: (...) of the mean, by the seeds; nan with one.
        seed_freedom: (...) degrees of freedom of the latter; at least 1.
        image_variance: (...) of the mean, by the test images.
        image_freedom: (...) degrees of freedom of the latter.
    """

    value: NDArray[np.float64]
    per_seed: NDArray[np.float64]
    seed_variance: NDArray[np.float64]
    seed_freedom: NDArray[np.float64]
    image_variance: NDArray[np.float64]
    image_freedom: NDArray[np.float64]

    def half_width(self, family: int = 1, *, sides: int = 2) -> NDArray[np.float64]:
        """Return how far the value may be off with 95 % confidence, simultaneous over a family of so many (Bonferroni).

        The variance is that of the seeds plus that of the images, and each share is multiplied by the square of its own
        t quantile: with few seeds their variance may come out far too small by chance, and the degrees of freedom that
        Satterthwaite (1946) estimates from it then come out too large. Banerjee (1960, Sankhya 22) proves that this
        width covers at least as often as promised, whatever the two variances are. Nan with one seed.

        Args:
            family: Statements that hold at once.
            sides: 2 for an interval, 1 for a bound.
        """
        tail = 1 - (1 - CONFIDENCE) / family / sides
        by_seeds = stdtrit(self.seed_freedom, tail) ** 2 * self.seed_variance
        width: NDArray[np.float64] = np.sqrt(by_seeds + stdtrit(self.image_freedom, tail) ** 2 * self.image_variance)
        return width


def spread(values: NDArray[np.floating], images: TestImages) -> Spread:
    """Return the mean over seeds and classes of (..., S, n) values, and its variances.

    By seeds: the variance between the balanced accuracies of the seeds, over S. By images: within each class, the
    variance between the images' means over seeds, over n_c; classes are weighed by 1 / K^2. What is left between seeds
    and images after both counts in both, which errs on the safe side. A class takes one more image's worth of variance
    from the mean over classes, because a class of one or two images says nothing about its own.
    """
    seeds, count = values.shape[-2:]
    classes = len(images.counts)
    per_seed = (values @ images.weights.astype(values.dtype)).astype(np.float64)
    by_seeds = per_seed.var(axis=-1, ddof=1) / seeds if seeds > 1 else np.full(per_seed.shape[:-1], np.nan)
    means = values.mean(axis=-2)
    squares = images.class_sums(means**2) - images.class_sums(means) ** 2 / images.counts
    squares = np.maximum(squares.astype(np.float64), 0.0)  # rounding
    shared = _shared_variance(means, squares.sum(axis=-1), count - classes)
    parts = (squares + shared[..., None]) / images.counts / (classes**2 * images.counts)
    by_images = parts.sum(axis=-1)
    least = _UNSEEN / classes * float(np.sum((classes * images.counts) ** -2.0))
    spent = (parts**2 / images.counts).sum(axis=-1)
    freedom = np.divide(by_images**2, spent, out=np.full(by_images.shape, float(count)), where=spent > 0)
    return Spread(
        value=per_seed.mean(axis=-1),
        per_seed=per_seed,
        seed_variance=by_seeds,
        seed_freedom=np.full(by_seeds.shape, float(max(seeds - 1, 1))),
        image_variance=np.maximum(by_images, least),
        image_freedom=np.where(by_images < least, float(count), freedom),  # the least is set, not estimated
    )


def interval(found: Spread, *, family: int = 1, lowest: float = 0.0) -> Interval:
    """Return the 95 % interval of one value, cut off at what is possible, lowest to 1."""
    value, half = min(1.0, max(lowest, float(found.value))), float(found.half_width(family))  # rounding
    if not np.isfinite(half):
        return Interval(value=value, low=None, high=None)
    return Interval(value=value, low=max(lowest, value - half), high=min(1.0, value + half))


def _shared_variance(means: NDArray[np.floating], squares: NDArray[np.float64], freedom: int) -> NDArray[np.float64]:
    """Return the variance between images of one class; between all images where each class has but one."""
    if freedom > 0:
        return squares / freedom
    if means.shape[-1] > 1:
        return np.asarray(means.astype(np.float64).var(axis=-1, ddof=1))
    return np.ones(means.shape[:-1])
