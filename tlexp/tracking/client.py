"""One run, written into a store through MLflow's client; everything here may take long and may fail."""

import contextlib
import json
import math
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlexp.errors import TrackingError
from tlexp.jsonfile import to_json
from tlexp.secrets import masked
from tlexp.tracking import names
from tlexp.tracking.artifacts import repository, require_place
from tlexp.tracking.blocks import Environment
from tlexp.tracking.params import Param
from tlexp.tracking.pyfunc import PyfuncModel, log_pyfunc
from tlexp.tracking.record import RunStatus
from tlexp.tracking.store import sqlite_path

Value = tuple[int, int, str, float]
"""A point of a curve on its way into a store: time in ms, step, metric, value."""
_MLFLOW_STATUS = {
    RunStatus.finished: "FINISHED",
    RunStatus.pruned: "FINISHED",
    RunStatus.failed: "FAILED",
    RunStatus.diverged: "FAILED",
    RunStatus.oom: "FAILED",
    RunStatus.killed: "KILLED",
}
_LONGEST_PARAM = 6000
_LONGEST_DIGEST = 36
_POINTS_PER_CALL = 1000
_PARAMS_PER_CALL = 100
_SENDERS = 8


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What a run was trained on; no data is copied.

    Attributes:
        name: e.g. shapes.
        digest: Of the images and labels; cut to the 36 digits that stores take.
        source: Where it is from, e.g. a folder.
    """

    name: str
    digest: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Ending:
    """All that a run adds when it is over."""

    status: RunStatus
    metrics: Mapping[str, float]
    files: Sequence[tuple[Path, str]] = ()
    model: PyfuncModel | None = None
    ended_ms: int


class RunWriter:
    """Writes one run into a store; every method may take long, and raises whatever MLflow raises."""

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        artifacts: Path | None,
        abandoned: threading.Event | None = None,
        experiment_id: str | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            uri: Absolute tracking URI.
            experiment: Name of the MLflow experiment; created where it is missing.
            artifacts: Folder for the experiment's artifacts; None leaves that to the server.
            abandoned: Once it is set the store is not spoken to any more: somebody else may write the run anew.
            experiment_id: Of the experiment, where another run has just found it; None asks for it.
        """
        from mlflow import MlflowClient  # lazy: keeps --help fast

        self._uri, self._abandoned = uri, abandoned or threading.Event()
        self.client: Any = _Client(MlflowClient(tracking_uri=uri), self._abandoned)
        self._senders = _SENDERS if artifacts is None else 1
        self.is_preparing = False
        """Whether it is at work on this machine alone."""
        self.experiment_id = experiment_id or self._experiment_id(experiment, artifacts)
        self.run_id = ""
        self._files: Any = None
        self._last_step: dict[str, int] = {}

    def open(
        self,
        *,
        run_name: str,
        params: Mapping[str, Param],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        started_ms: int,
    ) -> str:
        """Create the run, describe it and return its id."""
        self.create(run_name=run_name, tags=tags, started_ms=started_ms)
        self.describe(params=params, dataset=dataset)
        return self.run_id

    def describe(self, *, params: Mapping[str, Param], dataset: DatasetInfo) -> None:
        """Write what is known of a run when it begins."""
        from mlflow.entities import Param as MlflowParam  # lazy: keeps --help fast

        texts = {names.legal_name(name): storable(str(value))[:_LONGEST_PARAM] for name, value in params.items()}
        entries = [MlflowParam(name, text) for name, text in texts.items()]
        for start in range(0, len(entries), _PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=entries[start : start + _PARAMS_PER_CALL])
        self._log_dataset(dataset)

    def create(self, *, run_name: str, tags: Mapping[str, str], started_ms: int | None = None) -> str:
        """Create a run that has a name and tags alone, and return its id."""
        public = {name: _public_tag(name, value) for name, value in tags.items() if value}
        run = self.client.create_run(self.experiment_id, start_time=started_ms, tags=public, run_name=masked(run_name))
        return self.go_on(run)

    def go_on(self, run: Any) -> str:
        """Write into a run of the store from now on, and return its id.

        Raises:
            TrackingError: The store keeps its files where none are sent.
        """
        self.run_id = str(run.info.run_id)
        self._files = self.repository(run.info.artifact_uri)
        return self.run_id

    def repository(self, location: str) -> Any:
        """Return the way to a place that the store names.

        Raises:
            TrackingError: None are sent there.
        """
        return _Client(repository(self._uri, location), self._abandoned)

    def send(self, path: Path, folder: str) -> None:
        """Send a file into a folder of the run's files."""
        self._files.log_artifact(str(path), folder or None)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set the tags that have a value."""
        for name, value in tags.items():
            if value:
                self.client.set_tag(self.run_id, name, _public_tag(name, value))

    def points(self, values: Sequence[Value]) -> None:
        """Append finite points to curves."""
        entries = self._entries(values)
        for start in range(0, len(entries), _POINTS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=entries[start : start + _POINTS_PER_CALL])

    def close(self, ending: Ending) -> None:
        """Write what comes at the end; the status comes last, so that a run with one is whole."""
        from mlflow.entities import RunTag  # lazy: keeps --help fast

        self._send(ending.files)
        if ending.model is not None:
            self._log_model(ending.model)
        # Step 0 makes a bar chart of a number without a curve; after a curve the number is its last point.
        metrics = names.stored_metrics(ending.metrics)
        steps = {name: self._last_step[name] + 1 if name in self._last_step else 0 for name in metrics}
        entries = self._entries([(ending.ended_ms, steps[name], name, each) for name, each in metrics.items()])
        # Stores write the tags of a batch after its metrics.
        self.client.log_batch(self.run_id, metrics=entries, tags=[RunTag(names.TAG_STATUS, ending.status.value)])
        self.client.set_terminated(self.run_id, _MLFLOW_STATUS[ending.status], end_time=ending.ended_ms)

    def _send(self, files: Sequence[tuple[Path, str]]) -> None:
        """Send files, to a server several at once: one far away answers each after a while."""
        failed: list[Exception] = []
        waiting: queue.SimpleQueue[tuple[Path, str]] = queue.SimpleQueue()

        def send() -> None:
            with contextlib.suppress(queue.Empty):
                while not failed:
                    path, folder = waiting.get_nowait()
                    try:
                        self.send(path, folder)
                    except Exception as error:  # noqa: BLE001 - handed to the thread that waits
                        failed.append(error)

        for part in (files[:1], files[1:]):  # the first one finds out where to
            for file in part:
                waiting.put(file)
            # Those of a pool would be waited for when the process ends.
            threads = [threading.Thread(target=send, daemon=True) for _ in part[: self._senders]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if failed:
                raise failed[0]

    def _log_model(self, model: PyfuncModel) -> None:
        log_pyfunc(
            self.client,
            self.experiment_id,
            self.run_id,
            model,
            repository=self.repository,
            preparing=self._preparing,
        )

    @contextlib.contextmanager
    def _preparing(self) -> Iterator[None]:
        self.is_preparing = True
        try:
            yield
        finally:
            self.is_preparing = False

    def _experiment_id(self, name: str, artifacts: Path | None) -> str:
        """Return the id of an experiment, creating it; several processes may do so at once.

        Raises:
            TrackingError: The experiment is in the trash, or the files of its runs would lie where none are sent.
        """
        from mlflow.exceptions import MlflowException  # lazy: keeps --help fast

        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None if artifacts is None else (artifacts / names.folder_name(name)).as_uri()
            try:
                return str(self.client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self.client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"tracking.experiment={name} was deleted: bring it back with mlflow experiments restore "
                f"--experiment-id {found.experiment_id}, or choose another name"
            )
        if found.artifact_location:
            require_place(self._uri, found.artifact_location)
        return str(found.experiment_id)

    def _entries(self, values: Sequence[Value]) -> list[Any]:
        """Return finite points as MLflow's metrics, and remember how far each curve is."""
        from mlflow.entities import Metric  # lazy: keeps --help fast

        entries = []
        for at, step, name, value in values:
            if math.isfinite(value):  # stores turn inf into 1.8e308
                entries.append(Metric(names.legal_name(name), float(value), at, step))
                self._last_step[name] = max(step, self._last_step.get(name, 0))
        return entries

    def _log_dataset(self, dataset: DatasetInfo) -> None:
        """Name the data in the run; only name, digest and source are kept."""
        from mlflow.entities import Dataset, DatasetInput, InputTag  # lazy: keeps --help fast
        from mlflow.exceptions import MlflowException

        entity = Dataset(
            name=masked(dataset.name),
            digest=dataset.digest[:_LONGEST_DIGEST],
            source_type="local",
            source=json.dumps({"uri": masked(dataset.source)}),  # which escapes what is not ASCII
        )
        inputs = [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])]
        try:
            self.client.log_inputs(self.run_id, inputs)
        except MlflowException:
            # Runs that begin at once name the same data at once, and the store takes one; then it is there.
            self.client.log_inputs(self.run_id, inputs)


class _Client:
    """MLflow's client, until it is abandoned."""

    def __init__(self, client: Any, abandoned: threading.Event) -> None:
        self._client, self._abandoned = client, abandoned

    def __getattr__(self, name: str) -> Any:
        if self._abandoned.is_set():
            raise TrackingError("nobody waits for the tracking store any more")
        return getattr(self._client, name)


def storable(text: str) -> str:
    """Return text that every store takes, without secrets: what is no Unicode, such as a file's name, is escaped."""
    return masked(text).encode("utf-8", "backslashreplace").decode()


def tagged(name: str, value: str) -> str:
    """Return the words that search runs by a tag, one of those that are for that."""
    return f'tags.`{name}` = "{_public_tag(name, value)}"'


def _public_tag(name: str, value: str) -> str:
    """Return the value of a tag as stores have it: without secrets, but for the process, which others look for."""
    if name == names.TAG_PROCESS:
        return value
    return storable(names.findable(masked(value)) if name in names.FOUND_BY else value)


def open_writer(
    uri: str, experiment: str, *, abandoned: threading.Event | None = None, experiment_id: str | None = None
) -> RunWriter:
    """Return a writer whose artifacts lie beside a sqlite store, whatever the working folder is."""
    path = sqlite_path(uri)
    artifacts = None if path is None else path.parent / "mlruns"
    return RunWriter(uri, experiment, artifacts=artifacts, abandoned=abandoned, experiment_id=experiment_id)


def run_tags(environment: Environment) -> dict[str, str]:
    """Return the tags that follow from a record's environment."""
    git = environment.git
    return {
        names.TAG_VERSION: environment.packages["tlexp"],
        names.TAG_PROCESS: json.dumps(to_json(environment.process)),
        names.TAG_GIT_COMMIT: "" if git is None else git.commit,
        names.TAG_GIT_DIRTY: "" if git is None else str(git.dirty).lower(),
        names.TAG_USER: environment.user or "",
        names.TAG_SOURCE_NAME: Path(sys.argv[0]).name,
        names.TAG_SOURCE_TYPE: "LOCAL",
    }
