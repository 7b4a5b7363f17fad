"""A column of a study with its settings and its replicates, and how much of a network it trains."""

import dataclasses
import functools
from collections.abc import Container
from dataclasses import dataclass

from tlexp.compose.load import Composed
from tlexp.config import Config, config_key
from tlexp.config.freeze import FreezePolicy
from tlexp.experiment.build import Network, build_classifier, build_network
from tlexp.models import feature_width
from tlexp.studies.analysis.table import Column
from tlexp.studies.planning.budgets import BudgetSize


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One replicate: a label budget, a data seed and what they make of the column's settings."""

    budget: BudgetSize
    seed: int
    config: Config

    @functools.cached_property  # plans ask for it again and again
    def key(self) -> str:
        """What the run computes."""
        return config_key(self.config)

    @property
    def overrides(self) -> tuple[str, ...]:
        """What makes it, beside the overrides of the column."""
        return f"labels={self.budget.labels}", f"seed={self.seed}"


@dataclass(frozen=True, kw_only=True)
class PlannedColumn:
    """A column with its settings, its overrides and its runs, the smallest budgets first."""

    column: Column
    composed: Composed
    overrides: tuple[str, ...]
    runs: tuple[PlannedRun, ...]

    def seeded(self, seeds: Container[int]) -> "PlannedColumn":
        """Return the column with these data seeds alone."""
        return dataclasses.replace(self, runs=tuple(run for run in self.runs if run.seed in seeds))


def replicate(config: Config, labels: str, seed: int) -> Config:
    """Return what a column computes with a label budget and a data seed."""
    return dataclasses.replace(config, labels=labels, seed=seed)


def trainable_parameters(network: Network, config: Config, classes: int) -> int:
    """Return the trainable parameters of a column; a head beside trained layers counts as a linear one.

    Raises:
        ConfigError: The backbone has not what the policy or the head asks for, or a package is missing.
    """
    if config.freeze.policy is FreezePolicy.all:
        return _head_size(network, config, classes)
    classifier = build_classifier(config, network.frozen_as(config), classes)
    backbone = [each for name, each in classifier.trainable_parameters() if name.startswith("backbone.")]
    return sum(each.numel() for each in backbone) + classes * (feature_width(network.backbone) + 1)


def _head_size(network: Network, config: Config, classes: int) -> int:
    """Return the trainable parameters of a head on a frozen backbone.

    Raises:
        ConfigError: The backbone has not what the head needs.
    """
    if config.head.kind.sees_map or config.head.units:
        network = build_network(config, meta=True)  # which gives other features
    if config.head.kind.solved:
        return classes * (feature_width(network.backbone) + 1)
    return sum(parameter.numel() for parameter in build_classifier(config, network, classes).head.parameters())
