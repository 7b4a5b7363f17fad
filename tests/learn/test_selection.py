import math
from typing import Any

import numpy as np
import pytest

from tlexp.config.optim import Rates
from tlexp.config.train import ClassWeights
from tlexp.data import Fold
from tlexp.errors import DivergedError
from tlexp.learn.calibration import kept_temperature, log_loss
from tlexp.learn.search import Search
from tlexp.learn.selection import Selection, select
from tlexp.train import FitReport

DEFAULT = Rates(lr=1e-2, weight_decay=1e-3)
REPORT = FitReport(steps=1, seconds=1.0, images_per_second=1.0, flops=None, peak_bytes=None, curve=[])
FOLDS = (
    Fold(train=np.array([2, 3]), validation=np.array([0, 1])),
    Fold(train=np.array([0, 1]), validation=np.array([2, 3])),
)


class Pretender:
    """Stands in for a learner: how uneven its logits are is a function of the rates, and so is its calibrated loss."""

    many = False

    def __init__(self, loss: Any) -> None:
        self.loss, self.seen = loss, list[tuple[str, Rates]]()

    def fit_fold(self, fit_id: str, fold: Fold, rates: Rates) -> tuple[FitReport, Any, Any]:
        self.seen.append((fit_id, rates))
        loss = self.loss(rates)
        if not math.isfinite(loss):
            raise DivergedError("diverged")
        labels = np.zeros(len(fold.validation), dtype=np.int64)
        return REPORT, np.array([[1.0, 0.0], [1.0 - loss, 0.0]], dtype=np.float32), labels


def _select(pretender: Pretender, trials: int, folds: Any = FOLDS, lr: tuple[float, float] = (1e-4, 1.0)) -> Selection:
    search = Search(trials=trials, lr=lr, weight_decay=(1e-5, 1e-1), seed=0)
    return select(pretender, folds, default=DEFAULT, search=search)  # type: ignore[arg-type]


def _bowl(rates: Rates) -> float:
    return 0.1 + (math.log10(rates.lr) + 3) ** 2 / 10


def test_a_single_candidate_is_measured_on_every_fold() -> None:
    selection = _select(Pretender(_bowl), 0)
    assert (selection.kind, selection.winner, len(selection.reports)) == ("folds", DEFAULT, 2)
    assert selection.logits is not None
    assert len(selection.logits) == 4
    assert selection.trials[0].calibrated is not None
    assert selection.temperature == kept_temperature(selection.logits, selection.labels)


def test_the_smallest_log_loss_wins_and_the_default_is_among_the_candidates() -> None:
    selection = _select(Pretender(_bowl), 15)
    losses = [trial.loss for trial in selection.trials if trial.loss is not None]
    assert len(losses) == 15
    assert selection.trials[0].rates == DEFAULT
    assert selection.winner == min((trial.rates for trial in selection.trials), key=_bowl)
    assert min(losses) < losses[0]
    assert np.argsort(losses).tolist() == np.argsort([_bowl(trial.rates) for trial in selection.trials]).tolist()


def test_a_tie_goes_to_the_smaller_learning_rate() -> None:
    selection = _select(Pretender(lambda rates: 0.5), 8)
    assert selection.winner.lr == min(trial.rates.lr for trial in selection.trials)


def test_candidates_are_the_same_when_offered_again_and_differ_by_seed() -> None:
    offered = [[trial.rates for trial in _select(Pretender(_bowl), 6).trials] for _ in range(2)]
    assert offered[0] == offered[1]
    assert len(set(offered[0])) == 6


def test_a_diverged_candidate_loses_and_all_diverged_is_an_error() -> None:
    selection = _select(Pretender(lambda rates: math.inf if rates.lr > 1e-3 else 0.3), 10)
    assert selection.winner.lr <= 1e-3
    assert any(trial.loss is None for trial in selection.trials)
    with pytest.raises(DivergedError, match=r"all 3 candidates diverged: lower the range"):
        _select(Pretender(lambda rates: math.inf), 3)
    with pytest.raises(DivergedError, match=r"^diverged"):
        _select(Pretender(lambda rates: math.inf), 0)


def test_without_folds_nothing_is_selected() -> None:
    pretender = Pretender(_bowl)
    selection = _select(pretender, 9, folds=())
    assert (selection.kind, selection.winner, selection.logits, selection.temperature) == ("none", DEFAULT, None, None)
    assert pretender.seen == []


class Scaled(Pretender):
    """Its logits are right for most images, and their scale is a function of the rates."""

    logits = np.array([[1.0, 0.0], [2.0, 0.0], [0.2, 0.0], [-0.3, 0.0]], dtype=np.float32)

    def fit_fold(self, fit_id: str, fold: Fold, rates: Rates) -> tuple[FitReport, Any, Any]:
        return REPORT, self.loss(rates) * self.logits[fold.validation], np.zeros(len(fold.validation), dtype=np.int64)


def _of_two(pretender: Pretender, one: float, other: float) -> Selection:
    candidates = [Rates(lr=lr, weight_decay=1e-3) for lr in (one, other)]
    search = Search(trials=2, lr=(1e-4, 1.0), weight_decay=(1e-5, 1e-1), seed=0)
    return select(pretender, FOLDS, default=DEFAULT, search=search, candidates=candidates)  # type: ignore[arg-type]


@pytest.mark.parametrize("scales", [(1.0, 5.0), (5.0, 1.0)])
def test_candidates_that_differ_by_scale_alone_are_told_apart_by_the_rate(scales: tuple[float, float]) -> None:
    """The plain loss would take whichever claims less."""
    small, large = 1e-3, 1e-1
    of_rate = dict(zip((small, large), scales, strict=True))
    for order in ((small, large), (large, small)):
        found = _of_two(Scaled(lambda rates: of_rate[rates.lr]), *order)
        assert found.winner.lr == small
        alone = _of_two(Scaled(lambda rates: 1.0), *order).trials[0].calibrated
        assert alone is not None
        assert found.trials[order.index(small)].calibrated.temperature == pytest.approx(alone.temperature * scales[0])


def test_a_candidate_that_claims_too_much_wins_where_it_tells_classes_better_apart() -> None:
    class Better(Scaled):
        more = np.array([[0.1, 0.0]], dtype=np.float32)

        def fit_fold(self, fit_id: str, fold: Fold, rates: Rates) -> tuple[FitReport, Any, Any]:
            report, logits, labels = super().fit_fold(fit_id, fold, rates)
            return report, 12 * (logits + self.more) if rates.lr > 1e-2 else logits, labels

    found = _of_two(Better(lambda rates: 1.0), 1e-3, 1e-1)
    assert found.winner.lr == 1e-1
    labels = np.zeros(4, dtype=np.int64)
    assert log_loss(12 * (Scaled.logits + Better.more), labels) > log_loss(Scaled.logits, labels)


class Unequal(Pretender):
    """Of nine images of one class and one of another it knows the more of the first, the larger the rate."""

    def fit_fold(self, fit_id: str, fold: Fold, rates: Rates) -> tuple[FitReport, Any, Any]:
        logits = np.tile(np.array([100 * rates.lr, 0.0], dtype=np.float32), (10, 1))
        return REPORT, logits, np.array([0] * 9 + [1])


def test_another_candidate_wins_where_each_class_counts_the_same() -> None:
    candidates = [Rates(lr=lr, weight_decay=1e-3) for lr in (1e-4, 2e-2)]
    search = Search(trials=2, lr=(1e-4, 1.0), weight_decay=(1e-5, 1e-1), seed=0)
    won = {
        kind: select(
            Unequal(None),
            FOLDS,
            default=DEFAULT,
            search=search,
            candidates=candidates,
            class_weights=kind,  # type: ignore[arg-type]
        ).winner.lr
        for kind in ClassWeights
    }
    assert won == {ClassWeights.none: 2e-2, ClassWeights.balanced: 1e-4}
