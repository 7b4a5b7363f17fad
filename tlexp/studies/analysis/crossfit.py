"""The accuracy of what was chosen, told by test images and data seeds that had no say in the choice.

correct (..., C, S, n): whether column c of seed s told image n right, nan where the seed was not tested on it. Leading
axes are studies. P splits of the seeds.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.intervals import Spread, TestImages, spread

Pick = Callable[[NDArray[np.float64]], NDArray[np.intp]]
"""Chooses among (..., P, C) balanced accuracies, once for each split of the seeds; returns (..., P) places."""


def crossfit(correct: NDArray[np.floating], images: TestImages, pick: Pick) -> Spread:
    """Return the balanced accuracy of what a rule picks, cross-fitted.

    A column is picked on one half of the images by one part of the seeds, and scored on the other half by the other
    seeds; this is averaged over both halves and over splits of the seeds. Halves of the images alone would not do: a
    column that was lucky with these seeds is lucky on both, and the best of many would look better than it is. With one
    seed the halves are all there is.

    An average over picks varies less between seeds than what was picked does. The variance by seeds is therefore that
    of the columns, weighed by how often each was picked, where that is larger.
    """
    half, splits = stratified_halves(images), _splits(correct.shape[-2])
    scored = np.empty((*correct.shape[:-3], *correct.shape[-2:]), dtype=correct.dtype)
    taken = []
    for side in (False, True):
        scores = _balanced(correct, images, half == side)
        means = np.swapaxes(scores @ _shares(~splits if correct.shape[-2] > 1 else splits).T, -2, -1)
        chosen = np.eye(correct.shape[-3])[pick(means)]  # (..., P, C)
        taken.append(chosen.mean(axis=-2))
        parts = np.swapaxes(chosen, -2, -1) @ (splits / splits.sum(axis=0))  # (..., C, S), how far each is scored
        others = np.flatnonzero(half != side)
        scored[..., others] = np.einsum("...csn,...cs->...sn", correct[..., others], parts.astype(correct.dtype))
    found = spread(scored, images)
    single = (np.mean(taken, axis=0) * spread(correct, images).seed_variance).sum(axis=-1)
    return dataclasses.replace(found, seed_variance=np.maximum(found.seed_variance, single))


def pick_by_other_seeds(scores: NDArray[np.float64], chosen_by: int, pick: Pick) -> NDArray[np.float64]:
    """Return (L, S) what a rule picks at one budget reaches at all of them, each seed scoring what others picked.

    Halves of the images are not needed where a new draw of labels is told on the same ones.

    Args:
        scores: (L, C, S) balanced accuracies, two seeds or more.
        chosen_by: Place of the budget by which the rule picks.
        pick: The rule.
    """
    splits = _splits(scores.shape[-1])
    chosen = np.eye(scores.shape[1])[pick(_shares(~splits) @ scores[chosen_by].T)]  # (P, C)
    parts = chosen.T @ (splits / splits.sum(axis=0))  # (C, S), how far each is scored
    picked: NDArray[np.float64] = np.einsum("lcs,cs->ls", scores, parts)
    return picked


def ranking(means: NDArray[np.float64], order: Sequence[int]) -> NDArray[np.intp]:
    """Return (..., C) places by their means, the highest first; of equals the one that comes first in the order.

    All that a study says of a best column follows this. Means that differ by rounding alone are equal.

    >>> ranking(np.array([0.5, 0.7, 0.7]), (2, 1, 0)).tolist()
    [2, 1, 0]
    """
    places = np.asarray(order, dtype=np.intp)
    ranked: NDArray[np.intp] = places[np.argsort(-np.round(means[..., places], 9), axis=-1, kind="stable")]
    return ranked


def highest(order: Sequence[int]) -> Pick:
    """Return the rule that picks the highest mean, of equals the one that comes first in the order."""
    return lambda means: ranking(means, order)[..., 0]


def stratified_halves(images: TestImages) -> NDArray[np.bool_]:
    """Return (n,) the half of each image: of each class every second one, in an order that is always the same.

    Groups are not parted: of those whose first image is of one class every second one is in a half.
    """
    if images.groups is None:
        return _every_second(images.places)
    _, first, groups = np.unique(images.groups, return_index=True, return_inverse=True)
    return _every_second(images.places[first])[groups]


def _every_second(places: NDArray[np.int64]) -> NDArray[np.bool_]:
    shuffled = np.random.default_rng(0).permutation(len(places))
    by_class = shuffled[np.argsort(places[shuffled], kind="stable")]
    half = np.empty(len(by_class), dtype=bool)
    half[by_class] = np.arange(len(by_class)) % 2 == 1
    return half


def _balanced(correct: NDArray[np.floating], images: TestImages, part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (..., C, S) balanced accuracies over a part of the images, of those that a seed was tested on."""
    if not np.isnan(correct.sum()):
        return (correct @ _weights(images, part).astype(correct.dtype)).astype(np.float64)
    known = part & ~np.isnan(correct)
    counts = images.by_class(known.astype(np.float64))
    sums = images.by_class(np.where(known, correct, 0.0).astype(np.float64))
    present = np.maximum((counts > 0).sum(axis=-1), 1)
    scores: NDArray[np.float64] = (sums / np.maximum(counts, 1.0)).sum(axis=-1) / present
    return scores


def _weights(images: TestImages, part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (n,) weights of balanced accuracy over a part of the images, 0 outside it."""
    counts = np.bincount(images.places[part], minlength=len(images.counts))
    present = max(1, np.count_nonzero(counts))
    weights: NDArray[np.float64] = np.where(part, 1 / (present * np.maximum(counts, 1)[images.places]), 0.0)
    return weights


def _splits(seeds: int) -> NDArray[np.bool_]:
    """Return (P, S) which seeds score: half of them, from each place on in a circle, and then those that did not."""
    if seeds == 1:
        return np.ones((1, 1), dtype=bool)
    windows = [np.roll(np.arange(seeds) < seeds // 2, start) for start in range(seeds)]
    return np.array([*windows, *(~window for window in windows)])


def _shares(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (P, S) weights that average over the chosen seeds."""
    shares: NDArray[np.float64] = chosen / chosen.sum(axis=1, keepdims=True)
    return shares
