"""The temperature of out-of-fold logits, against a search over a fine grid, and what it makes of over-confidence."""

import numpy as np
import pytest
from scipy.special import log_softmax

from tlexp.config.train import ClassWeights
from tlexp.learn.calibration import (
    HIGHEST,
    LOWEST,
    calibrate_logits,
    fit_temperature,
    kept_temperature,
    log_loss,
    smoothed_losses,
)
from tlexp.train import weigh_classes


def noisy(seed: int, *, count: int = 60, classes: int = 5, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are right for most images, times a scale, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + 2 * np.eye(classes)[labels]
    return (scale * logits).astype(np.float32), labels


def by_hand(logits: np.ndarray, labels: np.ndarray, temperature: float, weights: np.ndarray) -> float:
    """Return the smoothed loss, target by target."""
    count, classes = logits.shape
    targets = np.full((count, classes), (1 - (count + 1) / (count + 2)) / (classes - 1))
    targets[np.arange(count), labels] = (count + 1) / (count + 2)
    each = -(targets * log_softmax(logits.astype(np.float64) / temperature, axis=1)).sum(1)
    return float((weights * each).mean())


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("weighed", ClassWeights)
def test_no_temperature_of_a_fine_grid_has_a_smaller_loss(scale: float, classes: int, weighed: ClassWeights) -> None:
    logits, labels = noisy(classes, classes=classes, scale=scale)
    each = weigh_classes(weighed, labels, classes)
    weights = np.array(each)[labels] if each else np.ones(len(labels))
    found = fit_temperature(logits, labels, weights)
    grid = np.geomspace(LOWEST, HIGHEST, 400)
    losses = [by_hand(logits, labels, temperature, weights) for temperature in grid]
    assert by_hand(logits, labels, found, weights) <= min(losses) + 1e-12
    assert abs(np.log(found / grid[int(np.argmin(losses))])) < 0.011  # a step of the grid
    calibrated = calibrate_logits(logits, labels, weighed)
    assert calibrated.temperature == found
    assert calibrated.loss == pytest.approx(by_hand(logits, labels, found, weights), rel=1e-9)
    assert calibrated.losses.shape == labels.shape


@pytest.mark.parametrize("weighed", ClassWeights)
def test_what_is_kept_has_the_smallest_loss_with_its_prior(weighed: ClassWeights) -> None:
    logits, labels = noisy(0, count=8, scale=5.0)
    each = weigh_classes(weighed, labels, 5)
    weights = np.array(each)[labels] if each else np.ones(len(labels))

    def judged(temperature: float) -> float:
        return len(labels) * by_hand(logits, labels, temperature, weights) + 1 / temperature + np.log(temperature)

    kept, free = kept_temperature(logits, labels, weighed), calibrate_logits(logits, labels, weighed).temperature
    assert judged(kept) <= min(judged(each) for each in np.geomspace(LOWEST, HIGHEST, 400)) + 1e-12
    assert 1 < kept < free


def test_few_images_draw_it_to_one_and_many_do_not() -> None:
    sure, wrong = np.array([[8.0, 0.0]] * 8, np.float32), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    few, many = (kept_temperature(np.tile(sure, (times, 1)), np.tile(wrong, times)) for times in (1, 500))
    free = fit_temperature(sure, wrong, np.ones(8))
    assert free == HIGHEST
    assert few < 9
    assert many > 15
    assert kept_temperature(np.zeros((3, 2), np.float32), np.array([0, 1, 1])) == pytest.approx(1.0)


def test_it_goes_with_the_scale_and_leaves_the_same_loss() -> None:
    found = {scale: calibrate_logits(*noisy(1, scale=scale)) for scale in (0.5, 1.0, 4.0)}
    assert found[0.5].temperature == pytest.approx(found[1.0].temperature / 2, rel=1e-4)
    assert found[4.0].temperature == pytest.approx(found[1.0].temperature * 4, rel=1e-4)
    losses = [each.loss for each in found.values()]
    assert max(losses) - min(losses) < 1e-7


def test_it_stays_between_its_ends() -> None:
    right = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2] * 20]
    labels = right.argmax(1)
    weights = np.ones(len(labels))
    assert fit_temperature(right * 0.1, labels, weights) == LOWEST
    assert fit_temperature(-right * 100, labels, weights) == HIGHEST
    assert fit_temperature(np.zeros_like(right), labels, weights) == 1.0
    assert LOWEST < fit_temperature(right * 20, labels, weights) < HIGHEST  # Platt's targets are never certain


def test_candidates_that_are_right_everywhere_are_ranked_by_how_even_their_margins_are() -> None:
    labels = np.array([0, 1] * 10)
    even, uneven = np.full(20, 3.0), np.linspace(0.01, 6.0, 20)
    found = [
        calibrate_logits((np.eye(2)[labels] * margins[:, None] * 100).astype(np.float32), labels)
        for margins in (even, uneven)
    ]
    assert found[0].loss < found[1].loss


def test_logarithms_of_probabilities_do_as_logits() -> None:
    logits, labels = noisy(3)
    of_logits, of_logs = (calibrate_logits(each, labels) for each in (logits, log_softmax(logits, axis=1)))
    assert of_logits.temperature == pytest.approx(of_logs.temperature, rel=1e-5)
    assert of_logits.loss == pytest.approx(of_logs.loss, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_classes_without_images_and_large_logits_leave_it_finite(scale: float) -> None:
    logits, labels = noisy(4, classes=8, scale=scale)
    labels = labels % 3
    for weighed in ClassWeights:
        found = calibrate_logits(logits, labels, weighed)
        assert np.isfinite(found.losses).all()
        assert LOWEST <= found.temperature <= HIGHEST


def test_where_classes_are_weighed_each_counts_the_same() -> None:
    logits = np.array([[2.0, 0.0], [1.0, 0.0], [0.5, 0.0], [0.0, -1.0]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1])
    plain, balanced = (calibrate_logits(logits, labels, kind) for kind in (ClassWeights.none, ClassWeights.balanced))
    own = smoothed_losses(logits.astype(np.float64) / balanced.temperature, labels)
    assert balanced.loss == pytest.approx((own[:3].mean() + own[3]) / 2)
    assert balanced.temperature > plain.temperature  # the class that is never found counts more


def test_the_plain_loss_is_the_mean_negative_log_likelihood() -> None:
    assert log_loss(np.array([[2.0, 0.0], [0.0, 1.0]], np.float32), np.array([0, 1])) == pytest.approx(
        (np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2
    )
