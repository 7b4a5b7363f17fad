"""What is said about studies is wrong as seldom as it claims, where the truth is known."""

import itertools
from dataclasses import replace

import pytest

from tests.studies.simulate import IMAGES, KINDS, SEEDS, simulate, simulate_crossings
from tests.studies.simulate_budgets import BUDGET_KINDS, BUDGETS, COLUMNS, simulate_budgets
from tests.studies.simulate_rounds import ROUND_KINDS, simulate_rounds
from tests.studies.simulate_screens import SCREEN_KINDS, simulate_screens
from tests.studies.simulate_tables import TABLE_KINDS, simulate_tables

FEW, MANY = 400, 10_000


def check(found: dict[str, float], studies: int) -> None:
    """Compare rates with what is promised, and with four standard errors more where there are few studies."""
    slack = 4 * (0.05 * 0.95 / studies) ** 0.5 if studies < MANY else 0.0
    assert found["together"] >= 0.945 - slack
    assert found["wrong"] <= 0.055 + slack
    assert found["held"] >= 0.945 - slack
    assert found["best"] >= 0.945 - slack
    assert found["worse"] <= 0.055 + slack
    # An interval by itself, and one of what was chosen, promise 95 % each; 1 % is left to simulating.
    for name in ("alone", "cell", "told"):
        assert found[name] >= 0.94 - slack, name
    for name in ("crossfit", "rule"):
        assert abs(found[name]) <= 0.001 + 3 * found["error"], name


@pytest.mark.parametrize("name", KINDS)
def test_intervals_and_recommendations_err_as_seldom_as_they_say(name: str) -> None:
    check(simulate(replace(KINDS[name], seeds=5, images=200), FEW, seed=2), FEW)


def test_few_seeds_that_matter_much_are_where_satterthwaites_freedom_fails() -> None:
    found = simulate(replace(KINDS["seeds"], seeds=3, images=600), FEW, seed=2)
    assert found["satterthwaite"] < 0.9
    assert found["together"] > 0.92


def test_the_highest_mean_of_equals_is_too_high_and_cross_fitted_it_is_right() -> None:
    found = simulate(replace(KINDS["equal"], accuracy=(0.75,) * 8, images=200), FEW, seed=3)
    assert found["optimism"] > 0.015
    assert abs(found["crossfit"]) < 0.006


def test_permuted_labels_are_recommended_nothing() -> None:
    assert simulate(replace(KINDS["chance"], seeds=10, images=600), FEW, seed=4)["above"] <= 0.05


def test_columns_that_hardly_differ_can_be_told_within_the_margin() -> None:
    """Intervals that are never wrong because they say nothing would pass all other tests."""
    found = simulate(replace(KINDS["twins"], seeds=10, images=2000), 60, seed=5)
    assert found["decided"] > 0.8
    assert found["cheaper"] > 0.3


def test_crossing_regions_hold_the_true_crossing_and_say_something() -> None:
    found = simulate_crossings(150, seeds=10, images=600, seed=6)
    assert found["held"] >= 0.9
    assert found["length"] < 0.9


def check_bounds(found: dict[str, float], studies: int) -> None:
    """Compare what was found at the worst budget with what is promised of each."""
    slack = 4 * (0.05 * 0.95 / studies) ** 0.5
    assert found["held"] >= 0.945 - slack
    assert found["best"] >= 0.945 - slack
    assert found["worse"] <= 0.05 + slack


@pytest.mark.parametrize("columns", [2, 5])
@pytest.mark.parametrize("name", BUDGET_KINDS)
def test_bounds_hold_whatever_is_borrowed(name: str, columns: int) -> None:
    kind = replace(BUDGET_KINDS[name], columns=columns, seeds=3, per_class=BUDGETS[5])
    check_bounds(simulate_budgets(kind, 2000, seed=2), 2000)


@pytest.mark.parametrize("name", ["clear", "pool-clear"])
def test_bounds_of_ten_seeds_hold(name: str) -> None:
    """Where all seeds draw from one pool, more of them make the bounds wrong if that is not counted."""
    for alike, columns in ((0.8, 12), (0.5, 5)):
        kind = replace(BUDGET_KINDS[name], columns=columns, seeds=10, alike=alike)
        check_bounds(simulate_budgets(kind, 500, seed=3), 500)


@pytest.mark.parametrize(("budgets", "most"), [(1, 0.43), (3, 0.3), (5, 0.25)])
def test_bounds_are_a_fraction_of_what_intervals_of_all_pairs_say(budgets: int, most: float) -> None:
    """Bounds that are never wrong because they say nothing would pass all other tests."""
    kind = replace(BUDGET_KINDS["steep-equal"], seeds=3, per_class=BUDGETS[budgets], image=0.001)
    assert simulate_budgets(kind, 1000, seed=4)["ratio"] <= most


def check_rounds(found: dict[str, float], studies: int) -> None:
    """Compare what all looks together said with what is promised of each budget."""
    slack = 4 * (0.05 * 0.95 / studies) ** 0.5
    assert found["held"] >= 0.945 - slack
    assert found["kept"] >= 0.95 - slack
    assert found["worse"] <= 0.05 + slack


@pytest.mark.parametrize("name", ["clear", "noisy-best", "spike-best", "pool-clear", "brink"])
def test_looks_err_together_as_seldom_as_one_may(name: str) -> None:
    for columns, margin, solved in ((2, 0.05, 1), (5, 0.01, 0), (5, 0.05, 2)):
        kind = replace(ROUND_KINDS[name], columns=columns, seeds=30)
        check_rounds(simulate_rounds(kind, 1000, seed=2, margin=margin, solved=solved), 1000)


@pytest.mark.parametrize("plant", ["whole", "early"])
def test_looks_that_do_not_share_the_error_or_drop_by_means_alone_are_seen(plant: str) -> None:
    kind = replace(ROUND_KINDS["noisy-best"], columns=2, seeds=30)
    with pytest.raises(AssertionError):
        check_rounds(simulate_rounds(kind, 2000, seed=2, margin=0.05, plant=plant), 2000)


def test_rounds_spare_replicates_and_decide_as_much() -> None:
    kind = replace(ROUND_KINDS["clear"], luck=(0.02,) * 5, columns=12, seeds=30)
    found = simulate_rounds(kind, 100, seed=2, margin=0.02)
    assert found["replicates"] < 0.4
    assert found["decided"] > 0.99


def check_tables(found: dict[str, float], studies: int) -> None:
    """Compare what was said of whole tables with what is promised of each budget."""
    slack = 4 * (0.05 * 0.95 / studies) ** 0.5
    assert found["held"] >= 0.945 - slack
    assert found["kept"] >= 0.95 - slack
    assert found["worse"] <= 0.05 + slack


def test_permuted_labels_are_seldom_recommended_anything_in_rounds() -> None:
    """Of 300 such studies 4 are, at the budget at which most are: 1.3 %."""
    kind = replace(TABLE_KINDS["chance"], drawn=replace(TABLE_KINDS["chance"].drawn, images=150))
    assert simulate_tables(kind, 300, seed=2)["taken"] <= 0.025


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE_KINDS)
def test_rounds_borrowing_groups_and_the_rest_of_the_pool_hold_together(name: str) -> None:
    check_tables(simulate_tables(TABLE_KINDS[name], 1000, seed=1), 1000)


def check_screens(found: dict[str, float], studies: int) -> None:
    """Compare what was said of finalists with what is promised, and what choosing them has seen of the test images."""
    check_rounds(found, studies)
    assert abs(found["spent"]) < 0.2


@pytest.mark.parametrize("name", SCREEN_KINDS)
def test_what_is_said_of_finalists_errs_as_seldom_as_it_may(name: str) -> None:
    found = simulate_screens(SCREEN_KINDS[name], 100, seed=2)
    check_screens(found, 100)
    assert found["points"] < found["favourite_points"]


def test_finalists_that_the_test_images_chose_and_bounds_that_each_err_alone_are_seen() -> None:
    kind = replace(SCREEN_KINDS["ahead"], ahead=0.05, luck=(0.02, 0.05), spread=0.01, image=0.02)
    check_screens(simulate_screens(kind, 100, seed=2), 100)
    for plant in ("test", "alone"):
        with pytest.raises(AssertionError):
            check_screens(simulate_screens(kind, 100, seed=2, plant=plant), 100)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("name", KINDS)
def test_ten_thousand_studies(name: str, seeds: int) -> None:
    for images in IMAGES:
        check(simulate(replace(KINDS[name], seeds=seeds, images=images), MANY, seed=1), MANY)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
def test_ten_thousand_crossings(seeds: int) -> None:
    for images in IMAGES:
        assert simulate_crossings(MANY, seeds=seeds, images=images, seed=1)["held"] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 10, 30])
@pytest.mark.parametrize("name", BUDGET_KINDS)
def test_many_studies_of_several_budgets(name: str, seeds: int) -> None:
    correlated = ((1, 0.5), (3, 0.5), (3, 0.8), (5, 0.5), (5, 0.8), (8, 0.5), (8, 0.8))
    for (budgets, alike), columns in itertools.product(correlated, COLUMNS):
        kind = replace(BUDGET_KINDS[name], seeds=seeds, columns=columns, per_class=BUDGETS[budgets], alike=alike)
        studies = 4000 if columns < 12 else 1000
        check_bounds(simulate_budgets(kind, studies, seed=1), studies)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [10, 30])
@pytest.mark.parametrize("name", ROUND_KINDS)
def test_many_studies_in_rounds(name: str, seeds: int) -> None:
    for (budgets, alike), columns, margin in itertools.product(
        ((1, 0.5), (3, 0.8), (5, 0.5)), (2, 5, 12), (0.01, 0.05)
    ):
        kind = replace(ROUND_KINDS[name], seeds=seeds, columns=columns, per_class=BUDGETS[budgets], alike=alike)
        studies = 4000 if columns < 12 else 1000
        check_rounds(simulate_rounds(kind, studies, seed=1, margin=margin), studies)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCREEN_KINDS)
def test_ten_thousand_studies_with_a_screen(name: str) -> None:
    assert simulate_screens(SCREEN_KINDS[name], MANY, seed=1)["held"] >= 0.945
