import numpy as np
import pytest

from tlexp.studies.analysis.rule import bound_regrets, choose, comparisons, follow, may_be_best, surely_worse

COSTS = np.array([2, 1, 0])
"""The first column is the dearest."""


def upper(means: np.ndarray, half: float) -> np.ndarray:
    """Return how much better each column may be than each other, where all differences may be off as far."""
    return means[..., :, None] - means[..., None, :] + half * (1 - np.eye(means.shape[-1]))


def chosen(means: list[float], half: float, margin: float, costs: np.ndarray = COSTS) -> int:
    values = np.array(means)
    return int(choose(values, bound_regrets(upper(values, half)), costs, margin))


def test_the_highest_mean_is_taken_where_nothing_cheaper_is_surely_as_good() -> None:
    assert chosen([0.8, 0.79, 0.78], half=0.02, margin=0.01) == 0
    assert chosen([0.8, 0.9, 0.7], half=0.5, margin=0.01) == 1


def test_a_cheaper_column_is_taken_if_its_bound_is_within_the_margin() -> None:
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01) == 2
    assert chosen([0.8, 0.797, 0.795], half=0.0051, margin=0.01) == 1  # the cheapest may lose 0.0101
    assert chosen([0.8, 0.799, 0.7901], half=0.0, margin=0.01) == 2


def test_of_means_within_a_tenth_of_the_margin_the_cheapest_is_taken_however_unsure() -> None:
    assert chosen([0.8, 0.7991, 0.7], half=0.3, margin=0.01) == 1
    assert chosen([0.8, 0.7989, 0.7], half=0.3, margin=0.01) == 0


def test_nothing_dearer_than_the_highest_mean_is_ever_taken() -> None:
    assert chosen([0.799, 0.8, 0.7], half=0.0001, margin=0.01) == 1


def test_of_columns_that_cost_the_same_the_highest_mean_is_taken() -> None:
    same = np.zeros(3, dtype=np.intp)
    assert chosen([0.798, 0.8, 0.799], half=0.001, margin=0.01, costs=same) == 1
    assert chosen([0.8, 0.799, 0.798], half=0.001, margin=0.01, costs=np.array([1, 0, 0])) == 1


def test_a_regret_is_bounded_by_the_column_that_may_be_most_better() -> None:
    bounds = bound_regrets(np.array([[0.0, -0.2, 0.4], [0.1, 0.0, 0.3], [-0.1, -0.05, 0.0]]))
    assert bounds == pytest.approx([0.1, 0.0, 0.4])


def test_a_column_that_another_surely_beats_is_not_among_the_best() -> None:
    assert may_be_best(np.array([[0.0, 0.3, 0.3], [0.1, 0.0, 0.2], [-0.01, 0.1, 0.0]])).tolist() == [True, True, False]


def test_a_column_is_surely_worse_if_any_other_is_better_by_more_than_the_margin() -> None:
    upper = np.array([[[0.0, 0.2, 0.3], [-0.011, 0.0, 0.1], [-0.005, 0.1, 0.0]]])
    assert surely_worse(upper, 0.01).tolist() == [[False, True, False]]
    assert surely_worse(upper, 0.02).tolist() == [[False, False, False]]


def test_each_column_is_compared_with_the_best_alone() -> None:
    assert [comparisons(columns) for columns in (5, 12, 36)] == [4, 11, 35]


def test_the_rule_for_parts_of_the_data_is_the_rule_itself() -> None:
    widths = 0.005 * (1 - np.eye(3))
    parts = np.array([[0.8, 0.799, 0.798], [0.8, 0.799, 0.7], [0.6, 0.9, 0.8]])
    expected = [chosen(list(means), 0.005, 0.01) for means in parts]
    assert follow(widths, COSTS, 0.01)(parts).tolist() == expected == [2, 1, 1]
    assert follow(widths * 10, COSTS, 0.01)(parts[1:]).tolist() == [1, 1]  # 0.799 is within a tenth of the margin
    assert follow(widths * 10, COSTS, 0.001)(parts[1:]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("means", "half", "leeway", "taken"),
    [
        ([0.80, 0.82, 0.81], 0.05, 0.01, 1),  # it trails by more
        ([0.80, 0.82, 0.81], 0.05, 0.03, 0),
        ([0.80, 0.82, 0.81], 0.001, 0.03, 1),  # where it is known which one is as good, nothing is favoured
        ([0.82, 0.80, 0.81], 0.05, 0.03, 0),  # it has the highest mean itself
    ],
)
def test_a_favoured_column_is_taken_where_it_trails_by_no_more_than_its_leeway(
    means: list[float], half: float, leeway: float, taken: int
) -> None:
    values, allowed = np.array(means), np.zeros((3, 3))
    allowed[0, 1:] = leeway
    each = upper(values, half)
    assert choose(values, bound_regrets(each), np.zeros(3, int), 0.01, allowed) == taken
    both = np.stack([values, [0.8, 0.7, 0.9]])
    widths = half * (1 - np.eye(3))
    assert follow(widths, np.zeros(3, int), 0.01, allowed)(both).tolist() == [taken, 2], "each study by its own best"


def test_of_several_favoured_columns_the_highest_is_taken() -> None:
    values, allowed = np.array([0.80, 0.81, 0.82]), np.zeros((3, 3))
    allowed[:2] = 0.05
    assert choose(values, bound_regrets(upper(values, 0.1)), np.zeros(3, int), 0.01, allowed) == 1
