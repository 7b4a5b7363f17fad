"""How far a mean over data seeds and test images may be off, by both at once.

values (..., S, n) of S seeds and n test images: 0 or 1 for one column, -1 to 1 for the difference of two, nan where a
seed was not tested on an image. K classes, n_c test images in class c, G groups. Leading axes are studies or columns,
computed at once.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tlexp.confidence import t_quantile
from tlexp.studies.analysis.findings import Interval

_UNSEEN = 4.0
"""Test images that may have been missed: where fewer differ, so many are taken to, spread evenly over the classes. The
interval of an accuracy of 1 then ends near 1 - 4 / n, as Wilson's (1927) does, 3.84 / n; it would be a point else."""
LEAST_GROUPS = 10
"""Fewer groups of test images show too little of how groups differ: no interval is given."""


@dataclass(frozen=True, kw_only=True)
class TestImages:
    """The images of the test split, as balanced accuracy weighs them: all classes alike.

    Attributes:
        labels: (n,) of each image, in any order; classes without an image do not count.
        groups: (n,) number of the group of each image; None where each stands for itself.
    """

    __test__ = False  # no test, whatever pytest makes of the name
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

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
    def group_count(self) -> int | None:
        """G; None where each image stands for itself."""
        return None if self.groups is None else len(np.unique(self.groups))

    @cached_property
    def parts(self) -> "Parts":
        """What each group has in each class."""
        assert self.groups is not None
        return Parts.of(self.places, np.unique(self.groups, return_inverse=True)[1].astype(np.int64))

    @cached_property
    def by_class(self) -> "Sums":
        """Sums over the images of each class."""
        return Sums.of(self.places)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums of values over the members of each set; each set has a member.

    Attributes:
        order: (n,) places of the values, set by set.
        starts: Where each set begins in that order.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, sets: NDArray[np.integer]) -> "Sums":
        """Return the sums over sets 0, 1 and so on, (n,) the set of each value."""
        counts = np.bincount(sets)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        return cls(order=np.argsort(sets, kind="stable").astype(np.int64), starts=starts)

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return (..., sets) sums of (..., n) values."""
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The images that a group has in a class, for each group and class that share one.

    Attributes:
        classes: (M,) place of the class of each part.
        of_images: Sums of values of images over the parts.
        of_parts: Sums of values of parts over the groups.
    """

    classes: NDArray[np.int64]
    of_images: Sums
    of_parts: Sums

    @classmethod
    def of(cls, classes: NDArray[np.int64], groups: NDArray[np.int64]) -> "Parts":
        """Return the parts of images with these classes and groups, (n,) each."""
        pairs, parts = np.unique(np.stack([groups, classes]), axis=1, return_inverse=True)
        return cls(classes=pairs[1], of_images=Sums.of(parts.reshape(-1)), of_parts=Sums.of(pairs[0]))


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

    def of_pool(self, shared: float) -> "Spread":
        """Return it with what draws of another pool would vary by, of which seeds share images (Nadeau, Bengio 2003).

        Args:
            shared: k / (N - k), of k images that are drawn of N.
        """
        return replace(self, seed_variance=self.seed_variance * (1 + self.per_seed.shape[-1] * shared))

    def half_width(self, family: float = 1, *, sides: int = 2) -> NDArray[np.float64]:
        """Return how far the value may be off with 95 % confidence, simultaneous over a family of so many (Bonferroni).

        The variance is that of the seeds plus that of the images, and each share is multiplied by the square of its own
        t quantile: with few seeds their variance may come out far too small by chance, and the degrees of freedom that
        Satterthwaite (1946) estimates from it then come out too large. Banerjee (1960, Sankhya 22) proves that this
        width covers at least as often as promised, whatever the two variances are. Nan with one seed.

        Args:
            family: Statements that hold at once; twice as many spend half of the error each.
            sides: 2 for an interval, 1 for a bound.
        """
        by_seeds = t_quantile(self.seed_freedom, family, sides=sides) ** 2 * self.seed_variance
        by_images = t_quantile(self.image_freedom, family, sides=sides) ** 2 * self.image_variance
        width: NDArray[np.float64] = np.sqrt(by_seeds + by_images)
        return width


def spread(values: NDArray[np.floating], images: TestImages) -> Spread:
    """Return the mean over classes and images of what (..., S, n) values are over the seeds, and its variances.

    By seeds: the variance between the balanced accuracies of the seeds, over S. Where seeds were tested on different
    images the value of a seed is what the mean would be were all seeds like it (the pseudo-values of a jackknife that
    leaves out one seed at a time); where they were tested on the same, that is its balanced accuracy.

    By images: within each class, the variance between the images' means over seeds, over n_c; classes are weighed by
    1 / K^2. A class takes one more image's worth of variance from the mean over classes, because a class of one or two
    images says nothing about its own. Images that belong together are told right together, so that where there are
    groups the variance is at least that between them, and there is none of fewer than `LEAST_GROUPS`.

    What is left between seeds and images after both counts in both, which errs on the safe side.
    """
    seeds = values.shape[-2]
    measured = _complete(values, images) if not np.isnan(values.sum()) else _incomplete(values, images)
    by_seeds = measured.per_seed.var(axis=-1, ddof=1) / seeds if seeds > 1 else np.full(measured.value.shape, np.nan)
    by_images, freedom = _image_variance(measured, images)
    if images.group_count is not None:
        grouped, fewer = _group_variance(measured, images)
        by_images, freedom = np.fmax(by_images, grouped), np.minimum(freedom, fewer)
        by_images = by_images if images.group_count >= LEAST_GROUPS else np.full(by_images.shape, np.nan)
    return Spread(
        value=measured.value,
        per_seed=measured.per_seed,
        seed_variance=by_seeds,
        seed_freedom=np.full(by_seeds.shape, float(max(seeds - 1, 1))),
        image_variance=by_images,
        image_freedom=freedom,
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Values as balanced accuracy weighs them.

    Attributes:
        value: (...) of all seeds together.
        per_seed: (..., S).
        means: (..., n) of each image over the seeds that were tested on it; 0 where none was.
        tested: (..., n) 1 where one was, else 0.
        counts: (..., K) images of each class that a seed was tested on.
    """

    value: NDArray[np.float64]
    per_seed: NDArray[np.float64]
    means: NDArray[np.floating]
    tested: NDArray[np.floating]
    counts: NDArray[np.floating]


def _complete(values: NDArray[np.floating], images: TestImages) -> _Measured:
    per_seed = (values @ images.weights.astype(values.dtype)).astype(np.float64)
    means = values.mean(axis=-2)
    tested = np.broadcast_to(np.ones(1, values.dtype), means.shape)
    return _Measured(
        value=per_seed.mean(axis=-1), per_seed=per_seed, means=means, tested=tested, counts=images.counts.astype(float)
    )


def _incomplete(values: NDArray[np.floating], images: TestImages) -> _Measured:
    """Return what seeds say of which each was tested on images of its own."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0).astype(np.float64)
    sums, times = filled.sum(axis=-2), known.sum(axis=-2).astype(np.float64)
    means, tested = sums / np.maximum(times, 1.0), np.minimum(times, 1.0)
    totals, counts, seeds = images.by_class(means), images.by_class(tested), values.shape[-2]
    value = _balanced(totals, counts)
    per_seed = value[..., None]
    if seeds > 1:
        per_seed = seeds * value[..., None] - (seeds - 1) * _without_each(filled, known, sums, times, images)
    return _Measured(value=value, per_seed=per_seed, means=means, tested=tested, counts=counts)


def _without_each(
    filled: NDArray[np.float64],
    known: NDArray[np.bool_],
    sums: NDArray[np.float64],
    times: NDArray[np.float64],
    images: TestImages,
) -> NDArray[np.float64]:
    """Return (..., S) the value without each seed: it changes what it was tested on, and nothing else."""
    seeds, count, classes = *known.shape[-2:], len(images.counts)
    rows, places = np.nonzero(known.reshape(-1, count))
    studies, cells = rows // seeds, rows * classes + images.places[places]
    total, often = sums.reshape(-1, count)[studies, places], times.reshape(-1, count)[studies, places]
    others = np.maximum(often - 1, 1.0)
    left = np.where(often > 1, (total - filled.reshape(-1, count)[rows, places]) / others, 0.0)
    shape, size = (*known.shape[:-1], classes), known[..., 0].size * classes
    moved = np.bincount(cells, weights=left - total / often, minlength=size).reshape(shape)
    lost = np.bincount(cells, weights=often == 1, minlength=size).reshape(shape)
    means, tested = sums / np.maximum(times, 1.0), np.minimum(times, 1.0)
    return _balanced(images.by_class(means)[..., None, :] + moved, images.by_class(tested)[..., None, :] - lost)


def _balanced(totals: NDArray[np.floating], counts: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (...) the mean over classes of (..., K) totals over so many images; a class without one does not count."""
    present = np.maximum((counts > 0.5).sum(axis=-1), 1)  # 0.5: rounding
    means = np.where(counts > 0.5, totals / np.maximum(counts, 1.0), 0.0)
    balanced: NDArray[np.float64] = means.sum(axis=-1) / present
    return balanced


def _image_variance(measured: _Measured, images: TestImages) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (...) the variance of the mean by the images, each by itself, and its degrees of freedom."""
    means, counts = measured.means, np.maximum(measured.counts, 1.0)
    classes, count = len(images.counts), measured.tested.sum(axis=-1)
    squares = images.by_class(means**2) - images.by_class(means) ** 2 / counts
    squares = np.maximum(squares.astype(np.float64), 0.0)  # rounding
    shared = _shared_variance(measured, squares.sum(axis=-1), count - classes)
    parts = (squares + shared[..., None]) / counts / (classes**2 * counts)
    by_images = parts.sum(axis=-1)
    least = _UNSEEN / classes * np.sum((classes * counts) ** -2.0, axis=-1)
    spent = (parts**2 / counts).sum(axis=-1)
    whole = np.broadcast_to(np.asarray(count, np.float64), by_images.shape)
    freedom = np.divide(by_images**2, spent, out=whole.copy(), where=spent > 0)
    return np.maximum(by_images, least), np.where(by_images < least, whole, freedom)  # the least is set, not estimated


def _group_variance(measured: _Measured, images: TestImages) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (...) the variance of the mean by groups of images, and its degrees of freedom.

    By a jackknife that leaves out one group at a time, whichever classes it has images of. A class of a single group
    says nothing of other groups: it is compared with the mean over classes. The freedom is that of as many groups of
    one weight as are worth what there are (Carter, Schnepel and Steigerwald 2017, Rev. Econ. Stat. 99), less one.
    """
    parts, classes = images.parts, len(images.counts)
    counts = measured.counts[..., parts.classes]
    own = parts.of_images(measured.tested).astype(np.float64)
    class_means = images.by_class(measured.means) / np.maximum(measured.counts, 1.0)
    alone = own >= counts
    centre = np.where(alone, measured.value[..., None], class_means[..., parts.classes])
    residuals = parts.of_images(measured.means) - own * centre
    left = np.where(alone, counts * (1 - 1 / classes), counts - own)
    moved = residuals / np.maximum(left, 0.5)
    weights = parts.of_parts(own / np.maximum(counts, 1.0)) / classes
    worth = 1 / np.maximum((weights**2).sum(axis=-1), 1e-12)
    variance: NDArray[np.float64] = (parts.of_parts(moved / classes) ** 2).sum(axis=-1)
    return variance * (1 - 1 / worth), np.maximum(worth - 1, 1.0)


def interval(found: Spread, *, family: float = 1, lowest: float = 0.0) -> Interval:
    """Return the 95 % interval of one value, cut off at what is possible, lowest to 1."""
    value, half = min(1.0, max(lowest, float(found.value))), float(found.half_width(family))  # rounding
    if not np.isfinite(half):
        return Interval(value=value, low=None, high=None)
    return Interval(value=value, low=max(lowest, value - half), high=min(1.0, value + half))


def _shared_variance(
    measured: _Measured, squares: NDArray[np.float64], freedom: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the variance between images of one class; between all images where each class has but one."""
    means, tested = measured.means.astype(np.float64), measured.tested
    count = tested.sum(axis=-1)
    centred = means - (means.sum(axis=-1) / np.maximum(count, 1))[..., None]
    overall = (tested * centred**2).sum(axis=-1) / np.maximum(count - 1, 1)
    overall = np.where(count > 1, overall, 1.0)
    return np.where(freedom > 0, squares / np.maximum(freedom, 1), overall)
