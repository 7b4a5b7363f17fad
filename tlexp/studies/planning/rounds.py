"""Which replicates of a plan have their turn, by what the looks at the data have said so far."""

import statistics
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace

from tlexp.jobs.files import ColumnFile
from tlexp.jobs.index import RunIndex
from tlexp.studies.analysis.rounds import HeldRounds
from tlexp.studies.analysis.stages import find_entrants, is_screening, screened
from tlexp.studies.planning.costs import Estimate, training_cells
from tlexp.studies.planning.planned_column import PlannedColumn, PlannedRun
from tlexp.studies.planning.study_plan import StudyPlan
from tlexp.tracking import RunStatus


@dataclass(frozen=True, kw_only=True)
class ColumnTurn:
    """The replicates of a column that have their turn, those that have finished among them."""

    column: PlannedColumn
    runs: tuple[PlannedRun, ...]


def due_turns(columns: Sequence[PlannedColumn], rounds: HeldRounds) -> list[ColumnTurn]:
    """Return what has its turn in the round that goes on, and had it before."""
    due = {(*place, replicate.seed) for place, cell in rounds.table.cells.items() for replicate in cell.replicates}
    return [
        ColumnTurn(
            column=column,
            runs=tuple(run for run in column.runs if (column.column.name, run.budget.labels, run.seed) in due),
        )
        for column in columns
    ]


def next_turns(
    columns: Sequence[PlannedColumn], rounds: HeldRounds, tried: Container[str], probes: Container[str] = ()
) -> list[ColumnTurn]:
    """Return the columns of which something is left to do in this round; those that decide nothing come last of all.

    Probes that left the screen without a result, when the study was typed before, come first and alone: what they reach
    may bring another network into the finals.

    Args:
        columns: Of the plan.
        rounds: How far they have come.
        tried: Keys of the replicates that have finished, or failed just now.
        probes: Names of the columns that screen.
    """
    due = {column.name for column in rounds.table.columns}
    lost = [each for each in columns if each.column.name in probes and each.column.name not in due]
    if again := [each for each in lost if not any(run.key in tried for run in each.runs)]:
        seen = rounds.table.probed_seeds
        return [ColumnTurn(column=each, runs=tuple(run for run in each.runs if run.seed in seen)) for each in again]
    left = [turn for turn in due_turns(columns, rounds) if any(run.key not in tried for run in turn.runs)]
    return [turn for turn in left if not turn.column.column.is_control] or left


def in_order(
    plan: StudyPlan, turns: Sequence[ColumnTurn], rounds: HeldRounds, estimate: Estimate, always: Container[str] = ()
) -> list[ColumnTurn]:
    """Return turns in the order in which they run, for the minutes may end what comes last: the cheapest column first.

    Of what finals train that is first which is wanted most, and of a column the largest budget, behind what runs in any
    case.

    Args:
        plan: Of the study.
        turns: Of one round.
        rounds: How far the study has come.
        estimate: With what has finished.
        always: Keys of what runs in any case.
    """
    finalists = [each.entrant.name for each in screened(rounds.table) or ()]
    wanted = list(dict.fromkeys(column.column.name for column, _ in training_cells(plan, finalists)))
    budgets = [each.labels for each in plan.budgets]

    def place(turn: ColumnTurn) -> tuple[int, float]:
        name = turn.column.column.name
        return wanted.index(name) if name in wanted else -1, estimate.of(turn.column, turn.runs)

    def largest_first(turn: ColumnTurn) -> ColumnTurn:
        runs = sorted(turn.runs, key=lambda run: (run.key not in always, -budgets.index(run.budget.labels)))
        return replace(turn, runs=tuple(runs)) if turn.column.column.name in wanted else turn

    return [largest_first(turn) for turn in sorted(turns, key=place)]


def late_turns(columns: Sequence[PlannedColumn], rounds: HeldRounds, tried: Container[str]) -> list[ColumnTurn]:
    """Return what had its turn in this round and has not ended: the minutes were up before.

    Args:
        columns: Of the plan.
        rounds: How far they have come.
        tried: As of `next_turns`.
    """
    cells = rounds.table.cells.values()
    open_ = {
        (cell.column, cell.labels, each.seed)
        for cell in cells
        for each in cell.replicates
        if each.status in (None, RunStatus.killed)
    }
    late = [
        ColumnTurn(
            column=turn.column,
            runs=tuple(
                run
                for run in turn.runs
                if run.key in tried and (turn.column.column.name, run.budget.labels, run.seed) in open_
            ),
        )
        for turn in due_turns(columns, rounds)
    ]
    return [turn for turn in late if turn.runs]


def opens_finals(columns: Sequence[PlannedColumn], rounds: HeldRounds, begun: Container[str]) -> bool:
    """Return whether a screen has ended, and no replicate that it does not see has begun.

    Args:
        columns: Of the plan.
        rounds: How far they have come.
        begun: As of `opens_round`.
    """
    entrants, table = find_entrants(rounds.table), rounds.table
    if not entrants or is_screening(table):
        return False
    seen = {(each.columns[0], seed) for each in entrants for seed in table.probed_seeds}
    finals = [(turn.column.column.name, run) for turn in due_turns(columns, rounds) for run in turn.runs]
    return not any(run.key[:16] in begun for name, run in finals if (name, run.seed) not in seen)


def opens_round(columns: Sequence[PlannedColumn], rounds: HeldRounds, begun: Container[str]) -> bool:
    """Return whether the round is a further one of which no replicate has begun.

    Args:
        columns: Of the plan.
        rounds: How far they have come.
        begun: First 16 signs of the keys of replicates that were ever taken up, as their folders are named.
    """
    if rounds.round == 1 or rounds.ended:
        return False
    before = rounds.table.looks[rounds.round - 2]
    new = rounds.table.seeds[before:]
    waiting = [turn for turn in due_turns(columns, rounds) if turn.column.column.in_rounds]
    return not any(run.key[:16] in begun for turn in waiting for run in turn.runs if run.seed in new)


def seconds_left(columns: Sequence[PlannedColumn], rounds: HeldRounds, estimate: Estimate) -> float:
    """Return what is left of this round and of controls, by replicates of the same budget or else by estimate."""
    cells = rounds.table.cells
    left = 0.0
    for turn in due_turns(columns, rounds):
        for run in turn.runs:
            finished = {each.seed: each.metrics for each in cells[turn.column.column.name, run.budget.labels].finished}
            took = [metrics["cost/seconds"] for metrics in finished.values() if "cost/seconds" in metrics]
            if run.seed not in finished:
                left += statistics.fmean(took) if took else estimate.run(turn.column, run)
    return left


def seconds_spent(columns: Sequence[PlannedColumn], index: RunIndex, ended: Sequence[ColumnFile]) -> float:
    """Return what has been done took, see `column_seconds`.

    Args:
        columns: Of the plan.
        index: What is there of their replicates.
        ended: How their jobs ended.
    """
    return sum(column_seconds(column.column.name, (run.key for run in column.runs), index, ended) for column in columns)


def column_seconds(name: str, keys: Iterable[str], index: RunIndex, ended: Sequence[ColumnFile]) -> float:
    """Return what has been done of a column took.

    Its jobs take longer than its replicates, which share a pass over the images; of one that was interrupted only the
    replicates are known.

    Args:
        name: Of the column.
        keys: Of its replicates.
        index: What is there of them.
        ended: How jobs ended, its own and others.
    """
    jobs = sum(job.seconds for job in ended if job.column == name)
    return max(jobs, sum(index.value(key, "cost/seconds") or 0.0 for key in keys))
