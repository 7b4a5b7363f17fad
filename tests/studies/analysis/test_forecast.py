import numpy as np
import pytest
from numpy.typing import NDArray

from tlexp.studies.analysis.forecast import Forecast, forecast, paired_change, refusal

LABELS = np.array([5.0, 10.0, 20.0, 40.0, 80.0])


def a_curve(seeds: int = 5, noise: float = 0.01, *, rate: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    noises = np.random.default_rng(seed).normal(0, noise, (seeds, len(LABELS)))
    return 1 - (0.1 + 0.8 * LABELS**-rate) + noises


def test_the_band_covers_what_a_power_law_reaches_and_is_above_the_last_value() -> None:
    told = forecast(LABELS, a_curve(noise=0.002), at=160)
    assert isinstance(told, Forecast)
    assert told.reached.low < 0.9 - 0.8 * 160**-0.5 < told.reached.high
    assert told.reached.value > a_curve(noise=0.002)[:, -1].mean()


def test_a_new_draw_falls_into_the_band_as_often_as_it_says() -> None:
    held = []
    for seed in range(150):
        told = forecast(LABELS, a_curve(seed=seed), at=160)
        if isinstance(told, Forecast):
            drawn = 0.9 - 0.8 * 160**-0.5 + np.random.default_rng(1000 + seed).normal(0, 0.01)
            held.append(told.reached.low <= drawn <= told.reached.high)
    assert len(held) > 120
    assert np.mean(held) > 0.9


def test_the_gain_of_a_new_draw_falls_into_its_band_as_often_as_it_says() -> None:
    """Budgets are nested: the luck of a draw is in both, and the gain varies less than what is reached."""
    held, narrower = [], []
    for seed in range(150):
        luck = np.random.default_rng(seed).normal(0, 0.02, (6, 1))
        told = forecast(LABELS, a_curve(noise=0.005, seed=seed) + luck[:5], at=160)
        if isinstance(told, Forecast):
            drawn = 0.8 * (80**-0.5 - 160**-0.5) + np.diff(np.random.default_rng(1000 + seed).normal(0, 0.005, 2))[0]
            held.append(told.gain.low <= drawn <= told.gain.high)
            narrower.append(told.gain.high - told.gain.low < told.reached.high - told.reached.low)
    assert np.mean(held) > 0.9
    assert np.mean(narrower) > 0.9


def test_a_paired_change_is_told_for_one_draw_and_not_for_the_mean() -> None:
    generator = np.random.default_rng(0)
    held = []
    for _ in range(400):
        change = generator.normal(0.02, 0.01, 6)
        told = paired_change(np.full(5, 0.7), 0.7 + change[:5])
        held.append(told.low <= change[5] <= told.high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.05)


def test_equal_accuracies_are_forecast_to_stay() -> None:
    told = forecast(LABELS, np.full((3, 5), 0.75), at=160)
    assert isinstance(told, Forecast)
    assert told.reached.low == pytest.approx(0.75)
    assert told.reached.high == pytest.approx(0.75)


def test_scores_in_another_order_of_the_seeds_say_nearly_the_same() -> None:
    first, second = (forecast(LABELS, scores, at=160) for scores in (a_curve(), a_curve()[::-1]))
    assert isinstance(first, Forecast)
    assert isinstance(second, Forecast)
    assert first.reached.value == pytest.approx(second.reached.value)
    assert first.reached.low == pytest.approx(second.reached.low, abs=0.01)


@pytest.mark.parametrize(
    ("labels", "scores", "at", "reason"),
    [
        (LABELS[:3], a_curve()[:, :3], 40.0, "A forecast takes 5 budgets and two data seeds"),
        (LABELS, a_curve(1), 160.0, "A forecast takes 5 budgets and two data seeds"),
        (LABELS, a_curve(), 161.0, "beyond twice the largest budget"),
        (LABELS, a_curve()[:, ::-1], 160.0, "accuracy falls with more labels"),
    ],
    ids=["two-budgets-skipped", "one-seed", "too-far", "falls"],
)
def test_what_cannot_be_told_is_refused_with_one_sentence(
    labels: NDArray[np.float64], scores: NDArray[np.float64], at: float, reason: str
) -> None:
    told = refusal(labels, scores, at=at)
    assert told is not None
    assert reason in told
    assert told.count(".") == 1
    assert forecast(labels, scores, at=at) == told


def test_a_fall_within_the_intervals_is_no_refusal() -> None:
    scores = np.array([[0.5, 0.6, 0.7, 0.76, 0.75], [0.5, 0.6, 0.7, 0.74, 0.76], [0.5, 0.6, 0.7, 0.75, 0.72]])
    assert isinstance(forecast(LABELS, scores, at=160), Forecast)
