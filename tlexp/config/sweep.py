"""`hydra.sweeper`: how `-m` goes through the swept settings. Nothing here is part of a run's key."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.setting import setting


class Sampler(StrEnum):
    """auto = every point of a finite space, else tpe."""

    auto = "auto"
    tpe = "tpe"
    random = "random"


class Direction(StrEnum):
    """Which values of the objective are good ones."""

    minimize = "minimize"
    maximize = "maximize"


class Pruner(StrEnum):
    """none; median = a run ends that is worse than half of the others by then, hyperband = than two thirds of them."""

    none = "none"
    median = "median"
    hyperband = "hyperband"


_STORAGE = re.compile(r"sqlite:///(?!:memory:).+|postgresql(\+psycopg2?)?://.+")
_JUDGED = "val/loss"
"""What a run in the middle of a fit has."""
_GROWING = ("accuracy", "balanced_accuracy", "macro_f1", "images_per_second")
"""Figures of which more is better."""


@dataclass
class SweepConfig:
    """A sweep: `python -m tlexp -m KEY=a,b KEY=interval(low,high) hydra.sweeper.<name>=<value>`."""

    name: str | None = setting(
        None, "Folder below multirun; null names it by the fixed settings, so that the same command finds it again."
    )
    n_trials: int | None = setting(
        None, "Settings to try; null tries every point of a finite space. Each runs once for every swept seed."
    )
    sampler: Sampler = setting(Sampler.auto, "auto (every point of a finite space, else tpe), tpe or random.")
    seed: int = setting(0, "Seed of the sampler; that of the runs is `seed`.")
    objective: str = setting("val/loss", "What ranks: a figure of the validation part (val/...) or a cost (cost/...).")
    direction: Direction | None = setting(None, "minimize or maximize; null follows from the objective.")
    max_failure_rate: float = setting(1.0, "The sweep stops once more than this fraction of its runs failed, 0..1.")
    n_jobs: int | None = setting(
        None, "Settings that a search asks for at once; null takes the launcher's number of workers."
    )
    storage: str | None = setting(
        None, "Database in which several commands share one search: sqlite:///FILE on one host, or postgresql://...."
    )
    pruner: Pruner = setting(
        Pruner.none,
        "none, median or hyperband: whether runs of a search end early that are worse than others by their validation "
        "loss in the middle of a fit.",
    )
    dry_run: bool = setting(False, "Show what would run and what is there; `--dry-run` on the command line.")

    def problems(self) -> list[str]:
        """Return every broken rule, except that of the objective's name."""
        found = []
        for key in ("n_trials", "n_jobs"):
            value = getattr(self, key)
            if value is not None and value < 1:
                found.append(f"hydra.sweeper.{key}={value}: must be at least 1, or null")
        if not 0 <= self.seed < 2**31:
            found.append(f"hydra.sweeper.seed={self.seed}: must be 0..{2**31 - 1}")
        if not (math.isfinite(self.max_failure_rate) and 0 <= self.max_failure_rate <= 1):
            found.append(f"hydra.sweeper.max_failure_rate={self.max_failure_rate}: must be in [0, 1]")
        if self.name is not None and not self.name.strip():
            found.append("hydra.sweeper.name is empty: name a folder below multirun, or null")
        if self.storage is not None and not _STORAGE.fullmatch(self.storage):
            found.append(
                f"hydra.sweeper.storage={self.storage}: must be sqlite:///FILE, for commands of one host, or "
                "postgresql://USER@HOST/DATABASE, or null"
            )
        if self.pruner is not Pruner.none and (self.objective, self.goal) != (_JUDGED, Direction.minimize.value):
            found.append(
                f"hydra.sweeper.pruner={self.pruner} ends runs by their {_JUDGED}, but hydra.sweeper.objective="
                f"{self.objective} ({self.goal}) ranks by something else: leave one of them out"
            )
        return found

    @property
    def goal(self) -> str:
        """The stated direction, or that in which the objective is good: `minimize` or `maximize`."""
        if self.direction is not None:
            return self.direction.value
        grows = self.objective.rpartition("/")[2] in _GROWING
        return Direction.maximize.value if grows else Direction.minimize.value
