"""Data seeds in rounds: after each a study looks at its data, and goes on where they do not decide.

A look is a pure function of the records: from all of them it finds again what each look saw and what it said. All looks
see the same test images, so that each has a share of the error that a study may make; the shares sum to 1. What a look
has said of a budget stands: the bounds of all looks hold at once with 95 %, and it does not matter which one was last.
"""

import dataclasses
import math
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass

from tlexp.studies.analysis.decision import Decision, decide
from tlexp.studies.analysis.findings import OPEN, Departure, Sureness
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.analysis.pairs import PairSpreads, PlainPairs, measure_pairs, with_borrowed_variances
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.analysis.stages import at_stage, find_entrants
from tlexp.studies.analysis.table import Cell, Column, StudyTable
from tlexp.tracking import RunStatus

LOOKS = (3, 10)
"""Data seeds at the looks before the last one."""
SHARES = {1: (1.0,), 2: (0.2, 0.8), 3: (0.1, 0.2, 0.7)}
"""Number of looks -> the share of the error of each. The last has most: few seeds decide little, whatever the error."""
TRAINED = (3, 2)
"""Networks that train on after the first look, and after the second: those whose training has reached most. Finals that
stay open to the last seed train three fifths of what they would; simulated, the best that is left has .01 to .08 points
less than the best of all on average, and the bounds of what is left hold as they did."""


def plan_looks(most: int) -> tuple[int, ...]:
    """Return how many data seeds there are at each look; one is worth its share of the error before twice as many.

    >>> plan_looks(30), plan_looks(10), plan_looks(5)
    ((3, 10, 30), (3, 10), (5,))
    """
    return (*(look for look in LOOKS if 2 * look <= most), most)


def opening_seeds(column: Column, seeds: Sequence[int], looks: Sequence[int]) -> Sequence[int]:
    """Return those of a column's data seeds that it takes in the first round: all where it does not wait for others."""
    return seeds[: looks[0]] if column.in_rounds else seeds


def most_seeds(looks: Sequence[int], trained: Sequence[int], place: int) -> int:
    """Return how many data seeds a network may take in training, if so many others have reached more at every look.

    >>> [most_seeds((3, 10, 30), (3, 2), place) for place in range(5)], most_seeds((3, 10, 30), (), 4)
    ([30, 30, 10, 3, 3], 30)
    """
    leaves = (look for look, most in zip(looks[:-1], trained, strict=False) if place >= most)
    return next(leaves, looks[-1])


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of a budget when its last look was taken.

    Attributes:
        decision: What the data said.
        pairs: The differences that it rests on, with variances that borrow.
        round: Its number, from 1.
    """

    decision: Decision
    pairs: PairSpreads
    round: int


@dataclass(frozen=True, kw_only=True)
class HeldRounds:
    """How far the rounds of a study have come.

    Attributes:
        table: What was measured, with the replicates that have their turn by now and no others.
        looks: The last of each budget.
        dropped: (column, budget) -> how it left.
        round: The one that goes on or was the last, from 1.
        ended: Whether no budget is open any more, or no further round is planned.
        plain: All pairs, with the variances that each shows by itself.
        images: That all of them were tested on.
    """

    table: StudyTable
    looks: Mapping[str, Look]
    dropped: Mapping[tuple[str, str], Departure]
    round: int
    ended: bool
    plain: PlainPairs
    images: TestImages


def hold_rounds(table: StudyTable) -> HeldRounds:
    """Return what the looks at a study's data have said.

    Args:
        table: All that was measured, with all replicates that may ever have their turn.
    """
    table = at_stage(table)
    planned, images = table.looks, TestImages(labels=table.labels, groups=table.groups)
    seeds = {place: len(opening_seeds(_column(table, place), table.seeds, planned)) for place in table.cells}
    looks: dict[str, Look] = {}
    dropped: dict[tuple[str, str], Departure] = {}
    known: PlainPairs = {}
    going = table.budgets
    for number, share in enumerate(SHARES[len(planned)], 1):
        seen = _restricted(table, seeds)
        pairs = with_borrowed_variances(seen, measure_pairs(seen, images, known))
        for labels in going:
            out = {column for column, budget in dropped if budget == labels}
            above = labels in looks and looks[labels].decision.sureness in (Sureness.open, Sureness.nearly)
            decision = decide(seen, labels, images, pairs, dropped=out, above=above, share=share)
            looks[labels] = Look(decision=decision, pairs=pairs, round=number)
        over = all(_is_over(seen, labels, dropped) for labels in going)
        going = tuple(labels for labels in going if looks[labels].decision.sureness in OPEN)
        if not over or not going or number in (len(planned), table.stopped):
            break
        decisions = [looks[labels].decision for labels in going]
        for decision in decisions:
            dropped |= dict.fromkeys(_worse(decision), Departure(round=number, surely=True))
        on = [place for place in seen.cells if place[1] in going and place not in dropped and _trains_on(seen, place)]
        for most in table.trained[number - 1 : number]:
            trailing = _trailing(seen, decisions, on, most)
            behind = (place for place in on if place[0] in trailing)
            dropped |= dict.fromkeys(behind, Departure(round=number, surely=False))
        seeds |= {place: planned[number] for place in on if place not in dropped}
    return HeldRounds(table=seen, looks=looks, dropped=dropped, round=number, ended=over, plain=known, images=images)


def _restricted(table: StudyTable, seeds: Mapping[tuple[str, str], int]) -> StudyTable:
    """Return the table with so many of each cell's replicates."""
    cells = {place: _first(cell, table.seeds[: seeds[place]]) for place, cell in table.cells.items()}
    most = max(seeds.values(), default=0)
    return dataclasses.replace(table, cells=cells, seeds=table.seeds[:most])


def _first(cell: Cell, seeds: Sequence[int]) -> Cell:
    return dataclasses.replace(cell, replicates=tuple(each for each in cell.replicates if each.seed in seeds))


def _is_over(table: StudyTable, labels: str, dropped: Container[tuple[str, str]]) -> bool:
    """Return whether all replicates that decide have run; one that failed by itself has."""
    cells = [table.cells.get((column.name, labels)) for column in table.columns if column.competes]
    return all(
        replicate.status not in (None, RunStatus.killed)
        for cell in cells
        if cell is not None and (cell.column, labels) not in dropped
        for replicate in cell.replicates
    )


def _worse(decision: Decision) -> list[tuple[str, str]]:
    return [(decision.name(place), decision.labels) for place in decision.worse.nonzero()[0].tolist()]


def _trailing(table: StudyTable, decisions: Sequence[Decision], on: Collection[tuple[str, str]], most: int) -> set[str]:
    """Return the columns of networks, or sizes, other than so many whose training has reached most.

    What one's training reaches at a budget is the highest mean of its columns that train on there; it trails by what
    the best of all reaches more, on average over the budgets at which one of its columns trains on.

    Args:
        table: What was measured.
        decisions: Of the budgets that are open.
        on: (column, budget) of what would train on.
        most: Networks that do.
    """
    reached = []
    for each in decisions:
        means = zip((cell.column for cell in each.candidates), each.means.tolist(), strict=True)
        reached.append({column: mean for column, mean in means if (column, each.labels) in on})

    def behind(entrant: Entrant) -> float:
        own = [[mean for column, mean in means.items() if column in entrant.columns] for means in reached]
        gaps = [max(means.values()) - max(mine) for means, mine in zip(reached, own, strict=True) if mine]
        return sum(gaps) / len(gaps) if gaps else math.inf

    trailing = sorted(find_entrants(table), key=behind)[most:]
    return {name for each in trailing for name in each.columns}


def _trains_on(table: StudyTable, place: tuple[str, str]) -> bool:
    """Return whether a cell takes further seeds; one of which every replicate failed would go on failing."""
    return _column(table, place).in_rounds and bool(table.cells[place].finished)


def _column(table: StudyTable, place: tuple[str, str]) -> Column:
    return next(column for column in table.columns if column.name == place[0])
