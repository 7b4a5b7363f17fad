"""How much the difference of two columns varies with the data seed, told by all label budgets at which both ran.

With three seeds a variance has two degrees of freedom, and bounds at once over several columns are then wide. The same
two columns at other budgets know more: their variances fall with the labels by about the same law. Other pairs do not
lend: columns differ in how much they vary, and a shared variance is far too small for the noisiest.

per_seed (..., L, P, S): the difference of P pairs at L budgets by S seeds, nan where a seed lacks one of the columns.
Leading axes are studies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEEPEST = 1.5
"""The variance is taken to fall, or to grow, with no higher power of the labels; with few seeds a fit may find any."""
_LEAST_CORRELATION = 0.5
_FOR_CHANCE = 0.1
"""Nested budgets share images, so that their seeds' luck is correlated; what is estimated may be too low by chance."""
_MOST_LENDING = 4
"""Budgets whose freedom counts: of more, the quiet ones would lend a noisy one more than its own variance has."""


@dataclass(frozen=True, kw_only=True)
class SeedVariance:
    """The variance between data seeds of a pair's difference at each budget.

    Attributes:
        value: (..., L, P), of one seed; nan where fewer than two have both columns.
        freedom: (..., L, P) degrees of freedom behind it.
    """

    value: NDArray[np.float64]
    freedom: NDArray[np.float64]


def borrow(per_seed: NDArray[np.float64], per_class: NDArray[np.float64], lends: NDArray[np.bool_]) -> SeedVariance:
    """Return the variances between seeds, none smaller than what the pair's other budgets say of it.

    What they say is the mean of their variances, each over the power of the labels by which the variances of all pairs
    change. The freedom is that of all the budgets together, of four at most, as if they were fewer for being
    correlated. The larger of the own and the borrowed variance is taken: a pair may be noisy at one budget alone. A
    single pair borrows nothing: no other shows how variances go with the labels.

    Args:
        per_seed: The differences.
        per_class: (L,) labels per class.
        lends: (L,) whether a budget lends and borrows; what is drawn above half of the pool has a variance of its own.
    """
    lends = lends & (per_seed.shape[-2] > 1)
    counts = np.isfinite(per_seed).sum(axis=-1)
    deviations = np.where(np.isfinite(per_seed), per_seed - _mean(per_seed), 0.0)
    freedom = np.maximum(counts - 1, 0).astype(np.float64)
    squares = (deviations**2).sum(axis=-1)
    own = np.divide(squares, freedom, out=np.full(squares.shape, np.nan), where=freedom > 0)
    share = np.where(lends[:, None], freedom, 0.0)
    trend = _trend(np.where(lends[:, None], own, np.nan), per_class)[..., None]
    whole = share.sum(axis=-2, keepdims=True)
    scaled = (np.nan_to_num(own / trend) * share).sum(axis=-2, keepdims=True)
    common = np.divide(scaled, whole, out=np.zeros(scaled.shape), where=whole > 0)
    together = (share > 0).sum(axis=-2, keepdims=True)
    alike = _correlation(deviations[..., lends, :, :])[..., None, None] ** 2
    counted = np.clip(together, 1, _MOST_LENDING)
    borrowed = whole * (counted / np.maximum(together, 1)) / (1 + (counted - 1) * alike)
    return SeedVariance(
        value=np.where(lends[:, None], np.maximum(own, common * trend), own),
        freedom=np.where(lends[:, None], np.maximum(freedom, borrowed), freedom),
    )


def of_mean(
    variance: NDArray[np.float64], seeds: int | NDArray[np.intp], shared: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the variance of a mean over seeds, s^2 (1 / S + k / (N - k)) (Nadeau and Bengio 2003, Mach. Learn. 52).

    All seeds draw their k images of one pool of N and share some of them: they differ less from each other than from
    draws of another pool, and more seeds help no further.

    Args:
        variance: Of one seed.
        seeds: How many, S.
        shared: k / (N - k).
    """
    return variance * (1 / seeds + shared)


def _mean(per_seed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means over the seeds that are there, (..., 1)."""
    counts = np.maximum(np.isfinite(per_seed).sum(axis=-1, keepdims=True), 1)
    mean: NDArray[np.float64] = np.nansum(per_seed, axis=-1, keepdims=True) / counts
    return mean


def _trend(variances: NDArray[np.float64], per_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., L) the power of the labels that fits the variances of all pairs best.

    Means of logarithms are fitted: a pair that is far noisier than all others says no more of the power than they do.
    """
    known = variances > 0
    counts = known.sum(axis=-1)
    heights = np.log(np.where(known, variances, 1.0)).sum(axis=-1) / np.maximum(counts, 1)
    told = counts > 0
    places = np.log(per_class)
    weights = told / np.maximum(told.sum(axis=-1, keepdims=True), 1)
    centred = places - (weights * places).sum(axis=-1, keepdims=True)
    length = (weights * centred**2).sum(axis=-1)
    slope = np.divide((weights * centred * heights).sum(axis=-1), length, out=np.zeros(length.shape), where=length > 0)
    trend: NDArray[np.float64] = np.exp(np.clip(slope, -_STEEPEST, _STEEPEST)[..., None] * (places - places[0]))
    return trend


def _correlation(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (...) how alike the seeds' luck is at two budgets, over all pairs, on the safe side."""
    products = np.einsum("...lps,...mps->...lm", deviations, deviations)
    own = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))
    upper = np.triu(np.ones(products.shape[-2:]), 1)
    both = (upper * products).sum(axis=(-2, -1))
    norms = (upper * own[..., :, None] * own[..., None, :]).sum(axis=(-2, -1))
    found = np.divide(both, norms, out=np.zeros(both.shape), where=norms > 0)
    correlation: NDArray[np.float64] = np.clip(found + _FOR_CHANCE, _LEAST_CORRELATION, 1.0)
    return correlation
