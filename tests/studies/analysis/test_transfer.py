import dataclasses

import pytest

from tests.studies.conftest import CONTROLS, DEPTHS, STRENGTH, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Sureness
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.analysis.transfer import labels_to_reach, steps_to_reach
from tlexp.studies.report.markdown import build_markdown
from tlexp.studies.report.sections import build_document

CURVE = [(2.0, 0.3), (5.0, 0.4), (20.0, 0.38), (100.0, 0.7)]


def test_labels_to_reach_lie_on_the_curve_in_log_k() -> None:
    assert labels_to_reach(CURVE, 0.4) == pytest.approx(5)
    assert labels_to_reach(CURVE, 0.7) == pytest.approx(100)
    found = labels_to_reach(CURVE, 0.54)
    assert found == pytest.approx((20 * 100) ** 0.5)  # half of the way up is half of the way in log k


def test_what_is_not_reached_is_not_extrapolated() -> None:
    assert labels_to_reach(CURVE, 0.71) is None
    assert labels_to_reach([], 0.5) is None
    assert labels_to_reach(CURVE, 0.1) == 2  # at most so many: there is no smaller budget


def test_steps_are_those_of_the_smoothed_loss() -> None:
    falling = [(step, 1.0 - step / 100) for step in range(1, 101)]
    assert steps_to_reach(falling, 0.5) == 55  # the mean of ten points lags by four and a half
    spiky = [(step, 0.0 if step == 3 else value) for step, value in falling]
    found = steps_to_reach(spiky, 0.5)
    assert found is not None
    assert found > 40
    assert steps_to_reach(falling, -1) is None
    assert steps_to_reach([], 0.5) is None


def test_transfer_is_compared_with_scratch_where_both_ran(make_table: MakeTable) -> None:
    found = {
        each.labels: each for each in analyse(make_table(missing=[("scratch", "5"), ("scratch-long", "2")])).transfer
    }
    assert list(found) == ["2", "20", "100"]
    assert found["2"].scratch_long is None
    assert found["20"].scratch_long is not None
    assert all(each.accuracy > each.scratch for each in found.values())


def test_scratch_needs_more_labels_for_the_same(make_table: MakeTable) -> None:
    strength = {"freeze-0": (0.1, 0.1), "scratch": (-0.4, 0.5)}
    columns = [DEPTHS[0], *(column for column in make_table().columns if column.name == "scratch")]
    found = analyse(make_table(columns=columns, strength=strength, missing=(), failed=(), waiting=())).transfer
    asked = [each.scratch_labels for each in found]
    assert asked[0] is not None
    assert asked[0] > 4 * 2
    assert found[0].column == "freeze-0"


def test_steps_say_nothing_where_a_curve_is_missing(make_table: MakeTable) -> None:
    table = make_table(columns=[column for column in make_table().columns if column.name in ("freeze-0", "scratch")])
    whole = analyse(table).transfer[0]
    assert whole.steps is not None
    assert whole.steps < 100 < (whole.scratch_steps or 0) == 200  # the pretrained one's pace is a third
    assert analyse(_without_curves(table, "freeze-0")).transfer[0].steps is None
    assert analyse(_without_curves(table, "freeze-0", seed=0)).transfer[0].steps is None
    lost = analyse(_without_curves(table, "scratch")).transfer[0]
    assert (lost.steps, lost.scratch_steps) == (None, None)


def test_a_study_without_controls_has_no_gains(make_table: MakeTable) -> None:
    assert analyse(make_table(columns=DEPTHS)).transfer == ()


def _without_curves(table: StudyTable, column: str, seed: int | None = None) -> StudyTable:
    """Return the table without the curves of a column, or of one seed of it."""
    cells = {
        place: dataclasses.replace(
            cell,
            replicates=tuple(
                dataclasses.replace(each, losses=()) if seed in (None, each.seed) else each for each in cell.replicates
            ),
        )
        if cell.column == column
        else cell
        for place, cell in table.cells.items()
    }
    return dataclasses.replace(table, cells=cells)


@pytest.mark.usefixtures("undrawn")
def test_what_is_no_better_than_guessing_is_nothing_to_reach(make_table: MakeTable) -> None:
    strength = STRENGTH | {column.name: (-0.5755, 0.0) for column in (*DEPTHS, *CONTROLS)}
    found = analyse(make_table(strength=strength, failed=(), waiting=()))
    assert {each.sureness for each in found.recommendations} == {Sureness.chance}
    assert found.transfer == ()
    report = build_document(found)
    assert all(each.title != "Transfer against training from scratch" for each in report.sections)
    assert "does not reach" not in build_markdown(report)
