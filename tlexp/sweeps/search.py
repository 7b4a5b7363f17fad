"""Optuna's part of a sweep: which settings to try next. Its study lives in memory and is rebuilt from the records."""

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from tlexp.sweeps.space import Axis
from tlexp.tracking.blocks import PrunedBlock

optuna.logging.disable_default_handler()
optuna.logging.enable_propagation()


def build_sampler(name: str, *, seed: int) -> BaseSampler:
    """Return what proposes settings: tpe or random."""
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return samplers[name](seed=seed)


class OptunaSearch:
    """Proposes settings, and hears what came out.

    Args:
        axes: What is searched.
        sampler: tpe or random.
        seed: Of the sampler.
        direction: minimize or maximize.
        known: How many settings were tried before. It moves the seed: a search that goes on would otherwise begin with
            the very proposals it began with at first.
    """

    def __init__(self, axes: Sequence[Axis], *, sampler: str, seed: int, direction: str, known: int) -> None:
        self._axes = axes
        self._distributions = {axis.name: axis.distribution() for axis in axes}
        self._study = optuna.create_study(direction=direction, sampler=build_sampler(sampler, seed=seed + known))

    def add(self, candidate: dict[str, str], result: float | PrunedBlock | None) -> None:
        """Make known what came out of settings that were tried before: where it was pruned, or None for nothing."""
        params = {axis.name: axis.sampled(candidate[axis.name]) for axis in self._axes}
        self._study.add_trial(finished_trial(result, params=params, distributions=self._distributions))

    def ask(self) -> tuple[Trial, dict[str, str]]:
        """Return a trial, and its settings as values of overrides."""
        trial = self._study.ask(self._distributions)
        return trial, {axis.name: axis.text(trial.params[axis.name]) for axis in self._axes}

    def tell(self, trial: Trial, result: float | PrunedBlock | None) -> None:
        """Make known what came out of a trial: where it was pruned, or None for nothing."""
        if isinstance(result, PrunedBlock):
            trial.report(result.loss, result.look)
            self._study.tell(trial, state=TrialState.PRUNED)
        elif result is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, result)


def finished_trial(result: float | PrunedBlock | None, **given: Any) -> FrozenTrial:
    """Return a trial with what came out of its settings: where it was pruned, or None for nothing."""
    if isinstance(result, PrunedBlock):
        return create_trial(state=TrialState.PRUNED, intermediate_values={result.look: result.loss}, **given)
    return create_trial(state=TrialState.FAIL if result is None else TrialState.COMPLETE, value=result, **given)
