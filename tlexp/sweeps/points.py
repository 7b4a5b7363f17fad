"""What a sweep is: its points, which of them are fixed beforehand, its folder, and what all its runs share."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from tlexp.compose.leaves import leaves
from tlexp.compose.preflight import Preflight
from tlexp.compose.secrecy import seen_problems
from tlexp.config import GROUPS, PROTOCOL, key_values
from tlexp.config.labels import parse_labels
from tlexp.config.sweep import Sampler, SweepConfig
from tlexp.errors import ConfigError, TlexpError
from tlexp.jobs.folder import SweepFolder
from tlexp.jobs.index import RunIndex
from tlexp.jobs.planned import Planned, sweeps_folder
from tlexp.jobs.runner import HydraContext
from tlexp.secrets import masked
from tlexp.sweeps.composer import Composer
from tlexp.sweeps.ranking import LABELS, SEEDS
from tlexp.sweeps.space import SweepSpace, build_space
from tlexp.tracking import names

_MOST_PROBLEMS = 10
_LONGEST_SLUG = 50


class Plan:
    """The points of a sweep and its folder; nothing is written yet.

    Attributes:
        space: All swept settings.
        candidates: Those that are compared.
        replicates: The swept seeds; each candidate runs once for each.
        searches: Whether Optuna proposes the candidates; else all of them are known beforehand.
        points: The points known beforehand, none twice.
        notes: What people should know about them.
        first: Some point, for what all share.
        about: What all runs share, for study.json.
        folder: Of the sweep.

    Raises:
        ConfigError: Everything that is wrong with the overrides and with each point.
    """

    def __init__(self, settings: SweepConfig, overrides: Sequence[str], context: HydraContext) -> None:
        parsed = OverridesParser.create(config_loader=context.hydra.config_loader).parse_overrides(list(overrides))
        self.space = build_space(parsed)
        self.candidates = SweepSpace(
            axes=tuple(axis for axis in self.space.axes if not _is_replicate(axis.name, axis.values))
        )
        self.replicates = SweepSpace(axes=tuple(axis for axis in self.space.axes if axis not in self.candidates.axes))
        self.trials = settings.n_trials
        self.searches = not self.candidates.finite or (self.trials or math.inf) < self.candidates.size
        self._composer = Composer(context.hydra.config_loader, context.config, parsed, self.space)
        self._preflight = Preflight()
        self.notes: list[str] = []
        self.points: list[Planned] = []
        if self.searches:
            self._refuse_vague(settings)
            self.first = self.compose({axis.name: axis.middle() for axis in self.space.axes})
        else:
            self.points = self._every_point()
            self.first = self.points[0]
        explicit = {override.key_or_group for override in parsed if not override.is_sweep_override()}
        fixed = shared_settings(self.first, self.space.names, explicit)
        words = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
        self.about: dict[str, Any] = {
            "fixed": fixed,
            "swept": list(self.space.names),
            "objective": settings.objective,
            "stated": sorted(word for word in words if not word.startswith("tracking")),  # may hold a password
        }
        self.folder = SweepFolder(_folder(settings, context.config, self.first, self.about))

    @property
    def total(self) -> int:
        """How many runs the sweep has."""
        return (self.trials or 0) * self.replicates.size if self.searches else len(self.points)

    def compose(self, point: dict[str, str]) -> Planned:
        """Return a point with its configuration.

        Raises:
            ConfigError: Its settings do not fit.
        """
        return self._composer.plan(point)

    def runs_of(self, candidate: dict[str, str]) -> list[dict[str, str]]:
        """Return the points of a candidate: one for each combination of seeds."""
        return [{name: (candidate | seeds)[name] for name in self.space.names} for seeds in self.replicates.points()]

    def candidate_of(self, point: dict[str, str]) -> dict[str, str]:
        """Return a point without its seeds."""
        return {name: point[name] for name in self.candidates.names}

    def require_inputs(self, index: RunIndex) -> None:
        """Refuse what is left of the sweep, or the middle of a search that has not begun, where a run could not begin.

        Args:
            index: What is there: a run that finished needs its images no more.

        Raises:
            TlexpError: As `Preflight.check` has it; of several problems a ConfigError with all of them.
        """
        found: dict[str, TlexpError] = {}
        looked_at = [self.first] if self.searches and not index.every() else self.points
        for planned in looked_at:
            if index.counting(planned.key) is None:
                try:
                    self._preflight.check(planned.composed.config)
                except TlexpError as error:
                    found.setdefault(str(error), error)
        if found:
            raise _refusal(list(found)) if len(found) > 1 else next(iter(found.values()))

    def _every_point(self) -> list[Planned]:
        planned: dict[str, Planned] = {}
        problems: dict[str, str] = {}
        for point in self.space.points():
            try:
                found = self.compose(point)
            except ConfigError as error:
                for problem in error.problems:
                    problems.setdefault(problem, shown(point))
                continue
            same = planned.setdefault(found.key, found)
            if same is not found:
                self.notes.append(f"{shown(point)} is the same run as {shown(same.point)} and runs once")
        if problems:
            raise _refusal([f"{problem} [{point}]" if point else problem for problem, point in problems.items()])
        return list(planned.values())

    def _refuse_vague(self, settings: SweepConfig) -> None:
        """Refuse a search without an end, and one without figures to search by.

        Raises:
            ConfigError: As said.
        """
        if self.trials is None:
            endless = next(axis for axis in self.candidates.axes if axis.values is None)
            raise ConfigError(
                f"{endless.name} is swept over an interval, which has no end: say how many settings to try with "
                "hydra.sweeper.n_trials=40"
            )
        middle = self.compose({axis.name: axis.middle() for axis in self.space.axes})
        budgets = next((axis.values for axis in self.space.axes if axis.name == LABELS), None)
        for labels in budgets or (middle.composed.config.labels,):
            if settings.objective.startswith("val/") and _parsed_labels(labels) == 1:
                raise ConfigError(
                    f"labels={labels}: one image per class leaves none for validation, and a search needs "
                    f"{settings.objective}: use labels=2 or more, or list the values, which run unranked"
                )


def _refusal(told: list[str]) -> ConfigError:
    more = len(told) - _MOST_PROBLEMS
    return ConfigError(told[:_MOST_PROBLEMS] + ([f"and {more} more problems"] if more > 0 else []))


def shown(point: dict[str, str]) -> str:
    """Return a point as the overrides that set it, without secrets.

    >>> shown({"freeze": "all", "seed": "0"})
    'freeze=all seed=0'
    """
    return " ".join(masked(f"{name}={value}") for name, value in point.items())


def sampler(settings: SweepConfig) -> str:
    """Return what proposes candidates: tpe or random."""
    return Sampler.tpe.value if settings.sampler is Sampler.auto else settings.sampler.value


def shared_settings(planned: Planned, swept: Sequence[str], explicit: Iterable[str]) -> dict[str, Any]:
    """Return the settings that all runs share, by full name: what belongs to a run's key and is not swept.

    What a swept group states differs from run to run and is left out, unless an override of the command line fixes it.

    Args:
        planned: Some point.
        swept: The swept settings and groups.
        explicit: The settings and groups that the command line fixes.
    """
    config = planned.composed.config
    values = key_values(config)
    values["data"]["seed"] = config.data.seed  # where it follows from `seed` it is no setting of its own
    hidden = planned.composed.references
    explicit = set(explicit)
    shared = {
        name: hidden.get(name, value)
        for name, value in leaves(values)
        if not _moves(name, swept) or (name not in swept and _moves(name, explicit - set(GROUPS)))
    }
    return {"protocol": PROTOCOL, **shared}


def _moves(name: str, keys: Iterable[str]) -> bool:
    """Return whether one of the keys states the setting, by itself or through its group or experiment."""
    return any(key == "experiment" or name == key or name.startswith(f"{key}.") for key in keys)


def _folder(settings: SweepConfig, config: DictConfig, first: Planned, about: dict[str, Any]) -> Path:
    """Return the folder of the sweep: as stated, else named by what all runs share."""
    if any(str(override).startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra):
        if settings.name is not None:
            raise ConfigError(f"hydra.sweeper.name={settings.name} and hydra.sweep.dir both name the folder: give one")
        return Path(str(config.hydra.sweep.dir))
    if settings.name is not None:
        if problems := seen_problems("hydra.sweeper.name", settings.name):
            raise ConfigError(problems)
        if names.folder_name(settings.name) != settings.name:
            raise ConfigError(f"hydra.sweeper.name={settings.name}: use letters, digits and . _ -, up to 64")
        return sweeps_folder() / settings.name
    text = json.dumps([about["fixed"], sorted(about["swept"])], sort_keys=True)
    parts = [str(first.composed.config.data.source), *(name.rpartition(".")[2] for name in about["swept"])]
    slug = "-".join(parts)[:_LONGEST_SLUG].rstrip("-")
    return sweeps_folder() / f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _is_replicate(name: str, values: Sequence[str] | None) -> bool:
    return name in SEEDS and values is not None


def _parsed_labels(text: str) -> int | None:
    try:
        return parse_labels(text).per_class
    except ValueError:
        return None
