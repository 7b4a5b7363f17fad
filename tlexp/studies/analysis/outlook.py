"""What would help more at the largest budget: labels, or another column that trains more of the network.

Both are told for a new draw of labels on the same test images. Columns are picked by other data seeds than those that
score them: the best of many would look better than it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.crossfit import Pick, highest, pick_by_other_seeds
from tlexp.studies.analysis.decision import Decision
from tlexp.studies.analysis.differences import shared_seeds, stacked
from tlexp.studies.analysis.forecast import (
    FURTHEST,
    LEAST_BUDGETS,
    Band,
    Forecast,
    NeededLabels,
    Outlook,
    forecast,
    paired_change,
)
from tlexp.studies.analysis.intervals import TestImages, spread
from tlexp.studies.analysis.table import Column, StudyTable

_WANTED = (0.0, 0.01, 0.02, 0.04, 0.09)
"""Accuracies of which is told what labels they take: above the next full hundredth."""
_STEPS = 9
"""Forecasts from the largest budget to twice as many labels."""


def look_ahead(table: StudyTable, decision: Decision, images: TestImages) -> Outlook | None:
    """Return what would help at the largest budget; None where nothing is taken there or there are few budgets.

    Args:
        table: What was measured.
        decision: Of the largest budget.
        images: Of the test split.
    """
    budgets = _curve_budgets(table, decision.labels)
    if decision.chosen is None or len(budgets) < LEAST_BUDGETS:
        return None
    taken = decision.name(decision.chosen)
    places = [place for place, cell in enumerate(decision.candidates) if _ran_at_all(table, cell.column, budgets)]
    names = [decision.name(place) for place in places]
    scores = _scores(table, names, budgets, images)
    if taken not in names or scores.shape[-1] < 2:
        return Outlook(
            column=taken,
            labels=table.per_class[budgets[-1]],
            curve=(),
            needed=(),
            reason=f"A forecast takes {LEAST_BUDGETS} budgets and two data seeds that finished at all of them.",
            unfreezing=None,
        )
    labels = np.array([table.per_class[each] for each in budgets])
    reached = _as_picked(scores, names.index(taken), decision.rule_of(places))
    curve = _forecasts(labels, reached.T)
    return Outlook(
        column=taken,
        labels=float(labels[-1]),
        curve=() if isinstance(curve, str) else curve,
        needed=() if isinstance(curve, str) else _needed(curve, float(reached[-1].mean())),
        reason=curve if isinstance(curve, str) else None,
        unfreezing=_unfreezing(table, names, taken, scores, reached[-1]),
    )


def _curve_budgets(table: StudyTable, last: str) -> list[str]:
    """Return the budgets up to the last, one for each number of labels."""
    by_count = {table.per_class[each]: each for each in table.budgets}
    return [by_count[count] for count in sorted(by_count) if count <= table.per_class[last]]


def _ran_at_all(table: StudyTable, column: str, budgets: Sequence[str]) -> bool:
    return all((cell := table.cells.get((column, labels))) is not None and cell.finished for labels in budgets)


def _scores(
    table: StudyTable, columns: Sequence[str], budgets: Sequence[str], images: TestImages
) -> NDArray[np.float64]:
    """Return (L, C, S) balanced accuracies of the seeds that finished in all cells.

    Of a pool the small budgets leave more to be tested on: what they share with the largest alone tells what labels do.
    """
    cells = [[table.cells[column, labels] for column in columns] for labels in budgets]
    seeds = shared_seeds([cell for row in cells for cell in row])
    if not seeds:
        return np.empty((len(budgets), len(columns), 0))
    told = np.stack([stacked(row, seeds) for row in cells])
    shared = np.isfinite(told).all(axis=0)
    return np.array([spread(np.where(shared, each, np.nan), images).per_seed for each in told])


def _forecasts(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[Forecast, ...] | str:
    """Return forecasts from the largest budget to twice as many; the sentence where nothing is forecast."""
    told = []
    for at in np.minimum(np.geomspace(1, FURTHEST, _STEPS), FURTHEST) * labels[-1]:  # the last one may be rounded up
        each = forecast(labels, scores, at=float(at))
        if isinstance(each, str):
            return each
        told.append(each)
    return tuple(told)


def _needed(curve: Sequence[Forecast], now: float) -> tuple[NeededLabels, ...]:
    labels = np.array([each.labels for each in curve])
    lows, highs = (np.array([getattr(each.reached, end) for each in curve]) for end in ("low", "high"))
    return tuple(
        NeededLabels(accuracy=wanted, least=_first(labels, highs, wanted), most=_first(labels, lows, wanted))
        for more in _WANTED
        if (wanted := round(float(np.ceil(100 * now)) / 100 + more, 2)) <= 1
    )


def _first(labels: NDArray[np.float64], heights: NDArray[np.float64], wanted: float) -> float | None:
    """Return the first number of labels at which a curve is as high as that; None where it is nowhere."""
    reached = heights >= wanted
    return float(labels[reached.argmax()]) if reached.any() else None


def _unfreezing(
    table: StudyTable,
    names: Sequence[str],
    taken: str,
    scores: NDArray[np.float64],
    reached: NDArray[np.float64],
) -> Band | None:
    """Return what the best column that freezes less gains over what is taken, at the largest budget."""
    columns = {column.name: column for column in table.columns}
    places = [place for place, name in enumerate(names) if _freezes_less(columns[name], columns[taken])]
    if not places:
        return None
    freer = scores[:, places]
    best = int(freer[-1].mean(axis=-1).argmax())
    return paired_change(reached, _as_picked(freer, best, highest(range(len(places))))[-1])


def _as_picked(scores: NDArray[np.float64], picked: int, pick: Pick) -> NDArray[np.float64]:
    """Return (L, S) a column's scores with the means of what other seeds pick at the last budget.

    Its own means are too high at the budget that it was picked by; an average over picks varies too little.

    Args:
        scores: (L, C, S).
        picked: Place of the column.
        pick: The rule that picked it.
    """
    own, means = scores[:, picked], pick_by_other_seeds(scores, -1, pick).mean(axis=-1)
    moved: NDArray[np.float64] = own + (means - own.mean(axis=-1))[:, None]
    return moved


def _freezes_less(column: Column, taken: Column) -> bool:
    """Return whether a column is the same network, of several, with fewer units frozen."""
    same = column.entrant == taken.entrant
    return same and column.depth is not None and taken.depth is not None and column.depth < taken.depth
