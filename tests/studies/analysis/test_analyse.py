import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest

from tests.studies.conftest import DEPTHS, STRENGTH, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Sureness
from tlexp.studies.analysis.table import StudyTable


def test_a_realistic_study_is_told_whole(make_table: MakeTable) -> None:
    table = make_table()
    found = analyse(table)
    assert set(found.cells) == set(table.cells)
    assert [each.labels for each in found.recommendations] == list(table.budgets)
    assert len(found.differences) == 15 * len(table.budgets)
    assert all(each.family == 15 for each in found.differences)
    assert found.crossings
    assert found.transfer
    assert found.regrets


def test_where_the_minutes_left_one_column_alone_no_model_is_described(make_table: MakeTable) -> None:
    """Nothing is recommended there, and so there is no recommended model that tells something wrong."""
    table = make_table(columns=DEPTHS[:1], failed=(), waiting=(), missing=())
    assert analyse(table).model is not None
    left = dataclasses.replace(table, skipped={DEPTHS[1].title: "to fit study.minutes=1"})
    assert analyse(left).model is None


def test_the_same_table_gives_the_same_findings(make_table: MakeTable) -> None:
    first, second = analyse(make_table()), analyse(make_table())
    assert first.recommendations == second.recommendations
    assert first.differences == second.differences


def test_cells_count_what_finished_failed_and_waits(make_table: MakeTable) -> None:
    found = analyse(make_table(seeds=5)).cells
    failed, waiting = found["freeze-1", "20"], found["freeze-4", "100"]
    assert (failed.count, failed.failed, failed.missing) == (4, 1, 0)
    assert (waiting.count, waiting.failed, waiting.missing) == (4, 0, 1)
    assert found["freeze-0", "5"].at_edge == 1
    assert found["freeze-1", "5"].at_edge == 0


def test_cells_tell_the_records_metrics(make_table: MakeTable) -> None:
    table = make_table(per_class=(100, 50, 20, 10))
    cell, found = table.cells["freeze-2", "5"], analyse(table).cells["freeze-2", "5"]
    values = [each.metrics["test/balanced_accuracy"] for each in cell.replicates]
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(np.mean(values))
    assert found.seed_sd == pytest.approx(np.std(values, ddof=1))
    assert found.plain == pytest.approx(np.mean([each.metrics["test/accuracy"] for each in cell.replicates]))
    assert found.plain != pytest.approx(found.accuracy.value, abs=1e-4)


def test_differences_are_paired_and_turn_with_the_columns(make_table: MakeTable) -> None:
    table = make_table(failed=[("freeze-1", "20", 1)], waiting=[("freeze-2", "20", 4)])
    turned = dataclasses.replace(table, columns=tuple(reversed(table.columns)))
    there = {(each.labels, each.first, each.second): each for each in analyse(table).differences}
    back = {(each.labels, each.second, each.first): each for each in analyse(turned).differences}
    assert set(there) == set(back)
    for place, each in there.items():
        assert each.value == pytest.approx(-back[place].value)
        assert each.low == pytest.approx(-(back[place].high or 0))
    pair = there["20", "freeze-1", "freeze-2"]
    assert pair.seeds == 3
    shared = [
        [each.metrics["test/balanced_accuracy"] for each in table.cells[name, "20"].finished if each.seed in (0, 2, 3)]
        for name in ("freeze-1", "freeze-2")
    ]
    assert pair.value == pytest.approx(np.mean(shared[0]) - np.mean(shared[1]))


def test_pairing_narrows_what_seeds_and_images_have_in_common(make_table: MakeTable) -> None:
    found = analyse(make_table(seeds=10))
    pair = next(each for each in found.differences if each.labels == "2")
    widths = []
    for name in (pair.first, pair.second):
        accuracy = found.cells[name, "2"].accuracy
        assert accuracy is not None
        widths.append((accuracy.high or 0) - (accuracy.low or 0))
    assert pair.alone_low is not None
    assert (pair.alone_high or 0) - pair.alone_low < 0.9 * np.hypot(*widths)


def test_simultaneous_intervals_are_wider_than_those_alone(make_table: MakeTable) -> None:
    for each in analyse(make_table()).differences:
        assert each.low is not None
        assert each.alone_low is not None
        assert each.low < each.alone_low <= each.value <= (each.alone_high or 0) < (each.high or 0)


def test_controls_are_not_compared_and_never_recommended(make_table: MakeTable) -> None:
    found = analyse(make_table(seeds=10, strength=STRENGTH | {"ridge": (2.5, 0.2)}))
    names = {name for each in found.differences for name in (each.first, each.second)}
    assert names == {column.name for column in DEPTHS}
    assert all("ridge" not in each.contenders and each.best != "ridge" for each in found.recommendations)


def test_two_seeds_give_wide_intervals_and_one_gives_none(make_table: MakeTable) -> None:
    two = analyse(make_table(seeds=2, failed=(), waiting=()))
    ten = analyse(make_table(seeds=10, failed=(), waiting=()))
    widths = [
        np.median([(each.high or 0) - (each.low or 0) for each in found.differences if each.high is not None])
        for found in (two, ten)
    ]
    assert widths[0] > 3 * widths[1]
    one = analyse(make_table(seeds=1, failed=(), waiting=()))
    assert all(each.low is None and not each.distinguishable for each in one.differences)
    assert all(each.seed_sd is None for each in one.cells.values())
    assert all(each.sureness is Sureness.one_seed and each.bound is None for each in one.recommendations)


def test_columns_without_a_common_seed_are_not_compared(make_table: MakeTable) -> None:
    failed = [("freeze-0", "5", 0), ("freeze-0", "5", 1), ("freeze-1", "5", 2), ("freeze-1", "5", 3)]
    found = analyse(make_table(seeds=4, failed=failed, waiting=()))
    assert not [e for e in found.differences if e.labels == "5" and {e.first, e.second} == {"freeze-0", "freeze-1"}]
    told = next(each for each in found.recommendations if each.labels == "5")
    assert told.accuracy is None
    assert {each.column for each in told.candidates if each.bound is None} == {"freeze-0", "freeze-1"}


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_columns_that_are_all_right_or_all_wrong_have_honest_intervals(make_table: MakeTable, right: float) -> None:
    table = _fixed(make_table(columns=DEPTHS, seeds=3, failed=(), waiting=()), right)
    found = analyse(table)
    for each in found.differences:
        assert each.value == 0
        assert each.low is not None
        assert each.low < -0.01  # 240 images cannot rule out that 1 in 100 differs
    told = {each.sureness for each in found.recommendations}
    assert told == {Sureness.chance} if right == 0 else Sureness.decided not in told
    for cell in found.cells.values():
        assert cell.accuracy is not None
        assert (cell.accuracy.high or 0) - (cell.accuracy.low or 0) > 0.01


def test_many_images_that_all_columns_tell_right_decide_for_the_cheapest(make_table: MakeTable) -> None:
    table = _fixed(make_table(columns=DEPTHS, seeds=3, failed=(), waiting=(), per_class=(500,) * 4), 1.0)
    assert {(each.column, each.sureness) for each in analyse(table).recommendations} == {("freeze-5", "decided")}


def test_no_clock_changes_what_is_said(make_table: MakeTable) -> None:
    table = make_table(columns=DEPTHS, strength={column.name: (0.5, 0.2) for column in DEPTHS})
    hours = iter(np.random.default_rng(0).permutation(1000).astype(float).tolist())
    cells = {
        place: dataclasses.replace(
            cell,
            replicates=tuple(
                dataclasses.replace(each, metrics={**each.metrics, "cost/seconds": next(hours)})
                for each in cell.replicates
            ),
        )
        for place, cell in table.cells.items()
    }
    assert analyse(dataclasses.replace(table, cells=cells)).recommendations == analyse(table).recommendations


def test_one_budget_has_no_crossing_to_speak_of(make_table: MakeTable) -> None:
    found = analyse(make_table(budgets=["20"], missing=(), failed=(), waiting=()))
    assert not any(each.changes for each in found.crossings)
    assert len(found.recommendations) == 1


def test_a_missing_cell_shrinks_the_family_of_its_budget_alone(make_table: MakeTable) -> None:
    found = analyse(make_table(missing=[("freeze-3", "5")]))
    families = {each.labels: each.family for each in found.differences}
    assert families == {"2": 15, "5": 10, "20": 15, "100": 15}
    assert ("freeze-3", "5") not in found.cells


def test_no_finished_cell_at_all_is_told(make_table: MakeTable) -> None:
    table = make_table(seeds=2)
    waiting = list(itertools.product([column.name for column in table.columns], table.budgets, range(2)))
    empty = dataclasses.replace(
        make_table(seeds=2, waiting=waiting, failed=()), labels=np.empty(0, dtype=np.int64), classes=(), record=None
    )
    found = analyse(empty)
    assert (found.differences, found.crossings, found.transfer) == ((), (), ())
    assert all(each.accuracy is None and each.missing == 2 for each in found.cells.values())
    assert {each.sureness for each in found.recommendations} == {Sureness.nothing}


def test_unbalanced_classes_weigh_alike(make_table: MakeTable) -> None:
    table = make_table(per_class=(400, 40, 40, 5), seeds=5, failed=(), waiting=())
    cell = table.cells["freeze-0", "20"]
    found = analyse(table).cells["freeze-0", "20"]
    recalls = [
        np.mean([each.correct[table.labels == label].mean() for each in cell.finished if each.correct is not None])
        for label in range(4)
    ]
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(np.mean(recalls))


def test_statistics_import_no_framework() -> None:
    code = (
        "import sys, tlexp.studies.analysis.analyse, tlexp.studies.analysis.reading; "
        "print({'torch', 'mlflow', 'optuna', 'hydra', 'omegaconf', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_of_equal_columns_the_cheapest_is_named_everywhere(make_table: MakeTable) -> None:
    table = make_table(failed=(), waiting=(), missing=())
    cells = {
        (name, labels): dataclasses.replace(table.cells["freeze-5", labels], column=name) if name[-1] in "234" else cell
        for (name, labels), cell in table.cells.items()
    }
    found = analyse(dataclasses.replace(table, cells=cells))
    told = next(each for each in found.recommendations if each.labels == "2")
    assert told.contenders[:4] == ("freeze-5", "freeze-4", "freeze-3", "freeze-2")
    assert told.column == told.best == found.transfer[0].column == "freeze-5"


def _fixed(table: StudyTable, right: float) -> StudyTable:
    """Return the table as if every column told all images right, or none."""
    cells = {
        place: dataclasses.replace(
            cell,
            replicates=tuple(
                dataclasses.replace(each, correct=np.full(len(table.labels), bool(right))) for each in cell.replicates
            ),
        )
        for place, cell in table.cells.items()
    }
    return dataclasses.replace(table, cells=cells)
