import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tests.studies.conftest import MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.rounds import hold_rounds
from tlexp.studies.analysis.stages import at_stage, screened
from tlexp.studies.analysis.table import Column, Replicate, Role, StudyTable
from tlexp.tracking import RunStatus
from tlexp.tracking.blocks import SelectionBlock, TrialBlock

LOSS: Mapping[str, float] = {"a": 0.9, "b": 0.8, "c": 0.3, "d": 0.4, "e": 0.5, "f": 0.6}
COLUMNS = tuple(
    Column(name=f"{name}-{depth}", title=f"{name}-{depth}", role=Role.way, depth=None, solved=depth == "frozen")
    for name in LOSS
    for depth in ("frozen", "none")
)
ENTRANTS: list[dict[str, Any]] = [
    {
        "name": name,
        "columns": [f"{name}-frozen", f"{name}-none"],
        "operations": number,
        "prior": 70.0 + "aeb".find(name),
    }
    for number, name in enumerate(LOSS, 1)
]


def probed(replicate: Replicate, loss: float) -> Replicate:
    trials = (TrialBlock(number=0, rates={}, loss=loss + 1), TrialBlock(number=1, rates={}, loss=loss))
    block = SelectionBlock(kind="folds", folds=5, winner={}, trials=trials, flags=(), unsolved=(), refit=True)
    metrics = {**replicate.metrics, "val/balanced_accuracy": 1 - loss}
    return dataclasses.replace(replicate, selection=block, metrics=metrics)


@pytest.fixture
def table(make_table: MakeTable) -> StudyTable:
    made = make_table(
        seeds=3, columns=COLUMNS, budgets=("5", "20"), failed=(), waiting=(), missing=(), per_class=(20,) * 4,
        strength={column.name: (1 - LOSS[column.name[0]], 0.1) for column in COLUMNS},
    )  # fmt: skip
    cells = {
        (name, labels): dataclasses.replace(
            cell, replicates=tuple(probed(each, LOSS[name[0]]) for each in cell.replicates)
        )
        for (name, labels), cell in made.cells.items()
    }
    about = {**made.about, "study": {**made.about["study"], "entrants": ENTRANTS}}
    return dataclasses.replace(made, cells=cells, about=about)


def left(table: StudyTable, *places: tuple[str, str], status: RunStatus | None = None) -> StudyTable:
    """Return the table with replicates that did not finish, one of each cell."""
    cells = dict(table.cells)
    for place in places:
        first, *others = cells[place].replicates
        gone = Replicate(seed=first.seed, status=status)
        cells[place] = dataclasses.replace(cells[place], replicates=(gone, *others))
    return dataclasses.replace(table, cells=cells)


def names(table: StudyTable) -> set[str]:
    return {column.name for column in table.columns}


def test_all_probes_have_their_turn_first(table: StudyTable) -> None:
    for status in (None, RunStatus.killed):
        going = left(table, ("c-frozen", "20"), status=status)
        assert screened(going) is None
        rounds = hold_rounds(going)
        assert names(rounds.table) == {f"{name}-frozen" for name in LOSS}
        assert not rounds.ended


def test_the_columns_of_finalists_follow_and_the_others_never_have_their_turn(table: StudyTable) -> None:
    going = left(table, *((column.name, "5") for column in COLUMNS if not column.solved))
    rounds = hold_rounds(going)
    assert names(rounds.table) == {f"{name}-{depth}" for name in "bcde" for depth in ("frozen", "none")}
    assert not rounds.ended
    assert hold_rounds(table).ended
    assert {pair.first[0] + pair.second[0] for pair in analyse(table).differences} <= {
        first + second for first in "bcde" for second in "bcde"
    }


def test_a_screen_sees_its_own_seeds_alone_and_finalists_have_the_others_later(table: StudyTable) -> None:
    about = {**table.about, "study": {**table.about["study"], "probe_seeds": 2}}
    table = dataclasses.replace(table, about=about)
    last = {
        place: dataclasses.replace(
            cell, replicates=(*cell.replicates[:2], probed(cell.replicates[2], 0.0 if place[0][0] == "a" else 0.9))
        )
        for place, cell in table.cells.items()
    }  # as the last seed tells it, a is the best
    seen = dataclasses.replace(table, cells=last)
    assert screened(seen) == screened(table)
    waiting = {
        place: dataclasses.replace(
            cell, replicates=(*cell.replicates[:2], Replicate(seed=cell.replicates[2].seed, status=None))
        )
        for place, cell in table.cells.items()
    }
    assert screened(dataclasses.replace(table, cells=waiting)) == screened(table)
    rounds = hold_rounds(dataclasses.replace(table, cells=waiting))
    assert not rounds.ended
    assert len(rounds.table.cells["c-frozen", "20"].replicates) == 3
    screening = hold_rounds(left(dataclasses.replace(table, cells=waiting), ("c-frozen", "20")))
    assert {len(cell.replicates) for cell in screening.table.cells.values()} == {2}


def test_a_probe_that_failed_by_itself_does_not_hold_the_screen_up(table: StudyTable) -> None:
    ended = screened(left(table, ("c-frozen", "20"), status=RunStatus.diverged))
    assert ended is not None
    assert {each.entrant.name for each in ended if each.goes_on} == {"b", "c", "d", "e"}


def test_an_entrant_that_was_not_looked_at_is_none(table: StudyTable) -> None:
    kept = tuple(column for column in table.columns if column.name[0] != "c")
    cells = {place: cell for place, cell in table.cells.items() if place[0][0] != "c"}
    ended = screened(dataclasses.replace(table, columns=kept, cells=cells))
    assert ended is not None
    assert "c" not in {each.entrant.name for each in ended}


def test_a_study_without_entrants_is_all_finals(table: StudyTable) -> None:
    plain = dataclasses.replace(table, about={**table.about, "study": {**table.about["study"], "entrants": []}})
    assert at_stage(plain) is plain
    assert screened(plain) == ()
