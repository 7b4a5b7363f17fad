"""When a best value at the edge of its range is worth a word: where the data say that more could be won beyond."""

import dataclasses

import numpy as np
import pytest

from tlexp.config.optim import Choice, Rates
from tlexp.learn.calibration import Calibrated
from tlexp.learn.search import Search, Trial, edge_flags

RANGES = Search(trials=4, lr=(1e-4, 1.0), weight_decay=(1e-5, 1e-1), seed=0)
AROUND = dataclasses.replace(RANGES, around=True)
LOSSES = np.linspace(0.1, 2.0, 50)


def tried(rates: Rates | Choice, more: float, *, spread: float = 0.0) -> Trial:
    """Return a candidate that loses so much more than the best on the mean, and by turns less and more by a spread."""
    losses = LOSSES + more + spread * np.where(np.arange(50) % 2, 1, -1)
    return Trial(number=0, rates=rates, calibrated=Calibrated(temperature=1.0, losses=losses))


def rate(lr: float, weight_decay: float = 1e-3) -> Rates:
    return Rates(lr=lr, weight_decay=weight_decay)


KINDS = {
    "lr": (
        RANGES,
        [rate(1.1e-4), rate(1e-3), rate(1e-2)],
        "the best lr 0.00011 lies at the edge of tune.lr=",
    ),
    "decay": (RANGES, [rate(1e-3, 0.099), rate(1e-3), rate(1e-2)], "the best weight_decay 0.099 lies at the edge of"),
    "around": (AROUND, [rate(1e-4), rate(1e-3), rate(1e-2)], "the best lr 0.0001 is the end of those compared"),
    "solved": (
        RANGES,
        [Choice(weight_decay=decay) for decay in (1e-4, 1e-2, 1.0)],
        "the best weight_decay 0.0001 is the end of those compared (0.0001..1)",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("more", "spread", "flagged"),
    [(0.1, 0.0, True), (0.1, 0.5, True), (0.1, 0.9, False), (0.0, 0.0, False), (1e-4, 0.01, False)],
)
def test_it_is_flagged_where_the_next_loses_more_than_a_standard_error(
    kind: str, order: int, more: float, spread: float, flagged: bool
) -> None:
    """Of 50 differences by turns 0.1 - 0.5 and 0.1 + 0.5 the mean has a standard error of 0.07."""
    search, (best, inner, far), told = KINDS[kind]
    winner = tried(best, 0.0)
    trials = [winner, tried(inner, more, spread=spread), tried(far, more + 0.5)][::order]
    flags = edge_flags(winner, trials, search)
    assert len(flags) == flagged
    assert all(flag.startswith(told) for flag in flags)


@pytest.mark.parametrize("kind", KINDS)
def test_one_inside_is_not_flagged(kind: str) -> None:
    search, (end, inner, far), _ = KINDS[kind]
    winner = tried(inner, 0.0)
    assert edge_flags(winner, [tried(end, 0.3), winner, tried(far, 0.3)], search) == ()


def test_of_two_rates_around_the_default_one_is_always_an_end_and_not_flagged() -> None:
    winner = tried(rate(1e-3), 0.0)
    assert edge_flags(winner, [winner, tried(rate(1e-1), 0.3)], AROUND) == ()


def test_the_least_weight_decay_that_is_trained_with_is_none_and_not_flagged() -> None:
    winner = tried(rate(1e-2, 1.01e-5), 0.0)
    assert edge_flags(winner, [winner, tried(rate(1e-2), 0.3)], RANGES) == ()


def test_where_all_others_lie_there_or_diverged_nothing_tells_that_it_costs_nothing() -> None:
    winner = tried(rate(1.1e-4), 0.0)
    lost = Trial(number=1, rates=rate(1e-2), calibrated=None)
    assert len(edge_flags(winner, [winner, lost, tried(rate(1.2e-4), 0.3)], RANGES)) == 1


def test_a_single_candidate_is_no_edge() -> None:
    winner = tried(Choice(weight_decay=0.1), 0.0)
    assert edge_flags(winner, [winner], RANGES) == ()
    plain = tried(Choice(), 0.0)
    assert edge_flags(plain, [plain], RANGES) == ()
    alone = tried(rate(1e-4), 0.0)
    assert edge_flags(alone, [alone], dataclasses.replace(RANGES, trials=0)) == ()
