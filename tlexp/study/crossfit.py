"""The accuracy of what was chosen, told by test images and data seeds that had no say in the choice.

correct (..., C, S, n): whether column c of seed s told image n right. Leading axes are studies.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tlexp.study.intervals import TestImages

Pick = Callable[[NDArray[np.float64]], NDArray[np.intp]]
"""Chooses among (..., S, C) balanced accuracies, once for each seed that is left out; returns (..., S) places."""


def crossfit(correct: NDArray[np.floating], images: TestImages, pick: Pick) -> NDArray[np.floating]:
    """Return (..., S, n): whether the column that the others chose told each image right.

    The column that is scored on an image of one half by one seed is chosen on the other half of the images by the other
    seeds. Images alone would not do: a column that was lucky with these seeds is lucky on both halves, and the best of
    many would look better than it is. With one seed the halves are all there is.
    """
    seeds = correct.shape[-2]
    half = stratified_halves(images)
    scored = np.empty((*correct.shape[:-3], *correct.shape[-2:]), dtype=correct.dtype)
    for side in (False, True):
        scores = (correct @ _weights(images, half == side).astype(correct.dtype)).astype(np.float64)
        if seeds > 1:
            scores = (scores.sum(axis=-1, keepdims=True) - scores) / (seeds - 1)
        chosen = pick(np.moveaxis(scores, -2, -1))
        others = np.flatnonzero(half != side)
        told = np.take_along_axis(correct[..., others], chosen[..., None, :, None], axis=-3)
        scored[..., others] = told[..., 0, :, :]
    return scored


def highest(means: NDArray[np.float64]) -> NDArray[np.intp]:
    """Pick the highest of (..., S, C) means."""
    return np.asarray(means.argmax(axis=-1))


def stratified_halves(images: TestImages) -> NDArray[np.bool_]:
    """Return (n,) the half of each image: of each class every second one, in an order that is always the same."""
    shuffled = np.random.default_rng(0).permutation(len(images.labels))
    by_class = shuffled[np.argsort(images.places[shuffled], kind="stable")]
    half = np.empty(len(by_class), dtype=bool)
    half[by_class] = np.arange(len(by_class)) % 2 == 1
    return half


def _weights(images: TestImages, part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (n,) weights of balanced accuracy over a part of the images, 0 outside it."""
    counts = np.bincount(images.places[part], minlength=len(images.counts))
    present = max(1, np.count_nonzero(counts))
    weights: NDArray[np.float64] = np.where(part, 1 / (present * np.maximum(counts, 1)[images.places]), 0.0)
    return weights
