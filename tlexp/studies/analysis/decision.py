"""Which column to take at a label budget, and whether the data can tell at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.crossfit import Pick, crossfit, ranking
from tlexp.studies.analysis.differences import competing, shared_seeds, stacked
from tlexp.studies.analysis.findings import CellFinding, Difference, Interval, Verdict
from tlexp.studies.analysis.intervals import Spread, TestImages, interval, spread
from tlexp.studies.analysis.rule import choose, follow, tighten, worst_loss
from tlexp.studies.analysis.table import Cell, Column, Role, StudyTable


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a budget's data say about its columns.

    Attributes:
        labels: The budget.
        verdict: What they allow to say.
        candidates: Cells that are compared, in the order of the columns.
        left_out: Columns with too few replicates for an interval.
        seeds: Data seeds that all candidates share.
        means: (C,) over the shared seeds.
        worst: (C,) what each may lose against any other at most; 1 where no interval says.
        widths: (C, C) half-widths of the simultaneous intervals of differences; 1 where there is none, 0 with itself.
        reached: (C,) the mean of each over its own seeds, with intervals that hold at once over all candidates.
        above: (C,) whether it is better than guessing, by those intervals.
        alone: (C,) whether it is, by the interval that holds for it alone.
        margin: `study.margin`.
        order: Places of the candidates, the cheapest first.
        ranked: Places of the candidates, the highest mean first, of equals the cheapest.
        contenders: Places of those that may be the best one, the highest mean first.
        chosen: Place of the recommended one; None where nothing is.
    """

    labels: str
    verdict: Verdict
    candidates: tuple[Cell, ...] = ()
    left_out: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    means: NDArray[np.float64]
    worst: NDArray[np.float64]
    widths: NDArray[np.float64]
    reached: tuple[Interval, ...] = ()
    above: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    margin: float
    order: tuple[int, ...] = ()
    ranked: tuple[int, ...] = ()
    contenders: tuple[int, ...] = ()
    chosen: int | None = None

    @property
    def best(self) -> int | None:
        """Place of the highest mean; of equals the cheapest."""
        return self.ranked[0] if self.ranked else None

    @property
    def leader(self) -> str | None:
        """Name of the column with the highest mean."""
        return None if self.best is None else self.name(self.best)

    @property
    def cheapest(self) -> int:
        """Place of the cheapest contender, of those that are better than guessing where some are.

        Each by its own interval: one over all contenders would leave out those whose seeds differ most, cheap or not.
        """
        return min(self.contenders, key=lambda place: (not self.alone[place], self.order.index(place)))

    def name(self, place: int) -> str:
        """Return the name of a candidate."""
        return self.candidates[place].column

    def rule(self) -> Pick:
        """Return the rule of this decision, which takes the highest mean where nothing can be recommended."""
        return follow(self.widths, self.above, self.order, self.margin)

    def crossfitted(self, pick: Pick, images: TestImages) -> Spread | None:
        """Return the cross-fitted accuracy of what a rule picks; None without a shared seed."""
        if not self.seeds:
            return None
        return crossfit(stacked(self.candidates, self.seeds), images, pick)


def decide(
    table: StudyTable,
    labels: str,
    images: TestImages,
    cells: Mapping[tuple[str, str], CellFinding],
    differences: Sequence[Difference],
) -> Decision:
    """Return what the data say at a budget.

    Args:
        table: What was measured.
        labels: The budget.
        images: Of the test split.
        cells: What each cell shows.
        differences: Of the budget, or of all.
    """
    measured = competing(table, labels)
    candidates = tuple(cell for cell in measured if len(cell.finished) > 1) or measured
    left_out = tuple(cell.column for cell in measured if cell not in candidates)
    seeds = shared_seeds(candidates)
    means = _means(candidates, seeds, cells, images)
    names = [cell.column for cell in candidates]
    values, widths = _pairs(names, [pair for pair in differences if pair.labels == labels])
    bounds = tighten(np.where(widths < 1, values + widths, 1.0))
    order = cheapest_first(table, candidates, cells)
    worst = worst_loss(bounds)
    reached = tuple(_reached(cell, images, len(candidates)) for cell in candidates)
    above = np.array([_beats(accuracy, images.chance) for accuracy in reached], dtype=bool)
    alone = np.array([_beats(cells[cell.column, labels].accuracy, images.chance) for cell in candidates], dtype=bool)
    chosen = int(choose(means, worst, above, order, table.margin)) if len(candidates) > 1 else -1
    ranked = tuple(ranking(means, order).tolist())
    may_be_best = bounds.min(axis=-1, initial=0.0) >= 0  # nothing is distinguishably better
    contenders = tuple(place for place in ranked if may_be_best[place] or place == ranked[0])
    verdict = _verdict(candidates, above, ranked, chosen)
    if verdict not in (Verdict.best, Verdict.cheaper):
        chosen = -1
    return Decision(
        labels=labels,
        verdict=verdict,
        candidates=candidates,
        left_out=left_out,
        seeds=seeds,
        means=means,
        worst=worst,
        widths=widths,
        reached=reached,
        above=above,
        alone=alone,
        margin=table.margin,
        order=order,
        ranked=ranked,
        contenders=(chosen,) if chosen >= 0 else contenders,
        chosen=chosen if chosen >= 0 else None,
    )


def cheapest_first(
    table: StudyTable, candidates: Sequence[Cell], cells: Mapping[tuple[str, str], CellFinding]
) -> tuple[int, ...]:
    """Return the places of the candidates: deeper freezing first; ways by trainable parameters, then by seconds."""
    columns = {column.name: column for column in table.columns}
    members = [columns[cell.column] for cell in candidates]
    deep = all(column.role is Role.depth and column.depth is not None for column in members)

    def cost(place: int) -> tuple[float, float]:
        column, finding = members[place], cells[candidates[place].column, candidates[place].labels]
        if deep and column.depth is not None:
            return -column.depth, 0.0
        seconds = float("inf") if finding.seconds is None else finding.seconds
        return trained(column, candidates[place]) or float("inf"), seconds

    return tuple(sorted(range(len(candidates)), key=cost))


def trained(column: Column, cell: Cell) -> float | None:
    """Return how many parameters a column trains; None where neither it nor a record says."""
    measured = (replicate.metrics.get("cost/trainable_parameters") for replicate in cell.finished)
    return column.trainable or next((value for value in measured if value), None)


def _verdict(candidates: Sequence[Cell], above: NDArray[np.bool_], ranked: Sequence[int], chosen: int) -> Verdict:
    if not candidates:
        return Verdict.nothing
    if all(len(cell.finished) < 2 for cell in candidates):
        return Verdict.one_seed
    if not above.any():
        return Verdict.chance
    if len(candidates) == 1:
        return Verdict.alone
    if chosen < 0:
        return Verdict.undecided
    return Verdict.best if chosen == ranked[0] else Verdict.cheaper


def _means(
    candidates: Sequence[Cell], seeds: Sequence[int], cells: Mapping[tuple[str, str], CellFinding], images: TestImages
) -> NDArray[np.float64]:
    """Return the means over the seeds that all share, for a column that failed on a hard seed would look too good."""
    if seeds:
        return spread(stacked(candidates, seeds), images).value
    accuracies = [cells[cell.column, cell.labels].accuracy for cell in candidates]
    return np.array([accuracy.value for accuracy in accuracies if accuracy is not None])


def _pairs(names: Sequence[str], differences: Sequence[Difference]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much better each column (first axis) is than each other (second axis), and the half-widths."""
    places = {name: place for place, name in enumerate(names)}
    values, widths = np.zeros((len(names), len(names))), 1 - np.eye(len(names))
    for pair in differences:
        if pair.first in places and pair.second in places and pair.low is not None and pair.high is not None:
            first, second = places[pair.first], places[pair.second]
            values[first, second], values[second, first] = pair.value, -pair.value
            half = max(pair.high - pair.value, pair.value - pair.low)
            widths[first, second] = widths[second, first] = min(1.0, half)
    return values, widths


def _beats(accuracy: Interval | None, chance: float) -> bool:
    return accuracy is not None and accuracy.low is not None and accuracy.low > chance


def _reached(cell: Cell, images: TestImages, family: int) -> Interval:
    """Return a column's mean with an interval that is simultaneous over so many columns."""
    return interval(spread(stacked([cell], [replicate.seed for replicate in cell.finished])[0], images), family=family)
