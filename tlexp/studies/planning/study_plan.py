"""What a study is: its columns, label budgets and data seeds, and its folder; nothing is written yet."""

import copy
import dataclasses
import functools
import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from tlexp.arrays import Labels
from tlexp.compose.compositions import Compositions
from tlexp.compose.leaves import leaves
from tlexp.config import PROTOCOL, Config, key_values
from tlexp.config.backbone import PIXELS, backbone_told
from tlexp.config.head import HeadKind
from tlexp.config.labels import parse_labels
from tlexp.config.study import ENTRANTS
from tlexp.config.train import ClassWeights
from tlexp.errors import ConfigError
from tlexp.experiment.build import Network
from tlexp.experiment.images import draw_labels, listing_bad_images
from tlexp.experiment.session import Session
from tlexp.experiment.sizes import size_notes
from tlexp.jobs.folder import SweepFolder
from tlexp.jobs.planned import sweeps_folder
from tlexp.jobs.runner import HydraContext
from tlexp.secrets import masked
from tlexp.studies.analysis.rounds import LOOKS, TRAINED, opening_seeds, plan_looks
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.analysis.stages import PROBE_SEEDS
from tlexp.studies.analysis.table import PROBES, ROUNDS, SEEDS, Column, Role
from tlexp.studies.planning.budgets import FULL, BudgetSize, allowed_budgets
from tlexp.studies.planning.columns import FROZEN, ColumnBasis, study_columns
from tlexp.studies.planning.command import StudyCommand, check_overrides, own_words
from tlexp.studies.planning.planned_column import PlannedColumn, PlannedRun, replicate, trainable_parameters
from tlexp.studies.planning.pool import PoolEntry, find_pool, pool_entries
from tlexp.tracking import names
from tlexp.train import Listener

_SEEDS, _FEW_TRIALS = 30, 2
RATES = "further candidate rates"
"""What stands for them among what is left out."""
_OF_ONE_NETWORK = ("backbone", "backbone.name", "backbone.weights", "backbone.pretrained")
"""What a study of several does not share."""
_NOT_PLANNED = ("name", "kind", "column", "backbones", "sizes")
"""Of the settings of a study, what names it, and what it does not go on with where they change."""
_SIZE = "backbone.image_size"
_SHOWN_DIGITS = 12


class StudyPlan:
    """A study.

    Args:
        overrides: Of the command line, without those that are Hydra's own.
        context: What Hydra hands over.
        shared: What runs of this process have in common.
        listener: Hears of images that are read.

    Attributes:
        columns: All of them.
        budgets: Label budgets, in growing order.
        seeds: Data seeds that may be run.
        probe_seeds: How many of them a screen sees.
        trained: Entrants that train on after each look but the last; none where all do.
        stopped: The round after which the minutes let no other begin; None so far.
        skipped: What was left out, and why.
        milliseconds: That an image takes in each network of the pool, by name, as measured when the study began; for
            people to see, no choice rests on it.
        whole: Seconds by estimate, "once" and for each data "seed", of the study before anything was left out to fit
            the minutes; for people to see, where the command that would decide takes it up.
        pool: The backbones, or the sizes of one, the cheapest first, where there are several.
        network: The backbone, of several the cheapest.
        source: The images.
        folder: Of the study.

    Raises:
        ConfigError: Everything that is wrong with the overrides.
        DataError: The images do not allow a study.
    """

    def __init__(self, overrides: Sequence[str], context: HydraContext, shared: Session, listener: Listener) -> None:
        check_overrides(overrides, context)
        self._compositions = compositions = Compositions.of_jobs(context.hydra.config_loader, context.config)
        command = StudyCommand(stated=tuple(overrides))
        self.pool, missing = self._find_pool(command)
        probe = (*(self.pool[0].words if self.pool else ()), *FROZEN)
        first = compositions.typed(command.overrides(probe)).config
        if first.backbone.name == PIXELS:
            raise ConfigError(
                "backbone=pixels: a study is about a pretrained network, and raw pixels have no units to freeze; name "
                "one, e.g. backbone=resnet18: raw pixels stand beside it as a control"
            )
        self.study, self._class_weights = first.study, first.train.class_weights
        if self.pool:
            self.network = self.pool[0].network
            own = [f"{each.name} {each.digest[:_SHOWN_DIGITS]}" for each in self.pool if each.digest]
            self._weights = ", ".join(sorted(own))
        else:
            self.network, origin = shared.network(first)
            backbone = first.backbone
            is_own = backbone.weights is not None and backbone.packaged is None and not backbone.random_start
            self._weights = origin.digest[:_SHOWN_DIGITS] if is_own else ""
        sides = [each.network.expected.image_size for each in self.pool] or [self.network.expected.image_size]
        self._command = command.completed(first, max(sides))
        config = compositions.typed(self._command.overrides(probe)).config
        with listing_bad_images(sweeps_folder()):
            self.source = shared.images(config, self.network.expected, listener)
        self._command = self._command.testing(config, self.source)
        config = compositions.typed(self._command.overrides(probe)).config
        stated = self.study.labels or FULL
        self.budgets, self.skipped = allowed_budgets(
            stated,
            self.source.pool.labels,
            self.source.classes,
            groups=self.source.group_codes(self.source.pool),
            compared=config.tune.validate,
        )
        self.skipped |= missing
        if not self.budgets:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.skipped.items())
            raise ConfigError(f"study.labels: no budget is left ({reasons}): name smaller ones, or give more images")
        self.seeds = tuple(range(config.seed, config.seed + (self.study.seeds or _SEEDS)))
        self._most, self.probe_seeds = len(self.seeds), min(PROBE_SEEDS, len(self.seeds))
        self.trained = TRAINED if self.pool else ()
        self.stopped: int | None = None
        self.milliseconds: dict[str, float] = {}
        self.whole: dict[str, float] = {}
        self._config, self._states_trials = config, config.tune.trials > 0
        self._trials = self._command.trials  # as planned, whatever the minutes leave of them
        self.columns = self._columns(config)
        self.folder = SweepFolder(self._folder(config), named_by="study.name")

    @functools.cached_property
    def rest(self) -> Labels:
        """Of the images that a run of the smallest budget is tested on beside the test split."""
        smallest = replicate(self.columns[0].composed.config, self.budgets[0].labels, self.seeds[0])
        return self.source.pool.labels[draw_labels(smallest, self.source).rest]

    @property
    def runs(self) -> list[tuple[PlannedColumn, PlannedRun]]:
        """Every replicate that may be run, column by column."""
        return [(column, run) for column in self.columns for run in column.runs]

    @property
    def looks(self) -> tuple[int, ...]:
        """Data seeds at each look at the data; rounds spare nothing where all that competes is solved."""
        return plan_looks(self._most) if self.waits else (len(self.seeds),)

    @property
    def waits(self) -> bool:
        """Whether a column takes its data seeds in rounds."""
        return any(each.column.in_rounds for each in self.columns)

    def opening(self, column: PlannedColumn) -> list[PlannedRun]:
        """Return the replicates of a column's first round."""
        seeds = opening_seeds(column.column, self.seeds, self.looks)
        return [run for run in column.runs if run.seed in seeds]

    @property
    def probes(self) -> list[PlannedColumn]:
        """The columns that a screen looks at, one of each entrant, the cheapest network first."""
        names = [each.columns[0] for each in self.entrants]
        return [each for each in self.columns if each.column.name in names]

    def probing(self, column: PlannedColumn) -> list[PlannedRun]:
        """Return the replicates of a probe that a screen sees."""
        return [run for run in column.runs if run.seed in self.seeds[: self.probe_seeds]]

    def copy(self) -> "StudyPlan":
        """Return a plan of which something may be left out without leaving it out of this one."""
        other = copy.copy(self)
        other.skipped = dict(self.skipped)
        return other

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings that all columns share and that a study goes on with; of an early one those that it stated."""
        composed, before = self.columns[0].composed, self.folder.about()
        fixed = {name: composed.references.get(name, value) for name, value in self._fixed(composed.config).items()}
        return fixed if before is None else {name: value for name, value in fixed.items() if name in before["fixed"]}

    def about(self, seconds: float) -> dict[str, Any]:
        """Return what the study is, for study.json.

        Args:
            seconds: That it takes by estimate if the first round decides.
        """
        config = self.columns[0].composed.config
        budgets = [
            {"labels": each.labels, "per_class": each.per_class, "images": each.images, "conditional": each.conditional}
            for each in self.budgets
        ]
        about = {
            "name": self.folder.path.name,
            "kind": self.study.kind,
            "backbone": self._named(config),
            **({} if self.pool else {"operations": sum(unit.operations for unit in self.network.units)}),
            **({"entrants": [dataclasses.asdict(each) for each in self.entrants]} if self.pool else {}),
            **({"screens": self.study.screens, "unseen": self._unseen} if self.pool else {}),
            **({"probe_seeds": self.probe_seeds, "trained": list(self.trained)} if self.pool else {}),
            "notes": list(self.notes),
            "data": str(config.data.source),
            "margin": self.study.margin,
            "seeds": list(self.seeds),
            "looks": list(self.looks),
            "stopped": self.stopped,
            "budgets": budgets,
            "columns": [dataclasses.asdict(each.column) for each in self.columns],
            "skipped": dict(self.skipped),
            "trials": int(self._command.trials.partition("=")[2]),
            "replicates": {run.key: [each.column.name, run.budget.labels, run.seed] for each, run in self.runs},
            "command": self._typed,
            "stated": self._stated,
            "estimate": {"seconds": round(seconds, 1), **{name: round(each, 3) for name, each in self.whole.items()}},
        }
        return {"fixed": self.fixed, "swept": ["column", "labels", "seed"], "study": about}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the size at which each network sees the images, of several sizes the largest."""
        probes = [each.columns[0] for each in self.entrants]
        screened = [each for each in self.columns if each.column.name in probes] or self.columns[:1]
        backbones = [each.composed.config.backbone for each in screened]
        largest = {(each.name, each.weights): column for each, column in zip(backbones, screened, strict=True)}.values()
        return tuple(
            note
            for each in largest
            for note in size_notes(each.composed.config, self._network_of(each.column).expected, self.source)
        )

    def _named(self, config: Config) -> str:
        """Return the backbone, or all of them."""
        entries = ", ".join(each.name for each in self.pool)
        own = backbone_told(config.backbone.name, "" if config.backbone.random_start else config.backbone.weights or "")
        return entries if self.study.backbones else f"{own}{f', {entries}' if entries else ''}"

    @property
    def begun(self) -> Mapping[str, Any] | None:
        """What study.json says of this study; None where it has not begun, or its own settings are stated otherwise."""
        before = self.folder.about() or {}
        begun: Mapping[str, Any] = before.get("study", {})
        typed = own_words(begun.get("command", "")) == own_words(masked(self._typed))
        same = typed and begun.get("stated", self._stated) == self._stated  # early studies did not say
        return begun if begun and same else None

    @property
    def _stated(self) -> dict[str, Any]:
        """What the settings of the study leave to be planned, of its file too, which the command line does not tell."""
        return {name: value for name, value in vars(self.study).items() if name not in _NOT_PLANNED}

    @property
    def _typed(self) -> str:
        """The command line."""
        return self._command.typed

    def drop_column(self, column: PlannedColumn, why: str) -> None:
        """Leave a column out."""
        self.columns = [each for each in self.columns if each is not column]
        self.skipped[column.column.title] = why

    def drop_entrant(self, name: str, why: str) -> None:
        """Leave all columns of a backbone out."""
        for column in [each for each in self.columns if (entry := self.entry_of(each.column)) and entry.name == name]:
            self.drop_column(column, why)

    def drop_rounds(self, left: int, why: str) -> None:
        """Leave all data seeds out but the first ones, of the columns that take them in rounds."""
        self._most = left
        self.columns = [each.seeded(self.seeds[:left]) if each.column.in_rounds else each for each in self.columns]
        self.skipped[ROUNDS] = why

    def drop_seeds(self, left: int, why: str) -> None:
        """Leave all data seeds out but the first ones."""
        self.seeds, self._most = self.seeds[:left], min(left, self._most)
        self.probe_seeds = min(left, self.probe_seeds)
        self.columns = [each.seeded(self.seeds) for each in self.columns]
        self.skipped[SEEDS] = why

    def drop_probe_seeds(self, left: int, why: str) -> None:
        """Let the screen see the first data seeds alone."""
        self.probe_seeds = left
        self.skipped[PROBES] = why

    def drop_rates(self, why: str) -> bool:
        """Let trained columns compare fewer rates, before a column is left out; return whether they can."""
        few = f"tune.trials={_FEW_TRIALS}"
        trains = any(not each.column.solved for each in self.columns)
        if self._states_trials or self._command.trials == few or not trains:
            return False
        self._command = dataclasses.replace(self._command, trials=few)
        kept = [each.column.name for each in self.columns]
        self.columns = [each for each in self._columns(self._config) if each.column.name in kept]
        self.skipped[RATES] = why
        return True

    def drop_budget(self, budget: BudgetSize, why: str) -> None:
        """Leave a budget out."""
        self.keep([run.key for _, run in self.runs if run.budget is not budget])
        self.skipped[f"labels={budget.labels}"] = why

    def keep(self, keys: Container[str]) -> None:
        """Leave all replicates out but these, and columns and budgets of which none is left."""
        left = (
            dataclasses.replace(each, runs=tuple(run for run in each.runs if run.key in keys)) for each in self.columns
        )
        self.columns = [each for each in left if each.runs]
        labels = {run.budget.labels for _, run in self.runs}
        self.budgets = [each for each in self.budgets if each.labels in labels]

    def _columns(self, config: Config) -> list[PlannedColumn]:
        study = self.study
        basis = ColumnBasis(
            backbone=config.backbone.name, units=self.network.units, depths=study.depths, pool=self.pool
        )
        found = study_columns(study.columns, basis, controls=study.controls)
        scratch = {str(parse_labels(text)) for text in study.scratch_labels}
        planned: list[PlannedColumn] = []
        problems: list[str] = []
        seen: set[str] = set()
        for column in found:
            try:
                each = self._column(column, scratch)
            except ConfigError as error:
                if column.optional:
                    self.skipped[column.title] = "; ".join(error.problems)
                else:
                    problems += error.problems
                continue
            if each.runs[0].key in seen:
                continue
            seen.add(each.runs[0].key)
            planned.append(each)
        if not problems and not any(each.column.competes for each in planned):
            problems = [f"study.columns: {title}: {why}" for title, why in self.skipped.items()]
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        return planned

    def _column(self, column: Column, scratch: set[str]) -> PlannedColumn:
        [kind] = [HeadKind(word.removeprefix("head=")) for word in column.words if word.startswith("head=")]
        trials = "tune.trials=0" if kind.solved else self._command.trials
        overrides = self._command.overrides((*column.words, trials, *self._unweighed(kind)))
        composed = self._compositions.typed(overrides)
        if not composed.config.compares and not self._command.validates:
            overrides = (*overrides, "tune.validate=false")  # what folds would cost is saved
            composed = self._compositions.typed(overrides)
        config = composed.config
        limited = column.role in (Role.scratch, Role.scratch_long) and scratch
        budgets = [each for each in self.budgets if not limited or each.labels in scratch] or self.budgets[-1:]
        column = dataclasses.replace(column, words=overrides, solved=kind.solved)
        most = LOOKS[0] if column.is_control else self._most if column.in_rounds else None
        runs = tuple(
            PlannedRun(budget=budget, seed=seed, config=replicate(config, budget.labels, seed))
            for budget in budgets
            for seed in self.seeds[:most]
        )
        classes = len(self.source.classes)
        trainable = trainable_parameters(self._network_of(column), config, classes) if column.competes else 0
        column = dataclasses.replace(column, trainable=trainable)
        return PlannedColumn(column=column, composed=composed, overrides=overrides, runs=runs)

    def _find_pool(self, command: StudyCommand) -> tuple[tuple[PoolEntry, ...], dict[str, str]]:
        """Return the backbones that can be had here, and why others cannot; none where the study is about one."""

        def compose(words: tuple[str, ...]) -> Config:
            return self._compositions.typed(command.overrides((*words, *FROZEN))).config

        study = compose(()).study
        if ENTRANTS not in study.columns:
            return (), {}
        stated = {word.partition("=")[0]: word for word in command.stated}
        if study.sizes and _SIZE in stated:
            raise ConfigError(f"{stated[_SIZE]}: a study of sizes takes them from study.sizes: leave it out")
        if study.backbones and (shared := [stated[key] for key in _OF_ONE_NETWORK if key in stated]):
            raise ConfigError(
                f"{' '.join(shared)}: a study of several networks takes them from study.backbones, own weights behind "
                "an @, e.g. study.backbones=[tiny,resnet18@weights.pth]; backbone.image_size=64 holds for all of them"
            )
        entries = pool_entries(study.backbones, study.sizes)
        pool, missing = find_pool(entries, compose, readings=bool(study.backbones))
        return tuple(pool), missing

    def entry_of(self, column: Column) -> PoolEntry | None:
        """Return the backbone of a column, where there are several."""
        return next((each for each in self.pool if each.name == column.entrant), None)

    def _network_of(self, column: Column) -> Network:
        entry = self.entry_of(column)
        return self.network if entry is None else entry.network

    @property
    def entrants(self) -> tuple[Entrant, ...]:
        """The backbones that are screened, with those of their columns that are left; none where there is one alone."""
        by_entry = {
            entry.name: tuple(each.column.name for each in self.columns if self.entry_of(each.column) is entry)
            for entry in self.pool
        }
        return tuple(
            Entrant(
                name=entry.name,
                columns=by_entry[entry.name],
                operations=entry.operations,
                prior=entry.prior,
                facts={**entry.facts, "milliseconds": self.milliseconds.get(entry.name)},
                reads=entry.reads,
                pooling=entry.pooling,
            )
            for entry in self.pool
            if by_entry[entry.name]
        )

    @property
    def _unseen(self) -> list[str]:
        """Names of what was to be screened and has no column left."""
        left = {each.name for each in self.entrants}
        return [each.name for each in self.pool if each.name not in left]

    def _unweighed(self, head: HeadKind) -> tuple[str, ...]:
        """Return what lets a head without a loss stand beside those whose loss weighs classes."""
        weighed = self._class_weights is not ClassWeights.none
        return ("train.class_weights=none",) if weighed and not head.has_loss else ()

    def _fixed(self, config: Config) -> dict[str, Any]:
        """Return the settings that all columns share and that a study goes on with."""
        values = dict(leaves(key_values(config)))
        varied = (
            *("freeze.", "head.", "labels", "seed", "data.seed", "tune.trials", "tune.validate", "study."),
            *(("backbone.",) if self.study.backbones else (_SIZE,) if self.pool else ()),
        )
        stated = {word.partition("=")[0].lstrip("+") for word in self._command.stated}
        of_all = [name for name in values if name.startswith("backbone.") and name not in _OF_ONE_NETWORK]
        entrants = "study.backbones" if self.study.backbones else "study.sizes"
        pool = {entrants: ",".join(sorted(each.name for each in self.pool))} if self.pool else {}
        return {
            **pool,
            "protocol": PROTOCOL,
            "images": self.source.digest[:_SHOWN_DIGITS],  # their replicates are paired image by image
            **({"weights": self._weights} if self._weights else {}),
            **({name: values[name] if name in stated else None for name in of_all} if self.study.backbones else {}),
            **{name: value for name, value in values.items() if not name.startswith(varied)},
            "tune.trials": self._trials.partition("=")[2],
            "tune.validate": config.tune.validate if self._command.validates else None,
            "study.kind": self.study.kind,
        }

    def _folder(self, config: Config) -> Path:
        name = self.study.name
        if name is not None:
            if names.folder_name(name) != name:
                raise ConfigError(f"study.name={name}: use letters, digits and . _ -, up to 64")
            return sweeps_folder() / name
        content = [self._fixed(config), sorted(run.key for _, run in self.runs)]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
        network = config.backbone.packaged or config.backbone.name.partition(".")[0]
        about = f"{sum(not each.reads for each in self.pool)}" if self.study.backbones else network
        return sweeps_folder() / f"{self.study.kind}-{config.data.source}-{about}-{digest}"
