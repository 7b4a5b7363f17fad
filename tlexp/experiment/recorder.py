"""The record of a run in the making: filled in as things become known, published however the run ends."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tlexp.config import Config, config_key, run_values
from tlexp.errors import ConfigError, DivergedError, Interrupted, OutOfMemoryError
from tlexp.tracking import (
    DatasetInfo,
    MetricsLog,
    PyfuncModel,
    Record,
    RunStatus,
    TrackedRun,
    Tracker,
    environment,
    names,
    public_uri,
    publish_record,
    read_record,
    run_files,
)
from tlexp.train import FitReport, Listener


class RunRecorder:
    """What is known of a run so far, and the tracking store that hears of it.

    As a context manager it publishes the record at the end: finished, or diverged, oom, killed, failed with the reason.

    Args:
        config: What the run does.
        folder: Its folder.
        listener: Hears notes as messages.
        shown: The configuration as it may be logged.
        overrides: The words of the command line.
        study: The name of the sweep that the run is one of.
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
    ) -> None:
        self.config, self.folder = config, folder
        self.listener = listener
        self._study = {} if study is None else {names.TAG_STUDY: study}
        if (folder / names.RECORD_FILE).exists():
            raise ConfigError(f"hydra.run.dir={folder} holds a run's record already: give each run a folder of its own")
        self.shown = _without_password(run_values(config) if shown is None else shown)
        self.overrides = [_public_word(word) for word in overrides]
        self.started = _now()
        self.freeze: dict[str, Any] = {"policy": str(config.freeze.policy), "norm": str(config.freeze.norm)}
        self.data: dict[str, Any] = {}
        self.train: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.notes: list[str] = []
        self.record: Record | None = None
        self.tracked: TrackedRun | None = None
        self.environment = environment(config.train.device)
        self._log = MetricsLog(folder / names.CURVES_FILE)
        self._tracker: Tracker | None = None

    @property
    def alone(self) -> bool:
        """Whether the run is none of a sweep's, which has a progress of its own to show."""
        return not self._study

    def note(self, text: str) -> None:
        """Keep a sentence for readers of the record, and tell it now."""
        self.notes.append(text)
        self.listener.message(text)

    def start_tracking(self, dataset: DatasetInfo) -> None:
        """Begin the run in the tracking store, if there is to be one."""
        tracking = self.config.tracking
        if not tracking.enabled:
            return
        self._tracker = Tracker(tracking.uri, experiment=tracking.experiment, warn=self.listener.message)
        self._tracker.start(
            run_name=names.run_name(self.shown),
            params=names.flat_params(self.shown),
            tags={names.TAG_KEY: config_key(self.config), names.TAG_RUN: self.folder.resolve().name, **self._study},
            dataset=dataset,
        )

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Show a point of the final fit's curves in the tracking store while it trains."""
        if self._tracker is not None:
            self._tracker.log(step, values)

    def curve(self, report: FitReport, *, phase: str, fold: int | None, shown: frozenset[int] = frozenset()) -> None:
        """Write a fit's curves down; steps in `shown` are in the tracking store already."""
        for step, name, value in report.curve:
            values = {f"train/{name}": value}
            self._log.write(phase=phase, fold=fold, step=step, values=values)
            if step not in shown:
                self.point(step, {names.curve_metric(phase, fold, key): each for key, each in values.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.listener.closing()
        self._log.close()
        record = self._record(error)
        try:
            self.record = read_record(publish_record(self.folder, record))
        except BaseException:
            if self._tracker is not None:
                self._finish(self._tracker, dataclasses.replace(record, status=RunStatus.failed))
            raise
        if self._tracker is not None:
            self.tracked = self._finish(self._tracker, record)

    def _record(self, error: BaseException | None) -> Record:
        store = self._tracker
        return Record(
            key=config_key(self.config),
            status=_status(error),
            reason=None if error is None else str(error) or type(error).__name__,
            overrides=self.overrides,
            config=self.shown,
            seeds={"seed": self.config.seed, "data": self.config.data_seed},
            freeze=self.freeze,
            data=self.data,
            train=self.train,
            metrics=self.metrics,
            tracking=None if store is None else {"uri": public_uri(store.uri), "run_id": store.identity()},
            environment=self.environment,
            started=self.started,
            ended=_now(),
            notes=self.notes,
        )

    def _finish(self, tracker: Tracker, record: Record) -> TrackedRun | None:
        model = None
        if self.config.tracking.log_model and (self.folder / names.MODEL_WEIGHTS_FILE).is_file():
            model = PyfuncModel(folder=self.folder, classes=tuple(self.data["classes"]))
        return tracker.finish(
            status=record.status, metrics=record.metrics, files=run_files(self.folder), figures={}, model=model
        )


def _status(error: BaseException | None) -> RunStatus:
    if error is None:
        return RunStatus.finished
    if isinstance(error, DivergedError):
        return RunStatus.diverged
    if isinstance(error, OutOfMemoryError):
        return RunStatus.oom
    return RunStatus.killed if isinstance(error, Interrupted | KeyboardInterrupt) else RunStatus.failed


def _public_word(word: str) -> str:
    """Return an override without a password in the tracking URI."""
    key, mark, value = word.partition("=")
    return f"{key}{mark}{public_uri(value)}" if key.lstrip("+") == "tracking.uri" else word


def _without_password(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the values with a tracking URI that is fit to be read by others."""
    tracking = shown["tracking"]
    uri = None if tracking["uri"] is None else public_uri(tracking["uri"])
    return {**shown, "tracking": {**tracking, "uri": uri}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
