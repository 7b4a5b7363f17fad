import numpy as np
import pytest

from tlexp.studies.analysis.rule import choose, follow, tighten, worst_loss

ABOVE = np.ones(3, dtype=bool)
ORDER = (2, 1, 0)


def bounds(means: np.ndarray, half: float) -> np.ndarray:
    """Return how much each column (last axis) may lose against each other, where all intervals are as wide."""
    return means[..., :, None] - means[..., None, :] + half * (1 - np.eye(means.shape[-1]))


def chosen(means: list[float], half: float, margin: float, above: np.ndarray = ABOVE) -> int:
    values = np.array(means)
    return int(choose(values, worst_loss(tighten(bounds(values, half))), above, ORDER, margin))


def test_the_cheapest_column_that_is_safe_is_chosen() -> None:
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01) == 2
    assert chosen([0.8, 0.799, 0.795], half=0.005, margin=0.01) == 1  # 2 may lose 0.01: not less than the margin
    assert chosen([0.8, 0.79, 0.78], half=0.005, margin=0.01) == 0
    assert chosen([0.8, 0.799, 0.798], half=0.02, margin=0.01) == -1


def test_nothing_dearer_than_the_highest_mean_is_ever_chosen() -> None:
    losses = np.array([0.001, 0.5, 0.5])  # only column 0, the dearest, is safe
    assert choose(np.array([0.79, 0.8, 0.7]), losses, ABOVE, ORDER, 0.01) == -1
    assert choose(np.array([0.8, 0.79, 0.7]), losses, ABOVE, ORDER, 0.01) == 0


def test_of_equals_the_cheapest_is_chosen() -> None:
    assert chosen([0.8, 0.8, 0.8], half=0.005, margin=0.01) == 2


def test_what_is_not_better_than_guessing_is_never_chosen() -> None:
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01, above=np.array([True, True, False])) == 1
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01, above=~ABOVE) == -1


def test_a_column_has_to_be_safe_against_every_other_not_only_against_the_highest_mean() -> None:
    """The highest mean is chosen by the same data; another may truly be better."""
    means = np.array([0.799, 0.8, 0.798])
    losses = bounds(means, 0.005)
    losses[0, 2] = losses[2, 0] = 0.04  # 0 and 2 differ on many images, and nothing says how much
    losses[0, 1] = losses[1, 0] = 0.04
    assert losses[1, 2] < 0.01
    assert choose(means, worst_loss(tighten(losses)), ABOVE, ORDER, 0.01) == -1


def test_bounds_follow_from_each_other() -> None:
    """b may lose 0.01 against a at most, c gains 0.03 over b at least: c gains 0.02 over a."""
    losses = np.array([[0.0, 0.01, 1.0], [1.0, 0.0, -0.03], [1.0, 1.0, 0.0]])
    assert tighten(losses)[0, 2] == pytest.approx(-0.02)
    assert (tighten(losses) <= losses).all()
    several = np.stack([losses, np.zeros((3, 3))])
    assert (tighten(several)[0] == tighten(losses)).all()


def test_bounds_that_contradict_each_other_stay() -> None:
    losses = np.array([[0.0, -0.01, 1.0], [1.0, 0.0, -0.01], [-0.01, 1.0, 0.0]])
    assert (tighten(losses) == losses).all()


def test_tightened_bounds_hold_wherever_the_bounds_hold() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 1, 6)
    gaps = truth[:, None] - truth
    losses = gaps + generator.random((6, 6)) * (1 - np.eye(6))
    assert (tighten(losses) >= gaps - 1e-12).all()


def test_the_rule_for_parts_of_the_data_is_the_rule_itself_and_else_the_highest_mean() -> None:
    widths = 0.005 * (1 - np.eye(3))
    pick = follow(widths, ABOVE, ORDER, 0.01)
    assert pick(np.array([[0.8, 0.799, 0.798], [0.8, 0.799, 0.7], [0.6, 0.9, 0.8]])).tolist() == [2, 1, 1]
    unsure = follow(widths * 10, ABOVE, ORDER, 0.01)
    assert unsure(np.array([[0.8, 0.799, 0.798], [0.6, 0.9, 0.8]])).tolist() == [0, 1]
