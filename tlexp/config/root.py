"""One run's whole configuration, its cross-group rules and its key."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tlexp.config.augment import AugmentConfig, AugmentKind
from tlexp.config.backbone import PIXELS, BackboneConfig
from tlexp.config.cache import CacheConfig, CacheMode
from tlexp.config.data import DataConfig, Decoder
from tlexp.config.depth import parse_depth
from tlexp.config.entry import EntryKind, EntryRule, entry_rule, trained_layers
from tlexp.config.freeze import FreezeConfig, FreezeNorm, FreezePolicy
from tlexp.config.group import parse_group
from tlexp.config.head import HeadConfig, HeadInit, HeadKind
from tlexp.config.labels import parse_labels
from tlexp.config.optim import DEFAULT_RATES, FROZEN_MAP, FROZEN_MLP, SCRATCH, OptimConfig, Rates
from tlexp.config.protocol import PROTOCOL
from tlexp.config.setting import setting
from tlexp.config.study import StudyConfig
from tlexp.config.tracking import TrackingConfig
from tlexp.config.train import ClassWeights, TrainConfig
from tlexp.config.tune import TuneConfig

GROUPS = ("backbone", "freeze", "head", "data", "augment", "optim", "train", "tune", "cache", "tracking", "study")


@dataclass
class Config:
    """One run: a group per question, the label budget and the seed."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    labels: str = setting("20", "Label budget: images per class, a fraction of the pool such as 0.1, or all.")
    seed: int = setting(0, "Draws initial weights, batches and, unless data.seed is set, the label budget; 0..2^32-1.")
    resume: str | None = setting(None, "Folder of an interrupted run to go on with.", key=False)

    def problems(self) -> list[str]:
        """Return every broken rule: of each group, of the bare keys, and across groups."""
        found = [problem for group in GROUPS for problem in getattr(self, group).problems()]
        if self.resume is None:  # a run goes on with what it was made with, when nobody minded
            found += self.data.foreign_problems()
        try:
            parse_labels(self.labels)
        except ValueError as error:
            found.append(str(error))
        if not 0 <= self.seed < 2**32:
            found.append(f"seed={self.seed}: must be 0..{2**32 - 1}")
        if self.tune.trials and (self.optim.lr is not None or self.optim.weight_decay is not None):
            found.append(
                f"tune.trials={self.tune.trials} searches learning rate and weight decay: leave out optim.lr and "
                "optim.weight_decay, or narrow the search with tune.lr=[low,high] and tune.weight_decay=[low,high]"
            )
        if self.data.source.in_memory and self.data.on_bad != "refuse":
            found.append(f"data.on_bad=skip: data={self.data.source} has no files that could be bad")
        if self.freeze.norm is FreezeNorm.keep and self.backbone.random_start and not self.backbone.calibrate:
            found.append(
                "freeze.norm=keep keeps BatchNorm statistics as they were pretrained, but with "
                "backbone.pretrained=false they were not, and would never be learned: use freeze.norm=follow, "
                "or backbone.calibrate=true"
            )
        if self.freeze.policy is FreezePolicy.lpft and self.head.init is HeadInit.probe:
            found.append(
                "head.init=probe solves the linear probe that freeze=lpft trains: use freeze=none head.init=probe, or "
                "leave head.init out"
            )
        if self.resume == "":
            found.append("resume= names no run: give the folder of one, resume=outputs/<time>-<uid>, or leave it out")
        return [*found, *self._pixel_problems(), *self._feature_problems(), *self._solved_problems()]

    def _pixel_problems(self) -> list[str]:
        """Return the broken rules of raw pixels, which have nothing to train or to pool."""
        if self.backbone.name != PIXELS:
            return []
        found = []
        if self.freeze.policy is not FreezePolicy.all:
            found.append(f"freeze={self.freeze.policy}: backbone=pixels has no units that could train, use freeze=all")
        if self.head.global_pool is not None:
            found.append(f"head.global_pool={self.head.global_pool}: backbone=pixels pools nothing, leave it null")
        if self.head.kind.sees_map:
            found.append(f"head={self.head.kind}: backbone=pixels has no map, use head=linear or head=mlp")
        if self.head.units:
            found.append(f"head.units=[{','.join(self.head.units)}]: backbone=pixels has no units, leave it out")
        return found

    def _feature_problems(self) -> list[str]:
        """Return the broken rules of features that are to be kept."""
        found = []
        if self.cache.views and self.augment.kind is AugmentKind.none:
            found.append(f"cache.views={self.cache.views} needs an augmentation to draw them with, e.g. augment=light")
        rule = self.entry_rule
        if self.cache.mode is CacheMode.on and rule.kind is EntryKind.images:
            found.append(f"cache.mode=on, but {rule.reason}; cache.mode=auto computes them as it goes")
        return found

    def _solved_problems(self) -> list[str]:
        """Return the broken rules of a head that is solved."""
        head = self.head.kind
        if not head.solved:
            return []
        found = []
        if self.moving is not None:
            found.append(f"head={head} is solved on features that stay as they are, but {self.moving}")
        if self.train.class_weights is ClassWeights.balanced and not head.has_loss:
            found.append(
                f"train.class_weights=balanced needs a head with a loss: head={head} has none; use head=logreg or "
                "head=ridge, or leave it out"
            )
        stated = {
            "optim.lr": self.optim.lr is not None,
            "optim.weight_decay": self.optim.weight_decay is not None and not head.penalised,
            "train.label_smoothing": self.train.label_smoothing > 0,
            "train.refit=false": not self.train.refit,
        }
        found += [
            f"{key} needs a head that is trained, such as head=linear: head={head} knows none"
            for key, wrong in stated.items()
            if wrong
        ]
        ranges = {name: (getattr(self.tune, name), getattr(TuneConfig(), name)) for name in ("lr", "weight_decay")}
        found += [
            f"tune.{name}={value}: head={head} compares values of its own; leave it out, or state optim.weight_decay"
            for name, (value, default) in ranges.items()
            if value != default
        ]
        if self.cache.views and head.leaves_out:
            found.append(
                f"cache.views={self.cache.views}: head={head} is calibrated by leaving each image out, which other "
                "views of it would spoil; use head=logreg, or augment=none without views"
            )
        if head.penalised and self.optim.weight_decay == 0:
            found.append(f"optim.weight_decay=0: head={head} needs a positive one, or null to have it chosen")
        return found

    @property
    def entry_rule(self) -> EntryRule:
        """How deep training may enter the network."""
        return entry_rule(self.freeze, self.augment, self.head, views=self.cache.views)

    @property
    def moving(self) -> str | None:
        """Why the features that the head sees change in the course of training; None if they do not."""
        return trained_layers(self.freeze) or self.entry_rule.reason

    @property
    def compares(self) -> bool:
        """Whether settings are compared inside the budget, where it is large enough; else a single one is taken."""
        head, trials = self.head.kind, self.tune.trials
        if not head.solved:
            return trials > 1
        return trials != 1 and (head is HeadKind.knn or (head.penalised and self.optim.weight_decay is None))

    @property
    def data_seed(self) -> int:
        """The seed that draws the label budget."""
        return self.seed if self.data.seed is None else self.data.seed

    @property
    def default_rates(self) -> Rates:
        """Learning rate and weight decay of a run that does not search: stated ones, else the policy's defaults."""
        row = DEFAULT_RATES[self._rates_row(), self.optim.name]
        return Rates(
            lr=row.lr if self.optim.lr is None else self.optim.lr,
            weight_decay=row.weight_decay if self.optim.weight_decay is None else self.optim.weight_decay,
        )

    @property
    def probe_rates(self) -> Rates:
        """The rates of a phase that trains the head alone: stated and tuned ones are for layers of the backbone."""
        return DEFAULT_RATES[self._probing(), self.optim.name]

    def _rates_row(self) -> str:
        """Return the row of the table of default rates."""
        policy = self.freeze.simplest
        if policy is FreezePolicy.all:
            return self._probing()
        return SCRATCH if self.backbone.random_start else policy.rates_as

    def _probing(self) -> str:
        """Return the row of a head on a frozen backbone."""
        if self.head.kind.sees_map:
            return FROZEN_MAP
        return FROZEN_MLP if self.head.kind.hidden_layers else FreezePolicy.all


def config_fields() -> dict[str, dataclasses.Field[Any]]:
    """Return every setting by its full key, e.g. `optim.lr`, in the order of the groups; bare keys last."""
    hints = {entry.name: entry for entry in dataclasses.fields(Config)}
    fields = {
        f"{group}.{entry.name}": entry
        for group in GROUPS
        for entry in dataclasses.fields(hints[group].default_factory)  # type: ignore[arg-type]
    }
    return fields | {name: entry for name, entry in hints.items() if name not in GROUPS}


def config_values(config: Any, *, key_only: bool = False) -> dict[str, Any]:
    """Return a (sub-)configuration as plain JSON values.

    Args:
        config: A configuration dataclass.
        key_only: Leave out the fields that cannot change a result.
    """
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            nested = config_values(value, key_only=key_only)
            if nested:
                values[entry.name] = nested
        elif not key_only or entry.metadata.get("key", True):
            values[entry.name] = str(value) if isinstance(value, str) else value
    return values


def run_values(config: Config) -> dict[str, Any]:
    """Return what is to be shown of a run: all values but those of the study that it may be one of."""
    values = config_values(config)
    del values["study"]
    return values


def key_values(config: Config) -> dict[str, Any]:
    """Return what a run computes as plain JSON values, in one spelling: `0.10` and `.1` are the same budget."""
    values = config_values(config, key_only=True)
    values["labels"] = str(parse_labels(config.labels))
    values["data"]["seed"] = config.data_seed
    if config.data.decoder is Decoder.exact:
        del values["data"]["decoder"]  # as decoders were before there were two
    if config.data.prior is not None:
        values["data"]["prior"] = json.dumps(config.data.prior, sort_keys=True)  # one value, in whatever order
    if config.data.group is not None:
        values["data"]["group"] = str(parse_group(config.data.group))
    if config.data.classes is not None:
        values["data"]["classes"] = sorted(config.data.classes)
    if config.freeze.depth is not None:
        values["freeze"]["depth"] = str(parse_depth(config.freeze.depth))
    values["freeze"]["units"] = sorted(config.freeze.units, key=str)
    values["head"]["units"] = sorted(config.head.units, key=str)  # what they make is put in forward order
    return values


def config_key(config: Config) -> str:
    """Return the sha256 that names what a run computes: its values and the protocol's number."""
    values = {"protocol": PROTOCOL, **key_values(config)}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
