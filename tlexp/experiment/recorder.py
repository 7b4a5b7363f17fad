"""The record of a run in the making: filled in as things become known, published however the run ends."""

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from tlexp.cache import Use
from tlexp.config import Config, config_key, run_values
from tlexp.data import Source
from tlexp.errors import ConfigError, DivergedError, Interrupted, OutOfMemoryError, PrunedError
from tlexp.experiment.build import Network
from tlexp.experiment.images import Budget, describe_images, per_class
from tlexp.jsonfile import from_json
from tlexp.learn.selection import FINAL, Selection
from tlexp.models import Classifier, WeightsOrigin
from tlexp.models.prior import PriorShift, told_shares
from tlexp.paths import in_words
from tlexp.secrets import kept_uri, public_uri
from tlexp.tracking import (
    Backlog,
    MetricsLog,
    PyfuncModel,
    Record,
    RunStatus,
    TrackedRun,
    Tracker,
    dataset_of,
    environment,
    names,
    publish_record,
    read_record,
    run_files,
)
from tlexp.tracking.blocks import (
    CacheBlock,
    DataBlock,
    FreezeBlock,
    PhaseBlock,
    PriorBlock,
    ProbeBlock,
    PrunedBlock,
    Seeds,
    TrackingBlock,
    TrainBlock,
    WeightsBlock,
)
from tlexp.tracking.params import run_params
from tlexp.tracking.record import point_of
from tlexp.train import Evaluation, FalseAlarms, FitReport, Listener, PerClass, on_curve


class RunRecorder:
    """What is known of a run so far, and the tracking store that hears of it.

    As a context manager it publishes the record at the end: finished, or diverged, oom, killed, failed with the reason.

    Args:
        config: What the run does.
        folder: Its folder.
        listener: Hears of all that the run does, notes among it.
        shown: The configuration as it may be logged.
        overrides: The overrides of the command line.
        study: The name of the sweep that the run is one of.
        backlog: Where the end of the run may wait to be written into the store; None where it is waited for.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        *,
        listener: Listener,
        shown: dict[str, Any] | None,
        overrides: Sequence[str],
        study: str | None = None,
        backlog: Backlog | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self._curves = _Curves(listener, self._point)
        self.listener: Listener = self._curves
        self._study = {} if study is None else {names.TAG_STUDY: study}
        self.point = None if study is None else point_of(folder)
        if (folder / names.RECORD_FILE).exists():
            raise ConfigError(f"hydra.run.dir={folder} holds a run's record already: give each run a folder of its own")
        self.shown = _without_password(run_values(config) if shown is None else shown)
        self.overrides = list(overrides)
        self.started = _now()
        self.freeze = FreezeBlock(policy=str(config.freeze.policy), norm=str(config.freeze.norm))
        self.data: DataBlock | None = None
        self.train = TrainBlock()
        self.metrics: dict[str, float] = {}
        self.notes: list[str] = []
        self.meant: Path | None = None
        self.record: Record | None = None
        self.tracked: TrackedRun | None = None
        self.environment = environment(config.train.device)
        self._log = MetricsLog(folder / names.CURVES_FILE)
        self._tracker: Tracker | None = None
        self._backlog = backlog

    @property
    def alone(self) -> bool:
        """Whether the run is a single one, and none of a sweep or a study."""
        return not self._study

    def note(self, texts: Iterable[str], *, told: bool = True, known: Container[str] = ()) -> None:
        """Keep sentences for readers of the record, and tell them now if that is wanted and they are not known."""
        for text in texts:
            self.notes.append(text)
            if told and text not in known:
                self.listener.message(text)

    def took_place_on(self, device: str) -> None:
        """Enter the kind of device."""
        self.environment = replace(self.environment, device=device)

    def probed(self, probe: ProbeBlock) -> None:
        """Enter what the head starts from."""
        self.train = replace(self.train, probe=probe)

    def describe(self, network: Network, origin: WeightsOrigin, images: Source, budget: Budget) -> DataBlock:
        """Enter what is known before training, units, weights and images; return what is entered of the images."""
        solved = self.config.head.kind.solved
        units = tuple(network.freezing.frozen_units(network.units))
        self.freeze = replace(self.freeze, depth=network.depth, units=units)
        self.train = replace(
            self.train,
            steps=0 if solved else self.config.train.count_steps(len(budget.positions)),
            weights=WeightsBlock(source=origin.source, digest=origin.digest),
            image_size=network.expected.image_size,
            outside_protocol=() if solved else tuple(self.config.train.outside_protocol()),
        )
        self.meant = images.meant
        self.data = describe_images(images, _counts(images, budget), budget)
        return self.data

    def begin(self, frozen: str) -> None:
        """Begin the run in the tracking store, if there is to be one.

        Args:
            frozen: Digest of all that is frozen.
        """
        assert self.data is not None
        self.freeze = replace(self.freeze, digest_before=frozen)
        tracking = self.config.tracking
        if not tracking.enabled:
            return
        self._tracker = Tracker(
            tracking.uri,
            experiment=tracking.experiment,
            warn=self.listener.message,
            seconds=tracking.wait_seconds,
            system_metrics=tracking.system_metrics,
            tidies=self.alone,
        )
        self._tracker.start(
            run_name=names.run_name(self.shown, self.point),
            params=run_params(self.shown, kept=self.point or ()),
            tags={names.TAG_KEY: config_key(self.config), names.TAG_RUN: self.folder.resolve().name, **self._study},
            dataset=dataset_of(self.shown, self.data.digest),
            before=None if self._backlog is None else self._backlog.last,
        )

    def selected(self, selection: Selection[Any]) -> None:
        """Enter how the settings were chosen."""
        for fold, report in enumerate(selection.reports):
            self._curve(report, phase="select", fold=fold)
        self.note(selection.flags, told=self.config.study.column is None)  # the page of a study counts them
        block = selection.block(refit=self.config.train.refit)
        self.train = replace(self.train, selection=block, temperature=selection.temperature)

    def trained(self, report: FitReport, frozen: str) -> None:
        """Enter what the final fit took.

        Args:
            report: Of the fit.
            frozen: Digest of all that is frozen.
        """
        self._curve(report, phase="final", fold=None, shown=self._curves.steps)
        phases = tuple(from_json(PhaseBlock, phase, "phases") for phase in report.phases)
        self.freeze = replace(self.freeze, phases=phases or None, digest_after=frozen)
        if frozen != self.freeze.digest_before:
            raise AssertionError("frozen parameters or buffers changed during training")

    def weighed(self, classes: Sequence[str], weights: PerClass) -> None:
        """Enter what an image of each class counted in the loss of the final fit, where they differ."""
        if weights:
            self.train = replace(self.train, class_weights=dict(zip(classes, weights, strict=True)))

    def shifted(self, classes: Sequence[str], shift: PriorShift | None) -> None:
        """Enter from which class frequencies predictions are corrected, and to which, where they are."""
        if shift is None:
            return
        wanted, trained = (dict(zip(classes, shares, strict=True)) for shares in (shift.wanted, shift.trained))
        self.train = replace(self.train, prior=PriorBlock(wanted=wanted, trained=trained))
        to, learned = (told_shares(classes, shares) for shares in (shift.wanted, shift.trained))
        text = (
            f"data.prior: predictions of held-out images are corrected from the frequencies learned, {learned}, to {to}"
        )
        self.note([f"{text}; measures are of these, on the images as they lie; train/* and val/* are not corrected"])

    def alarmed(self, found: Sequence[FalseAlarms]) -> None:
        """Enter which share of the test images would be marked as none of the classes, where that can be told."""
        shares = {f"{each.level:g}": each.rate for each in found if each.possible}
        if shares:
            self.train = replace(self.train, false_alarms=shares)

    def cached(self, use: Use | None) -> None:
        """Enter what the cache has done; a run that is none of a sweep's says it."""
        if use is None:
            return
        mode = str(self.config.cache.mode)
        self.train = replace(self.train, cache=CacheBlock(mode=mode, **dataclasses.asdict(use)))
        if self.alone:
            self.listener.message(f"cache {mode}: {use}")

    def measured(
        self,
        splits: dict[str, Evaluation],
        report: FitReport,
        classifier: Classifier,
        *,
        head_alone: bool,
        seconds: float,
    ) -> None:
        """Enter every score of every split, and what the run cost.

        Args:
            splits: What was measured on each.
            report: Of the final fit.
            classifier: The network as trained.
            head_alone: Whether its steps ran the head alone, so that their pace says nothing of the network.
            seconds: Of the run.
        """
        costs = {
            "seconds": seconds,
            "images_per_second": None if head_alone else report.images_per_second,
            "peak_bytes": report.peak_bytes,
            "flops": report.flops,
            "trainable_parameters": sum(parameter.numel() for _, parameter in classifier.trainable_parameters()),
            "total_parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        }
        for split, evaluation in splits.items():
            for score, value in evaluation.metrics.items():
                self.metrics[names.split_metric(split, score)] = value
        self.metrics |= {names.cost_metric(name): float(cost) for name, cost in costs.items() if cost is not None}

    def _point(self, step: int, values: Mapping[str, float]) -> None:
        """Show a point of the final fit's curves in the tracking store while it trains."""
        if self._tracker is not None:
            self._tracker.log(step, values)

    def _curve(self, report: FitReport, *, phase: str, fold: int | None, shown: frozenset[int] = frozenset()) -> None:
        """Write a fit's curves down; steps in `shown` are in the tracking store already."""
        for step, name, value in report.curve:
            values = {f"train/{name}": value}
            self._log.write(phase=phase, fold=fold, step=step, values=values)
            if step not in shown:
                self._point(step, {names.curve_metric(phase, fold, key): each for key, each in values.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.listener.closing()
        self._log.close()
        if self._backlog is not None:
            self._backlog.settle()  # the run before, for which the store hears nothing of this one yet
        record = self._record(error)
        try:
            self.record = read_record(publish_record(self.folder, record))
        except BaseException:
            if self._tracker is not None:
                self._finish(self._tracker, dataclasses.replace(record, status=RunStatus.failed))
            raise
        if self._tracker is not None:
            self.tracked = self._finish(self._tracker, self.record)

    def _record(self, error: BaseException | None) -> Record:
        store = self._tracker
        if isinstance(error, PrunedError):
            told = PrunedBlock(look=error.look, step=error.step, steps=error.steps, loss=error.loss)
            self.train = replace(self.train, pruned=told)
        return Record(
            key=config_key(self.config),
            status=_status(error),
            reason=None if error is None else in_words(error),
            overrides=self.overrides,
            point=self.point,
            config=self.shown,
            seeds=Seeds(seed=self.config.seed, data=self.config.data_seed),
            freeze=self.freeze,
            data=self.data,
            train=self.train,
            metrics=self.metrics,
            tracking=None if store is None else TrackingBlock(uri=public_uri(store.uri), run_id=store.identity()),
            environment=self.environment,
            started=self.started,
            ended=_now(),
            notes=self.notes,
        )

    def _finish(self, tracker: Tracker, record: Record) -> TrackedRun | None:
        model = None
        wanted = self.config.tracking.log_model and (self.folder / names.MODEL_WEIGHTS_FILE).is_file()
        if wanted and record.data is not None:
            model = PyfuncModel(folder=self.folder, classes=record.data.classes)
        tracker.end(status=record.status, metrics=record.metrics, files=run_files(self.folder, record), model=model)
        if self._backlog is None:
            return tracker.settle()
        self._backlog.add(tracker)
        return None


def _counts(images: Source, budget: Budget) -> dict[str, dict[str, int]]:
    """Return the images of each class in train, val (that of a single split), test and what else is tested."""
    validation = budget.folds[0].validation if len(budget.folds) == 1 else np.zeros(0, np.int64)
    parts = {
        "train": np.delete(budget.labels, validation),
        "val": budget.labels[validation],
        **{split: held_out.labels for split, held_out in images.evaluated()},
    }
    if len(budget.rest):
        parts["rest"] = images.pool.labels[budget.rest]
    return {split: per_class(images.classes, labels) for split, labels in parts.items()}


def _status(error: BaseException | None) -> RunStatus:
    if error is None:
        return RunStatus.finished
    if isinstance(error, DivergedError):
        return RunStatus.diverged
    if isinstance(error, OutOfMemoryError):
        return RunStatus.oom
    if isinstance(error, PrunedError):
        return RunStatus.pruned
    return RunStatus.killed if isinstance(error, Interrupted | KeyboardInterrupt) else RunStatus.failed


def _without_password(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the values with a tracking URI by which others find the store."""
    tracking = shown["tracking"]
    uri = None if tracking["uri"] is None else kept_uri(tracking["uri"])
    return {**shown, "tracking": {**tracking, "uri": uri}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Curves(Listener):
    """Passes on what training tells, and shows the final fit's curves in the tracking store while it trains.

    Attributes:
        steps: The steps whose points were shown.
    """

    def __init__(self, listener: Listener, show: Callable[[int, Mapping[str, float]], None]) -> None:
        self._listener, self._show = listener, show
        self._final, self._steps_in_all = False, 0
        self.steps: frozenset[int] = frozenset()

    def phase(self, title: str, steps: int) -> None:
        """Pass on; only the final fit is shown while it goes on."""
        self._final, self._steps_in_all = title == FINAL, steps
        self._listener.phase(title, steps)

    def step(self, step: int, values: dict[str, float]) -> None:
        """Pass on; show the steps that the fit's curve keeps."""
        self._listener.step(step, values)
        if self._final and on_curve(step, self._steps_in_all):
            self._show(step, {f"train/{name}": value for name, value in values.items()})
            self.steps |= {step}

    def looks(self, steps: int, images: int) -> frozenset[int]:
        """Pass on."""
        return self._listener.looks(steps, images)

    def validated(self, fit_id: str, step: int, steps: int, loss: float) -> None:
        """Pass on."""
        self._listener.validated(fit_id, step, steps, loss)

    def ended(self) -> None:
        """Pass on."""
        self._listener.ended()

    def closing(self) -> None:
        """Pass on."""
        self._listener.closing()

    def images(self, done: int, count: int) -> None:
        """Pass on."""
        self._listener.images(done, count)

    def message(self, text: str) -> None:
        """Pass on."""
        self._listener.message(text)

    def should_stop(self) -> int | None:
        """Pass on."""
        return self._listener.should_stop()
