"""Which column to take at a label budget, and how sure that is."""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.crossfit import Pick, crossfit, highest, ranking
from tlexp.studies.analysis.differences import competing, reach, shared_seeds, stacked
from tlexp.studies.analysis.findings import Interval, Sureness
from tlexp.studies.analysis.intervals import LEAST_GROUPS, Spread, TestImages, interval, spread
from tlexp.studies.analysis.pairs import PairSpreads, difference
from tlexp.studies.analysis.rule import bound_regrets, choose, comparisons, follow, may_be_best, surely_worse
from tlexp.studies.analysis.screen import prior_favourite
from tlexp.studies.analysis.stages import find_entrants
from tlexp.studies.analysis.table import Cell, Column, StudyTable

_NEARLY = 3
"""Margins up to which a bound is told as nearly decided."""


@dataclass(frozen=True, kw_only=True)
class ColumnCost:
    """What a column costs: parameters that it trains, operations to predict an image; None where nobody says."""

    column: Column
    parameters: float | None
    operations: float | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a budget's data say about its columns.

    Attributes:
        labels: The budget.
        sureness: How sure it is.
        candidates: Cells that are compared, in the order of the columns.
        left_out: Columns with too few replicates for an interval.
        peers: Places of the candidates that have at least half as many data seeds as the leader and what is chosen.
        seeds: Data seeds that these share.
        means: (C,) over shared seeds; of a candidate with few of them by its difference to those that have many.
        widths: (C, C) how far the difference of two may be off to one side; inf where none is known, 0 with itself.
        bounds: (C,) what each may lose against the best at most; 1 where none is known, or few seeds leave it as wide.
        reached: (C,) the mean of each over its own seeds, with intervals that hold at once over all candidates.
        margin: `study.margin`.
        leeway: (C, C) how far a column of the network that ImageNet's results favour (first axis) may trail another one
            and still be taken: the standard error of their difference over the seeds; 0 of all other columns.
        costs: (C,) the rank of each one's cost, 0 the cheapest; equal where they cost the same.
        cheapest: Places of the candidates, the cheapest first.
        ranked: Places of the candidates, the highest mean first, of equals the cheapest.
        contenders: Places of those that may be the best one, the highest mean first.
        chosen: Place of the one to take; None where nothing was measured or nothing is better than guessing.
        worse: (C,) whether another one is surely better by more than the margin.
        share: Of the error that all looks at the data may make together, what this one may.
    """

    labels: str
    sureness: Sureness
    candidates: tuple[Cell, ...]
    left_out: tuple[str, ...]
    peers: tuple[int, ...]
    seeds: tuple[int, ...]
    means: NDArray[np.float64]
    widths: NDArray[np.float64]
    bounds: NDArray[np.float64]
    reached: tuple[Interval, ...]
    margin: float
    leeway: NDArray[np.float64]
    costs: NDArray[np.intp]
    cheapest: tuple[int, ...]
    ranked: tuple[int, ...]
    contenders: tuple[int, ...]
    chosen: int | None
    worse: NDArray[np.bool_]
    share: float

    @property
    def leader(self) -> str | None:
        """Name of the column with the highest mean; of equals the cheapest."""
        return self.name(self.ranked[0]) if self.ranked else None

    def name(self, place: int) -> str:
        """Return the name of a candidate."""
        return self.candidates[place].column

    @property
    def compared(self) -> tuple[Cell, ...]:
        """The peers' cells."""
        return tuple(self.candidates[place] for place in self.peers)

    def rule(self) -> Pick:
        """Return the rule of this decision, among the peers."""
        return self.rule_of(self.peers)

    def rule_of(self, places: Sequence[int]) -> Pick:
        """Return the same among some of the candidates."""
        some = np.ix_(places, places)
        return follow(self.widths[some], self.costs[list(places)], self.margin, self.leeway[some])

    def highest_mean(self) -> Pick:
        """Return the rule that takes the highest mean among the peers, of equals the cheapest."""
        return highest([self.peers.index(place) for place in self.cheapest if place in self.peers])

    def crossfitted(self, pick: Pick, images: TestImages) -> Spread | None:
        """Return the cross-fitted accuracy of what a rule picks among the peers; None without a shared seed."""
        if not self.seeds:
            return None
        return crossfit(stacked(self.compared, self.seeds), images, pick)


def decide(
    table: StudyTable,
    labels: str,
    images: TestImages,
    pairs: PairSpreads,
    *,
    dropped: Collection[str] = (),
    above: bool = False,
    share: float = 1.0,
) -> Decision:
    """Return what the data say at a budget.

    Args:
        table: What was measured.
        labels: The budget.
        images: Of the test split.
        pairs: Differences, with variances that borrow.
        dropped: Columns that have left.
        above: Whether an earlier look has told that a column is better than guessing: that stands.
        share: Of the error that all looks at the data may make together, what this one may.
    """
    measured = tuple(cell for cell in competing(table, labels) if cell.column not in dropped)
    candidates = tuple(cell for cell in measured if len(cell.finished) > 1) or measured
    reached = tuple(_reached(table, cell, images, competitors(table) / share) for cell in candidates)
    means = _means(candidates, reached, images)
    values, widths, errors = _matrices(candidates, pairs, comparisons(competitors(table)) / share)
    leeway = np.where(_favoured(table, candidates)[:, None], errors, 0.0)
    upper = values + widths
    bounds = bound_regrets(upper)
    costs = rank_costs(table, candidates)
    cheapest = tuple(np.argsort(costs, kind="stable").tolist())
    ranked = tuple(ranking(means, cheapest).tolist())
    possible = may_be_best(upper)
    chosen = int(choose(means, bounds, costs, table.margin, leeway)) if candidates else None
    peers = _peers(candidates, [place for place in (*ranked[:1], chosen) if place is not None])
    lost = 0.0 if chosen is None else float(bounds[chosen])
    alone = len(candidates) == 1 and not dropped
    above = above or any(each.low is not None and each.low > images.chance for each in reached)
    above = above or (not dropped and _together_above(table, candidates, images, 1 / share))
    sureness = _sureness(candidates, images, lost / table.margin, above=above, alone=alone)
    return Decision(
        labels=labels,
        sureness=sureness,
        candidates=candidates,
        left_out=tuple(cell.column for cell in measured if cell not in candidates),
        peers=peers,
        seeds=shared_seeds([candidates[place] for place in peers]),
        means=means,
        widths=widths,
        bounds=bounds,
        reached=reached,
        margin=table.margin,
        leeway=leeway,
        costs=costs,
        cheapest=cheapest,
        ranked=ranked,
        contenders=tuple(place for place in ranked if possible[place] or place == ranked[0]),
        chosen=None if sureness is Sureness.chance else chosen,
        worse=surely_worse(upper, table.margin),
        share=share,
    )


def rank_costs(table: StudyTable, candidates: Sequence[Cell]) -> NDArray[np.intp]:
    """Return (C,) ranks by the parameters that a column trains, then by operations to predict one image.

    Never by seconds: a clock says something else each time, and columns of the same cost change places. They share a
    rank; 0 is the cheapest, and what is not known counts as dearest.
    """
    columns = {column.name: column for column in table.columns}
    costs = []
    for cell in candidates:
        parameters, operations = trained(columns[cell.column], cell), predicting(cell)
        costs.append((_or_dearest(parameters), _or_dearest(operations)))
    known = sorted(set(costs))
    return np.array([known.index(cost) for cost in costs], dtype=np.intp)


def column_costs(table: StudyTable) -> tuple[ColumnCost, ...]:
    """Return what each column costs, in the stated order, the cheapest first; what never finished is left out."""
    first: dict[str, Cell] = {}
    for (name, _), cell in table.cells.items():
        if cell.finished:
            first.setdefault(name, cell)
    known = [(column, first[column.name]) for column in table.columns if column.name in first]
    costs = [
        ColumnCost(column=column, parameters=trained(column, cell), operations=predicting(cell))
        for column, cell in known
    ]
    return tuple(sorted(costs, key=lambda cost: (_or_dearest(cost.parameters), _or_dearest(cost.operations))))


def competitors(table: StudyTable) -> int:
    """Return how many columns compete."""
    return sum(column.competes for column in table.columns)


def trained(column: Column, cell: Cell) -> float | None:
    """Return how many parameters a column trains; None where neither it nor a record says."""
    return column.trainable or _measured(cell, "cost/trainable_parameters")


def predicting(cell: Cell) -> float | None:
    """Return how many operations it takes to predict one image; None where nobody says."""
    return cell.operations


def _measured(cell: Cell, metric: str) -> float | None:
    """Return what a cell's records say of a cost, which is the same in all; None where none does."""
    return next((value for each in cell.finished if (value := each.metrics.get(metric))), None)


def _or_dearest(cost: float | None) -> float:
    return float("inf") if cost is None else cost


def _sureness(candidates: Sequence[Cell], images: TestImages, margins: float, *, above: bool, alone: bool) -> Sureness:
    """Return how sure it is to take a column that may lose so many margins.

    Args:
        candidates: Cells that are compared.
        images: Of the test split.
        margins: That the column may lose.
        above: Whether any is surely better than guessing.
        alone: Whether nothing else competes.
    """
    if not candidates:
        return Sureness.nothing
    if all(len(cell.finished) < 2 for cell in candidates):
        return Sureness.one_seed
    if images.group_count is not None and images.group_count < LEAST_GROUPS:
        return Sureness.few_groups
    if not above:
        return Sureness.chance
    if alone:
        return Sureness.alone
    return Sureness.decided if margins <= 1 else Sureness.nearly if margins <= _NEARLY else Sureness.open


def _together_above(table: StudyTable, candidates: Sequence[Cell], images: TestImages, family: float) -> bool:
    """Return whether the average of all columns is surely better than guessing, so that one of them is.

    It is one statement, where three seeds tell no one of a dozen columns from guessing, not even .36 from .1: at once
    their intervals are 15 standard errors wide to each side. Lower ends of intervals spend half of the error, so that
    those of the columns and this one spend all of it.
    """
    seeds = shared_seeds(candidates)
    if len(seeds) < 2:
        return False
    average = spread(stacked(candidates, seeds).mean(axis=0), images).of_pool(table.shared_share(candidates[0].labels))
    low = interval(average, family=family).low
    return low is not None and low > images.chance


def _means(candidates: Sequence[Cell], reached: Sequence[Interval], images: TestImages) -> NDArray[np.float64]:
    """Return the means over the seeds that all share, for a column that failed on a hard seed would look too good.

    Rounds give some columns many more seeds than others: those many are not thrown away. A column with few is told by
    its difference, over the seeds that it shares with them, to the mean of those that have many.
    """
    means = np.array([each.value for each in reached])
    many = _peers(candidates, [int(np.argmax([len(cell.finished) for cell in candidates]))] if candidates else [])
    seeds = shared_seeds([candidates[place] for place in many])
    if not seeds:
        return means
    means[list(many)] = spread(stacked([candidates[place] for place in many], seeds), images).value
    level = means[list(many)].mean()
    for place in set(range(len(candidates))) - set(many):
        cells = [candidates[place], *(candidates[each] for each in many)]
        if common := shared_seeds(cells):
            own, *others = spread(stacked(cells, common), images).value
            means[place] = own - np.mean(others) + level
    return means


def _peers(candidates: Sequence[Cell], leading: Sequence[int]) -> tuple[int, ...]:
    """Return the places of those that have at least half as many data seeds as the leading ones."""
    fewest = min((len(candidates[place].finished) for place in leading), default=0)
    return tuple(place for place, cell in enumerate(candidates) if 2 * len(cell.finished) >= fewest)


def _matrices(
    candidates: Sequence[Cell], pairs: PairSpreads, family: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how much better each column (first axis) is than each other (second axis).

    Behind it how far that may be off, and its standard error over the seeds: 0 where nobody knows.
    """
    count = len(candidates)
    values, widths = np.zeros((count, count)), np.where(np.eye(count), 0.0, np.inf)
    errors = np.zeros((count, count))
    for (first, left), (second, right) in itertools.permutations(enumerate(candidates), 2):
        pair = difference(pairs, left.labels, left.column, right.column)
        half = np.nan if pair is None else float(pair.half_width(family, sides=1))
        if pair is not None and np.isfinite(half):
            values[first, second], widths[first, second] = pair.value, half
            errors[first, second] = pair.per_seed.std(ddof=1) / math.sqrt(len(pair.per_seed))
    return values, widths, errors


def _favoured(table: StudyTable, candidates: Sequence[Cell]) -> NDArray[np.bool_]:
    """Return (C,) which are columns of the network that would be taken without a look at the images."""
    known = [each for each in find_entrants(table) if each.prior is not None]
    names = prior_favourite(known).columns if known else ()
    return np.array([cell.column in names for cell in candidates], dtype=bool)


def _reached(table: StudyTable, cell: Cell, images: TestImages, family: float) -> Interval:
    """Return a column's mean with an interval that is simultaneous over so many columns."""
    return interval(reach(table, cell, images), family=family)
