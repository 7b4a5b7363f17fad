import dataclasses

import pytest

from tests.studies.conftest import DEPTHS, a_table
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.forecast import Outlook
from tlexp.studies.analysis.table import StudyTable

BUDGETS = ("2", "5", "10", "20", "50")
STEEP = {f"freeze-{depth}": (0.9 - 0.3 * abs(depth - 3), 0.5) for depth in range(6)}
"""Column -> (probit of the accuracy with 2 labels, what ten times add): three frozen units are best throughout."""


def looked(table: StudyTable) -> Outlook:
    outlook = analyse(table).outlook
    assert outlook is not None
    return outlook


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return a_table(
        seeds=4, columns=DEPTHS, budgets=BUDGETS, strength=STEEP, failed=(), waiting=(), missing=(), per_class=(40,) * 4
    )


def test_twice_the_labels_are_forecast_for_what_is_taken(table: StudyTable) -> None:
    outlook = looked(table)
    assert outlook.column == "freeze-3"
    assert outlook.twice is not None
    assert [each.labels for each in outlook.curve[:: len(outlook.curve) - 1]] == [50, 100]
    assert outlook.twice.gain.low < outlook.twice.gain.value < outlook.twice.gain.high
    assert outlook.twice.reached.value > outlook.curve[0].reached.value


def test_unfreezing_what_is_better_frozen_loses(table: StudyTable) -> None:
    outlook = looked(table)
    assert outlook.unfreezing is not None
    assert outlook.unfreezing.value < 0


def test_where_nothing_freezes_less_nothing_is_said_of_it() -> None:
    columns = tuple(column for column in DEPTHS if column.depth in (3, 5))
    table = a_table(
        seeds=3,
        columns=columns,
        budgets=BUDGETS,
        strength=STEEP,
        failed=(),
        waiting=(),
        missing=(),
        per_class=(40,) * 4,
    )
    assert looked(table).column == "freeze-3"
    assert looked(table).unfreezing is None


def test_labels_for_an_accuracy_are_a_range_or_not_within_twice(table: StudyTable) -> None:
    needed = looked(table).needed
    assert [each.accuracy for each in needed] == sorted(each.accuracy for each in needed)
    for each in needed:
        assert each.most is None or (each.least is not None and each.least <= each.most <= 100)
    assert needed[-1].most is None


def test_few_budgets_have_no_outlook_and_a_budget_without_shared_seeds_says_why(table: StudyTable) -> None:
    assert analyse(dataclasses.replace(table, budgets=BUDGETS[1:])).outlook is None
    cells = dict(table.cells)
    lone = cells["freeze-3", "10"]
    cells["freeze-3", "10"] = dataclasses.replace(lone, replicates=lone.replicates[:1])
    outlook = looked(dataclasses.replace(table, cells=cells))
    assert outlook.twice is None
    assert "two data seeds that finished at all of them" in str(outlook.reason)
