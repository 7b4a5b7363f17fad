import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.studies.analysis.test_rounds import APART, COLUMNS, in_rounds
from tests.studies.conftest import STRENGTH, MakeTable
from tlexp.jobs.files import ColumnFile
from tlexp.jobs.index import RunIndex
from tlexp.studies.analysis.rounds import HeldRounds, hold_rounds
from tlexp.studies.analysis.table import Cell, Column, Replicate, StudyTable
from tlexp.studies.planning.costs import Estimate
from tlexp.studies.planning.planned_column import PlannedColumn
from tlexp.studies.planning.rounds import (
    due_turns,
    next_turns,
    opens_finals,
    opens_round,
    seconds_left,
    seconds_spent,
)

BUDGETS = ("2", "20")


def planned(column: Column) -> PlannedColumn:
    """Return a column of which only names, budgets, seeds and keys are known."""
    seeds = range(3 if column.is_control else 10)
    runs = [
        SimpleNamespace(key=f"{column.name} {labels} {seed}", budget=SimpleNamespace(labels=labels), seed=seed)
        for labels in BUDGETS
        for seed in seeds
    ]
    return cast(PlannedColumn, SimpleNamespace(column=column, runs=runs))


PLAN = [planned(column) for column in COLUMNS]


@pytest.fixture
def table(make_table: MakeTable) -> StudyTable:
    return make_table(
        seeds=10, columns=COLUMNS, budgets=BUDGETS, strength=STRENGTH | APART, failed=(), waiting=(), noise=0.03,
        per_class=(200,) * 4,
    )  # fmt: skip


def turns(rounds: HeldRounds, tried: set[str]) -> dict[str, int]:
    return {turn.column.column.name: len(turn.runs) for turn in next_turns(PLAN, rounds, tried)}


def keys(rounds: HeldRounds) -> set[str]:
    return {run.key for turn in due_turns(PLAN, rounds) for run in turn.runs}


def test_controls_have_their_turn_when_nothing_is_left_that_decides(table: StudyTable) -> None:
    first = hold_rounds(in_rounds(table, run=0))
    assert turns(first, set()) == {**{f"freeze-{depth}": 6 for depth in range(5)}, "freeze-5": 20}
    tried = {key for key in keys(first) if not key.startswith("scratch")}
    second = hold_rounds(in_rounds(table, run=3))
    assert turns(second, tried) == {"freeze-3": 20, "freeze-4": 20}
    tried |= {key for key in keys(second) if not key.startswith("scratch")}
    assert turns(hold_rounds(in_rounds(table)), tried) == {"scratch": 6}
    assert turns(hold_rounds(in_rounds(table)), keys(second)) == {}


def test_what_was_tried_and_has_not_finished_is_not_tried_again(table: StudyTable) -> None:
    """The round waits for it, and so the study ends in place of going on for ever."""
    first = hold_rounds(in_rounds(table, run=2))
    assert first.round == 1
    assert turns(first, keys(first)) == {}


def test_a_probe_that_left_the_screen_without_a_result_is_tried_anew_once_and_alone(table: StudyTable) -> None:
    """One that was left out by its loss has finished something."""
    left = dataclasses.replace(
        table,
        columns=tuple(each for each in table.columns if each.name != "freeze-4"),
        cells={place: cell for place, cell in table.cells.items() if place[0] != "freeze-4"},
    )
    rounds, probes = hold_rounds(in_rounds(left, run=0)), {"freeze-4", "freeze-5"}
    again = next_turns(PLAN, rounds, set(), probes)
    assert [(each.column.column.name, len(each.runs)) for each in again] == [("freeze-4", 20)]
    seen = {**left.about["study"], "probe_seeds": 3}
    screened = hold_rounds(in_rounds(dataclasses.replace(left, about={**left.about, "study": seen}), run=0))
    assert [len(each.runs) for each in next_turns(PLAN, screened, set(), probes)] == [6], "those of the screen"
    for tried in ({"freeze-4 2 0"}, {f"freeze-4 {labels} {seed}" for labels in BUDGETS for seed in range(10)}):
        assert "freeze-4" not in {each.column.column.name for each in next_turns(PLAN, rounds, tried, probes)}


def test_a_further_round_opens_until_one_of_its_replicates_has_begun(table: StudyTable) -> None:
    first, second = hold_rounds(in_rounds(table, run=0)), hold_rounds(in_rounds(table, run=3))
    assert not opens_round(PLAN, first, set())
    assert opens_round(PLAN, second, keys(first))
    assert not opens_round(PLAN, second, keys(first) | {"freeze-3 2 3"})
    assert not opens_round(PLAN, hold_rounds(in_rounds(table, run=3, stopped=1)), keys(first))


def test_what_is_left_takes_what_the_same_took(table: StudyTable) -> None:
    def seconds(replicate: Any) -> Any:
        return dataclasses.replace(replicate, metrics={**replicate.metrics, "cost/seconds": 5.0})

    cells = {
        place: dataclasses.replace(
            cell, replicates=() if place[0] == "scratch" else tuple(seconds(each) for each in cell.replicates)
        )
        for place, cell in table.cells.items()
    }
    second = hold_rounds(in_rounds(dataclasses.replace(table, cells=cells), run=3))
    estimate = cast(Estimate, SimpleNamespace(run=lambda column, run: 100.0))
    assert seconds_left(PLAN, second, estimate) == 2 * 2 * 7 * 5.0


def test_what_was_done_before_counts_passes_that_no_replicate_has_for_itself() -> None:
    """A study that is typed again has no new minutes."""
    took = {"freeze-3 2 0": 5.0, "freeze-3 20 1": 7.0, "freeze-5 2 0": 1.0}
    index = cast(RunIndex, SimpleNamespace(value=lambda key, metric: took.get(key)))
    assert seconds_spent(PLAN, index, []) == 13.0
    ended = [ColumnFile(column="freeze-5", seconds=40.0), ColumnFile(column="freeze-5", seconds=20.0)]
    assert seconds_spent(PLAN, index, ended) == 12.0 + 60.0


def test_finals_open_when_the_screen_has_ended_until_one_of_their_replicates_has_begun(table: StudyTable) -> None:
    cells = {
        place: dataclasses.replace(cell, replicates=()) if place[0] not in ("freeze-5", "freeze-4") else cell
        for place, cell in table.cells.items()
    }
    probes = [column for column in COLUMNS if column.name in ("freeze-4", "freeze-5")]
    entrants = [{"name": each.name, "columns": [each.name, "freeze-3"], "operations": 1} for each in probes]
    ended = dataclasses.replace(table, about={**table.about, "study": table.about["study"] | {"entrants": entrants}})
    waiting = {("freeze-4", "2"): Cell(column="freeze-4", labels="2", replicates=(Replicate(seed=0, status=None),))}
    screening = hold_rounds(dataclasses.replace(ended, cells=cells | waiting))
    assert not opens_finals(PLAN, screening, set())
    first = {**ended.about["study"], "probe_seeds": 3}
    later = hold_rounds(dataclasses.replace(ended, about={**ended.about, "study": first}))
    assert opens_finals(PLAN, later, {"freeze-5 2 0"})
    assert not opens_finals(PLAN, later, {"freeze-5 2 3"}), "a seed that the screen does not see"
    finals = hold_rounds(ended)
    assert opens_finals(PLAN, finals, {"freeze-5 2 0"})
    assert not opens_finals(PLAN, finals, {"freeze-3 2 0"})
    assert not opens_finals(PLAN, hold_rounds(table), set())
