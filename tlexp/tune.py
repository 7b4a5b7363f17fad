"""Selection inside the label budget: candidate settings are compared on it, and the held-out images are never seen.

logits (V, K) float32; labels (V,) int64.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from scipy.special import log_softmax

from tlexp.config.optim import Rates
from tlexp.data import Fold
from tlexp.errors import DivergedError
from tlexp.train import FitReport
from tlexp.trainee import Labels, Logits, Trainee

_EDGE = 0.05
"""A best value within this fraction of the searched range (on its log scale) from an end is flagged."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One candidate: its settings and its log loss over the pooled validation parts; None where it diverged."""

    number: int
    rates: Rates
    loss: float | None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How the settings of the final fit were found.

    Attributes:
        kind: split (80/20), folds (pooled out-of-fold) or none (one image per class, or not wanted).
        trials: Every candidate in order.
        winner: The settings that the final fit uses.
        reports: The winner's fits, one per fold.
        logits: The winner's pooled validation logits, in the order of the folds; None where there are none.
        labels: Their labels.
        flags: What readers should know, one sentence each.
    """

    kind: str
    trials: tuple[Trial, ...]
    winner: Rates
    reports: tuple[FitReport, ...]
    logits: Logits | None
    labels: Labels | None
    flags: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return the selection as plain JSON values, for the record."""
        return {
            "kind": self.kind,
            "folds": len(self.reports),
            "winner": dataclasses.asdict(self.winner),
            "trials": [dataclasses.asdict(trial) for trial in self.trials],
            "flags": list(self.flags),
        }


@dataclass(frozen=True, kw_only=True)
class Search:
    """How many candidates are compared, and where they are looked for.

    Attributes:
        trials: Candidates; 0 compares none and takes the default.
        lr: Low and high of the learning rate.
        weight_decay: Low and high of the weight decay.
        seed: Of the sampler.
    """

    trials: int
    lr: tuple[float, float]
    weight_decay: tuple[float, float]
    seed: int


def select(trainee: Trainee, folds: Sequence[Fold], *, default: Rates, search: Search) -> Selection:
    """Return the best candidate by log loss inside the budget; a tie goes to the smaller learning rate.

    A single candidate is measured all the same, so that every run has validation figures.

    Raises:
        DivergedError: Every candidate diverged.
    """
    if not folds:
        flags = ("nothing to select on, and no val/* figures: one image per class, or tune.validate=false",)
        return Selection(kind="none", trials=(), winner=default, reports=(), logits=None, labels=None, flags=flags)
    trials: list[Trial] = []
    best: tuple[Trial, _Tried] | None = None
    candidates = _Candidates(search, default)
    for number, rates in enumerate(candidates):
        tried = _try(trainee, folds, rates, number=number, alone=search.trials < 2)
        trial = Trial(number=number, rates=rates, loss=tried.loss if tried else None)
        trials.append(trial)
        candidates.tell(trial)
        if tried and (best is None or _rank(trial) < _rank(best[0])):
            best = trial, tried
    if best is None:
        raise DivergedError(f"all {len(trials)} candidates diverged: lower the range, e.g. tune.lr=[1e-6,1e-3]")
    winner, tried = best
    return Selection(
        kind="split" if len(folds) == 1 else "folds",
        trials=tuple(trials),
        winner=winner.rates,
        reports=tried.reports,
        logits=tried.logits,
        labels=tried.labels,
        flags=_edges(winner.rates, search),
    )


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """One candidate's fits and pooled validation outputs."""

    reports: tuple[FitReport, ...]
    logits: Logits
    labels: Labels

    @property
    def loss(self) -> float:
        """Mean negative log likelihood."""
        chosen = log_softmax(self.logits.astype(np.float64), axis=1)[np.arange(len(self.labels)), self.labels]
        return float(-chosen.mean())


def _try(trainee: Trainee, folds: Sequence[Fold], rates: Rates, *, number: int, alone: bool) -> _Tried | None:
    """Return a candidate's fits over all folds, or None where it diverged and others are there to win."""
    try:
        fits = [trainee.try_out(f"select-{number:03d}-fold{index}", fold, rates) for index, fold in enumerate(folds)]
    except DivergedError:
        if alone:
            raise
        return None
    reports, logits, labels = zip(*fits, strict=True)
    return _Tried(reports=reports, logits=np.concatenate(logits), labels=np.concatenate(labels))


def _rank(trial: Trial) -> tuple[float, float]:
    assert trial.loss is not None
    return trial.loss, trial.rates.lr


class _Candidates:
    """The default alone, or the default and what Optuna's TPE proposes after it.

    The sampler is seeded and told in order, so that a resumed run is offered the same candidates again.
    """

    def __init__(self, search: Search, default: Rates) -> None:
        self._search, self._default = search, default
        self._asked: optuna.trial.Trial | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=search.seed))

    def __iter__(self) -> Iterator[Rates]:
        if self._search.trials == 0:
            yield self._default
            return
        self._study.enqueue_trial(
            {
                "lr": _clip(self._default.lr, self._search.lr),
                "weight_decay": _clip(self._default.weight_decay, self._search.weight_decay),
            }
        )
        for _ in range(self._search.trials):
            self._asked = self._study.ask()
            yield Rates(
                lr=self._asked.suggest_float("lr", *self._search.lr, log=True),
                weight_decay=self._asked.suggest_float("weight_decay", *self._search.weight_decay, log=True),
            )

    def tell(self, trial: Trial) -> None:
        """Report the loss of the candidate that was handed out last."""
        if self._asked is not None:
            state = optuna.trial.TrialState.FAIL if trial.loss is None else None
            self._study.tell(self._asked, trial.loss, state=state)


def _clip(value: float, interval: tuple[float, float]) -> float:
    return min(max(value, interval[0]), interval[1])


def _edges(winner: Rates, search: Search) -> tuple[str, ...]:
    """Return a sentence for each setting whose best value lies at the edge of its range."""
    if search.trials < 2:
        return ()
    found = []
    for name, value, (low, high) in (
        ("lr", winner.lr, search.lr),
        ("weight_decay", winner.weight_decay, search.weight_decay),
    ):
        position = math.log(value / low) / math.log(high / low)
        if position >= 1 - _EDGE or (position <= _EDGE and name == "lr"):  # the least weight decay is none
            found.append(f"the best {name} {value:.3g} lies at the edge of tune.{name}=[{low:g},{high:g}]: widen it")
    return tuple(found)
