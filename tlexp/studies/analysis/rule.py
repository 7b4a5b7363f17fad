"""The rule by which a column is taken: the cheapest of those that are as good, by bounds that hold at once.

means (..., C) balanced accuracies; upper (..., C, C), at [..., i, j] how much better column i is than column j at most.
Leading axes are studies.
"""

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.crossfit import Pick

_LEAST_BORROWED = 3
"""Bounds that are counted at least where variances are borrowed. Those are not exactly the budget's own; the bounds of
four columns or more hold all the same, for Bonferroni's inequality gives more than it promises."""
_ROUNDING = 1e-9
_TIE = 0.1
"""Of the margin: means that are nearer than this are equal."""


def comparisons(columns: int) -> int:
    """Return how many one-sided bounds hold at once: those of the true best against each of the others (Hsu 1984).

    Which column is the best need not be known. The bounds against it are among all that are computed, and they alone
    have to hold: C - 1 of them, not the C (C - 1) / 2 pairs.

    >>> [comparisons(columns) for columns in (1, 2, 3, 4, 5)]
    [1, 1, 3, 3, 4]
    """
    return 1 if columns <= 2 else max(columns - 1, _LEAST_BORROWED)


def bound_regrets(upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., C) what each column loses at most against the best of all; at least 0, at most 1.

    >>> bound_regrets(np.array([[0.0, 0.03], [0.01, 0.0]])).tolist()
    [0.01, 0.03]
    """
    bounds: NDArray[np.float64] = np.clip(upper.max(axis=-2, initial=0.0), 0.0, 1.0)
    return bounds


def may_be_best(upper: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (..., C) whether no other column is surely better; the true best is among them with 95 %."""
    held: NDArray[np.bool_] = upper.min(axis=-1, initial=0.0) >= 0
    return held


def surely_worse(upper: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    """Return (..., C) whether another column is surely better by more than the margin.

    The bounds that this takes of the true best column are those that `may_be_best` takes: it is never called so with
    95 %. Of another column it may be said too early, which costs nothing.

    >>> surely_worse(np.array([[0.0, 0.03], [-0.02, 0.0]]), 0.01).tolist()
    [False, True]
    """
    worse: NDArray[np.bool_] = upper.min(axis=-1, initial=0.0) < -margin
    return worse


def choose(
    means: NDArray[np.float64],
    bounds: NDArray[np.float64],
    costs: NDArray[np.intp],
    margin: float,
    leeway: NDArray[np.float64] | None = None,
) -> NDArray[np.intp]:
    """Return (...) the place of the column to take: the cheapest of those that are as good as the highest mean.

    As good are means within a tenth of the margin, and columns that lose no more than the margin at most. Of those that
    cost the same the highest mean is taken.

    Where no column is known to lose so little, and some are favoured before anything is measured, those of these come
    first that trail the highest mean by no more than their leeway: of a few data seeds it is often that of luck.

    >>> means, bounds, costs = np.array([0.80, 0.82]), np.array([0.05, 0.04]), np.arange(2)
    >>> [int(choose(means, bounds, costs, 0.01, np.array([[0.0, each], [0.0, 0.0]]))) for each in (0.01, 0.03)]
    [1, 0]

    Args:
        means: (..., C).
        bounds: (..., C) from `bound_regrets`.
        costs: (C,) the rank of each column's cost, 0 the cheapest.
        margin: In balanced accuracy.
        leeway: (C, C) how far a favoured column (first axis) may trail each other one; 0 of columns that are not.
    """
    known = bounds <= margin
    chosen = _cheapest(_near(means, margin) | known, means, costs)
    if leeway is None:
        return chosen
    allowed = np.moveaxis(leeway[:, means.argmax(axis=-1)], 0, -1)
    held = leeway.any(axis=-1) & (means.max(axis=-1, keepdims=True) - means <= allowed + _ROUNDING)
    favoured = _cheapest(held & _near(np.where(held, means, -1.0), margin), means, costs)
    taken: NDArray[np.intp] = np.where(known.any(axis=-1) | ~held.any(axis=-1), chosen, favoured)
    return taken


def _near(means: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    """Return (..., C) which are as good as the highest."""
    found: NDArray[np.bool_] = means >= means.max(axis=-1, keepdims=True) - _TIE * margin - _ROUNDING
    return found


def _cheapest(among: NDArray[np.bool_], means: NDArray[np.float64], costs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return (...) the place of the cheapest, of equals that of the highest mean."""
    found: NDArray[np.intp] = np.where(among, 2.0 * costs - np.round(means, 9), np.inf).argmin(axis=-1)
    return found


def follow(
    widths: NDArray[np.float64], costs: NDArray[np.intp], margin: float, leeway: NDArray[np.float64] | None = None
) -> Pick:
    """Return the rule that `choose` states, for means of a part of the data.

    The widths are those of the whole study: a half of it would have wider ones, take the highest mean more often, and
    tell the accuracy of another choice than the one that is recommended.

    Args:
        widths: (..., C, C) how far each difference may be off to one side.
        costs: (C,) the rank of each column's cost, 0 the cheapest.
        margin: In balanced accuracy.
        leeway: (C, C) as `choose` takes it.
    """

    def pick(means: NDArray[np.float64]) -> NDArray[np.intp]:
        upper = means[..., :, None] - means[..., None, :] + widths[..., None, :, :]
        return choose(means, bound_regrets(upper), costs, margin, leeway)

    return pick
