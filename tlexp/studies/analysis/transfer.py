"""What pretraining is worth: labels and steps that training from scratch takes for the same."""

import itertools
import statistics
from collections.abc import Mapping, Sequence

from tlexp.studies.analysis.decision import Decision
from tlexp.studies.analysis.findings import CellFinding, Sureness, TransferGain
from tlexp.studies.analysis.table import Cell, Role, StudyTable

_SMOOTHED = 10
"""Points of a curve that are averaged; a batch's loss is noisy."""


def find_gains(
    table: StudyTable, decisions: Sequence[Decision], cells: Mapping[tuple[str, str], CellFinding]
) -> tuple[TransferGain, ...]:
    """Return the best competing column against training from scratch, at every budget at which both ran.

    Budgets at which no column is better than guessing are left out: there is nothing to reach.
    """
    scratch, longer = (_column(table, role) for role in (Role.scratch, Role.scratch_long))
    curve = _curve(table, cells, scratch)
    gains = []
    for decision in decisions:
        best, labels = decision.leader, decision.labels
        reached, base = _accuracy(cells, best, labels), _accuracy(cells, scratch, labels)
        if best is None or reached is None or scratch is None or base is None or decision.sureness is Sureness.chance:
            continue
        steps, all_steps = _steps(table.cells[best, labels], table.cells[scratch, labels])
        gains.append(
            TransferGain(
                column=best,
                labels=labels,
                accuracy=reached,
                scratch=base,
                scratch_long=_accuracy(cells, longer, labels),
                scratch_labels=labels_to_reach(curve, reached),
                steps=steps,
                scratch_steps=all_steps,
            )
        )
    return tuple(gains)


def labels_to_reach(curve: Sequence[tuple[float, float]], accuracy: float) -> float | None:
    """Return where a curve first reaches an accuracy, interpolated in log k; None where it does not.

    Args:
        curve: (labels per class, accuracy) in growing order; where it begins above, the first budget is the answer.
        accuracy: What is to be reached.

    >>> round(labels_to_reach([(1, 0.2), (100, 0.6)], 0.4), 6), labels_to_reach([(1, 0.2), (100, 0.6)], 0.7)
    (10.0, None)
    """
    if curve and curve[0][1] >= accuracy:
        return curve[0][0]
    for (low, below), (high, above) in itertools.pairwise(curve):
        if below < accuracy <= above:
            return float(low * (high / low) ** ((accuracy - below) / (above - below)))
    return None


def steps_to_reach(losses: Sequence[tuple[int, float]], loss: float) -> int | None:
    """Return the first step at which the smoothed loss is as low as that; None where it never is."""
    return next((step for step, value in _smoothed(losses) if value <= loss), None)


def _steps(transferred: Cell, scratch: Cell) -> tuple[float | None, float | None]:
    """Return (steps until the transferred network trains as well as scratch ended, all steps of scratch), means."""
    curves = {each.seed: each.losses for each in scratch.finished}
    pairs = [(each.losses, curves[each.seed]) for each in transferred.finished if each.seed in curves]
    lengths = [theirs[-1][0] for _, theirs in pairs if theirs]
    reached = [steps_to_reach(ours, _smoothed(theirs)[-1][1]) if ours and theirs else None for ours, theirs in pairs]
    known = [step for step in reached if step is not None]
    whole = bool(known) and len(known) == len(pairs)
    return statistics.fmean(known) if whole else None, statistics.fmean(lengths) if lengths else None


def _smoothed(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the running mean over the last points, from the first point on that has as many before it."""
    span = min(_SMOOTHED, len(losses))
    return [
        (losses[end - 1][0], statistics.fmean(value for _, value in losses[end - span : end]))
        for end in range(span, len(losses) + 1)
        if span
    ]


def _curve(
    table: StudyTable, cells: Mapping[tuple[str, str], CellFinding], column: str | None
) -> list[tuple[float, float]]:
    """Return a column's accuracy over labels per class, one point for each number of them."""
    points = {table.per_class[labels]: _accuracy(cells, column, labels) for labels in table.budgets}
    return sorted((labels, value) for labels, value in points.items() if value is not None)


def _column(table: StudyTable, role: Role) -> str | None:
    return next((column.name for column in table.columns if column.role is role), None)


def _accuracy(cells: Mapping[tuple[str, str], CellFinding], column: str | None, labels: str) -> float | None:
    found = None if column is None else cells.get((column, labels))
    return None if found is None or found.accuracy is None else found.accuracy.value
