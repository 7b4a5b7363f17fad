import math

import pytest

from tests.studies.conftest import MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.crossings import find_crossings, regions
from tlexp.studies.analysis.findings import Crossing, Difference

HALF = 0.05


def difference(labels: str, value: float, *, half: float | None = HALF) -> Difference:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Difference(
        labels=labels,
        first="freeze-0",
        second="freeze-5",
        value=value,
        seeds=5,
        family=15,
        low=None if low is None else -1.0,  # the simultaneous interval says nothing
        high=None if high is None else 1.0,
        alone_low=low,
        alone_high=high,
    )


def crossing(make_table: MakeTable, *differences: Difference, conditional: tuple[str, ...] = ()) -> Crossing:
    table = make_table()
    for budget in table.about["study"]["budgets"]:
        budget["conditional"] = budget["labels"] in conditional
    (found,) = find_crossings(table, differences)
    return found


def test_a_region_ends_where_the_interpolated_interval_leaves_0() -> None:
    ((low, high),) = regions([(10, -0.3, -0.1), (1000, 0.1, 0.3)])
    for budget, end in ((low, 2), (high, 1)):
        share = math.log(budget / 10) / math.log(100)
        ends = (10, -0.3 + 0.4 * share, -0.1 + 0.4 * share)
        assert ends[end] == pytest.approx(0)
    assert 10 < low < 100 < high < 1000
    assert low * high == pytest.approx(10 * 1000)  # symmetrical in log k


def test_turning_both_columns_round_changes_nothing() -> None:
    bounds = [(2, 0.02, 0.2), (5, -0.3, 0.1), (20, -0.2, -0.1), (100, -0.05, 0.2)]
    turned = [(budget, -high, -low) for budget, low, high in bounds]
    assert regions(turned) == regions(bounds)


def test_several_regions_are_all_listed_and_neighbours_are_one() -> None:
    found = regions([(1, -0.1, 0.1), (2, 0.1, 0.3), (4, 0.1, 0.3), (8, -0.1, 0.1), (16, -0.1, 0.1), (32, -0.3, -0.1)])
    assert len(found) == 2
    assert found[0][0] == 1
    assert found[0][1] < 2 < 4 < found[1][0] < 8
    assert 16 < found[1][1] < 32


def test_nowhere_and_everywhere() -> None:
    assert regions([(1, 0.1, 0.2), (10, 0.2, 0.3)]) == ()
    assert regions([(1, -0.1, 0.2), (10, -0.2, 0.3), (20, 0.0, 0.3)]) == ((1, 20),)
    assert regions([]) == ()


def test_a_sign_that_changes_between_certain_budgets_gives_a_region_between_them() -> None:
    ((low, high),) = regions([(5, 0.1, 0.2), (20, -0.2, -0.1)])
    assert 5 < low < high < 20


def test_one_budget_is_a_region_of_no_length_or_none() -> None:
    assert regions([(5, -0.1, 0.2)]) == ((5, 5),)
    assert regions([(5, 0.1, 0.2)]) == ()


def test_no_sign_change_is_no_crossing_within_the_range(make_table: MakeTable) -> None:
    found = crossing(make_table, difference("2", 0.3), difference("20", 0.2), difference("100", 0.02))
    assert not found.changes
    assert found.regions[0][1] == 100  # though the interval comes to contain 0
    assert crossing(make_table, difference("2", 0.3), difference("100", -0.3)).changes


def test_budgets_that_are_conditional_on_the_pool_are_left_out(make_table: MakeTable) -> None:
    differences = difference("2", 0.3), difference("20", 0.2), difference("100", -0.3)
    found = crossing(make_table, *differences, conditional=("100",))
    assert (found.left_out, found.changes, found.regions) == (("100",), False, ())
    assert crossing(make_table, *differences).changes


def test_budgets_without_an_interval_are_passed_over(make_table: MakeTable) -> None:
    found = crossing(make_table, difference("2", 0.3), difference("20", -0.1, half=None), difference("100", -0.3))
    assert len(found.regions) == 1
    assert found.changes
    alone = crossing(make_table, difference("2", 0.3, half=None), difference("100", -0.3, half=None))
    assert (alone.regions, alone.changes) == ((), True)


def test_every_two_competing_columns_are_asked(make_table: MakeTable) -> None:
    found = analyse(make_table()).crossings
    assert len(found) == 15
    assert {(each.first, each.second) for each in found} >= {("freeze-0", "freeze-5"), ("freeze-4", "freeze-5")}
    assert not any("scratch" in (each.first, each.second) for each in found)
