"""The rule by which a column is recommended: the cheapest that is safe, by bounds that hold at once.

means (..., C) balanced accuracies; bounds (..., C, C), at [..., i, j] how much column j may lose against column i at
most, all of them at once with 95 % confidence. Leading axes are studies.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.crossfit import Pick, highest, ranking


def choose(
    means: NDArray[np.float64],
    worst: NDArray[np.float64],
    above: NDArray[np.bool_],
    order: Sequence[int],
    margin: float,
) -> NDArray[np.intp]:
    """Return (...) the place of the recommended column: the cheapest that is safe, -1 where none is.

    A column is safe if it loses less than the margin against every other at the upper end of simultaneous intervals.
    The one with the highest mean would be the wrong yardstick: chosen by the same data, it need not be the best. What
    is dearer than the highest mean is never taken.

    Args:
        means: (..., C).
        worst: (..., C) from `worst_loss`.
        above: (..., C) whether a column is better than guessing.
        order: Places of the columns, the cheapest first.
        margin: In balanced accuracy.
    """
    places = np.asarray(order)
    best = ranking(means, order)[..., :1]
    as_cheap = np.arange(len(places)) <= (places == best).argmax(axis=-1)[..., None]
    safe = (worst < margin)[..., places] & above[..., places] & as_cheap
    chosen: NDArray[np.intp] = np.where(safe.any(axis=-1), places[safe.argmax(axis=-1)], -1)
    return chosen


def follow(widths: NDArray[np.float64], above: NDArray[np.bool_], order: Sequence[int], margin: float) -> Pick:
    """Return the rule that `choose` states, for means of a part of the data; else it picks the highest.

    The widths are those of the whole study. A half of it would have wider intervals, be undecided more often, and tell
    the accuracy of another choice than the one that is recommended.
    """

    def pick(means: NDArray[np.float64]) -> NDArray[np.intp]:
        gaps = means[..., :, None] - means[..., None, :]
        worst = worst_loss(tighten(gaps + widths[..., None, :, :]))
        chosen = choose(means, worst, above[..., None, :], order, margin)
        return np.where(chosen >= 0, chosen, highest(order)(means))

    return pick


def tighten(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bounds that follow from all of them together (Floyd and Warshall's shortest paths).

    If b loses at most 0.02 against a, and c gains at least 0.03 over b, then c gains at least 0.01 over a. All bounds
    hold at once with 95 % confidence, so that what follows from them does too. Bounds that contradict each other, as
    those of pairs with different seeds may, stay as they are.
    """
    tight = bounds
    for via in range(bounds.shape[-1]):
        tight = np.minimum(tight, tight[..., :, via, None] + tight[..., None, via, :])
    sound = np.diagonal(tight, axis1=-2, axis2=-1).min(axis=-1, initial=0.0) >= 0
    held: NDArray[np.float64] = np.where(sound[..., None, None], tight, bounds)
    return held


def worst_loss(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., C) the most that each column may lose against another; at least 0."""
    worst: NDArray[np.float64] = bounds.max(axis=-2, initial=0.0)
    return worst
