"""MLflow as a projection of runs: live while they train, and from a run's id back to its weights.

Nothing here may slow training down or fail a run. A thread of its own talks to the store; the caller only fills a list,
and waits at the end, no longer than one budget of seconds for all of it.
When the store is away, what waits is dropped, for the run's record is the truth and `tlexp sync` replays it.
"""

import atexit
import contextlib
import functools
import re
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tlexp.errors import TrackingError, WeightsError
from tlexp.secrets import public_uri
from tlexp.tracking import names
from tlexp.tracking.artifacts import repository
from tlexp.tracking.client import DatasetInfo, Ending, RunWriter, Value, open_writer, run_tags, tagged
from tlexp.tracking.environment import environment
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.params import Param
from tlexp.tracking.patience import RUN_SECONDS, Patience, first_line
from tlexp.tracking.pyfunc import PyfuncModel
from tlexp.tracking.record import RunStatus, require_vouched
from tlexp.tracking.stale import close_dead
from tlexp.tracking.store import (
    PROBE_SECONDS,
    Pulse,
    absolute_uri,
    ensure_store,
    network_filesystem,
    sqlite_path,
)
from tlexp.tracking.system_metrics import load_monitor, measured_machine

_FLUSH_SECONDS = 1.0
_SILENT = "it does not answer"


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """Where a run can be seen.

    Attributes:
        uri: Of the store, without a password.
        link: The run's page.
        comparison: The page that compares all runs of the experiment, or of the sweep or study.
    """

    uri: str
    run_id: str
    link: str
    comparison: str


class Tracker:
    """One run, written into a store while it trains.

    None of `start`, `log`, `identity`, `end`, `settle` and `finish` raises for the store's sake. Together they wait no
    longer for a server than the budget says, and for a file no longer than it shows signs of life; then they go on
    without, and `warn` is called once, from the thread that called them.
    """

    def __init__(
        self,
        uri: str | None,
        *,
        experiment: str,
        warn: Callable[[str], None],
        seconds: float = RUN_SECONDS,
        command: str = "tlexp sync",
        system_metrics: bool = False,
        tidies: bool = True,
    ) -> None:
        """Touch nothing yet.

        Args:
            uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
            experiment: Name of the MLflow experiment.
            warn: Receives one sentence for the user.
            seconds: The budget.
            command: What writes the run later where the store is away, given its URI.
            system_metrics: Whether figures of the machine are written beside it.
            tidies: Whether it closes what dead processes left open; a sweep or study does so once for all its runs.
        """
        self.uri = absolute_uri(uri)
        self.run_id: str | None = None
        """Known soon after `start`."""
        self._experiment, self._command, self._system_metrics = experiment, command, system_metrics
        self._tidies = tidies
        self._warn = warn
        self._waiting: list[Value] = []
        self._ending: Ending | None = None
        self._patience = Patience(self.uri, seconds=seconds)
        self._abandoned = threading.Event()
        self._closing = threading.Event()
        self._opened = threading.Event()
        self._done = threading.Event()
        self._away: str | None = None
        self._warned = False
        self._writer: RunWriter | None = None
        self._thread: threading.Thread | None = None

    def start(
        self,
        *,
        run_name: str,
        params: Mapping[str, Param],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        before: "Tracker | None" = None,
    ) -> None:
        """Begin the run. Imports mlflow in the calling thread, because imports in two threads at once are dangerous.

        Args:
            run_name: Of the run.
            params: By name.
            tags: By name.
            dataset: What it is trained on.
            before: A run of the same store and experiment whose end may still be being written; this one waits for it.
        """
        path = sqlite_path(self.uri)
        kind = None if path is None else network_filesystem(path)
        if kind is not None:
            self._warn(
                f"{path} lies on {kind}, where SQLite's locks are unreliable: use a local path or a server, e.g. "
                "tracking.uri=http://127.0.0.1:5000"
            )
        if path is None and not self._patience.asks():
            self._give_up(_SILENT)
            self._tell()
            return
        load_mlflow()
        if self._system_metrics:
            load_monitor()
        created = {"run_name": run_name, "tags": dict(tags), "started_ms": _now_ms()}
        described = {"params": dict(params), "dataset": dataset}
        work = functools.partial(self._work, before, created, described)
        self._thread = threading.Thread(target=work, name="tlexp-tracking", daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each named curve; it is written within about a second."""
        if self._away is None and self._thread is not None:
            now = _now_ms()
            self._waiting.extend((now, step, name, float(value)) for name, value in values.items())
        self._tell()

    def identity(self) -> str | None:
        """Return the run's id in the store, waiting until the run is created; None if the store is away."""
        if self._thread is not None and self._away is None:
            self._wait(self._opened)
        return self.run_id

    def finish(
        self,
        *,
        status: RunStatus,
        metrics: Mapping[str, float],
        files: Sequence[tuple[Path, str]],
        model: PyfuncModel | None,
    ) -> TrackedRun | None:
        """End the run as `end` and `settle` do, and return where it is; None if the store is away."""
        self.end(status=status, metrics=metrics, files=files, model=model)
        return self.settle()

    def end(
        self,
        *,
        status: RunStatus,
        metrics: Mapping[str, float],
        files: Sequence[tuple[Path, str]],
        model: PyfuncModel | None,
    ) -> None:
        """Let all that comes at the end be written beside whatever the caller does next, until it calls `settle`.

        Args:
            status: How the run ended.
            metrics: The record's flat metrics.
            files: Files and the artifact folder of each.
            model: The model to log, or None.
        """
        if self._thread is not None and self._away is None:
            if model is not None:
                load_mlflow(models=True)
            self._ending = Ending(status=status, metrics=dict(metrics), files=files, model=model, ended_ms=_now_ms())
            self._closing.set()

    def settle(self) -> TrackedRun | None:
        """Wait until the store has all of a run that has ended, and return where it is; None if the store is away."""
        if self._ending is not None and self._away is None:
            self._wait(self._done)
        self._tell()
        if self._writer is None or self._away is not None or not self._done.is_set():
            return None
        return tracked_run(self.uri, self._writer.experiment_id, self._writer.run_id)

    def _work(self, before: "Tracker | None", created: dict[str, Any], described: dict[str, Any]) -> None:
        """Write the run; the body of the thread."""
        try:
            self._writer = self._open(before)
            created["tags"] = run_tags(environment("")) | created["tags"]
            self.run_id = self._writer.create(**created)
            self._opened.set()
            self._writer.describe(**described)
            if self._tidies:
                self._tidy(self._writer)
            with measured_machine(self.uri, self.run_id) if self._system_metrics else contextlib.nullcontext():
                while not self._closing.wait(_FLUSH_SECONDS) and self._away is None:
                    self._flush(self._writer)
            if self._away is None and self._ending is not None:
                self._flush(self._writer)
                self._writer.close(self._ending)
        except Exception as error:  # noqa: BLE001 - whatever a store's client raises, training goes on and the user is told
            self._give_up(first_line(error))
        finally:
            self._opened.set()
            self._done.set()

    def _open(self, before: "Tracker | None") -> RunWriter:
        """Return a writer; once the run before is written, what that one found out of the store holds for this one."""
        found = None
        if before is not None:
            before._done.wait()
            found = None if before._away is not None or before._writer is None else before._writer.experiment_id
        if found is None:
            ensure_store(self.uri)
        return open_writer(self.uri, self._experiment, abandoned=self._abandoned, experiment_id=found)

    def _tidy(self, writer: RunWriter) -> None:
        """Close what dead processes left open, beside the training."""
        try:
            close_dead(writer.client, writer.experiment_id)
        except Exception:  # noqa: BLE001 - the runs of others are no reason to give up this one
            return

    def _flush(self, writer: RunWriter) -> None:
        """Write the points that wait."""
        count = len(self._waiting)
        writer.points(self._waiting[:count])
        del self._waiting[:count]

    def _wait(self, event: threading.Event) -> None:
        """Wait for the thread to come so far, as long as patience lasts."""
        if not self._patience.outlasts(event, at_store=lambda: self._writer is None or not self._writer.is_preparing):
            slow = f"it held the run up for tracking.wait_seconds={self._patience.seconds:g}"
            self._give_up(slow if self._patience.left <= 0 else _SILENT)

    def _give_up(self, reason: str) -> None:
        self._away = self._away or reason
        self._abandoned.set()
        self._waiting.clear()
        self._opened.set()
        self._done.set()  # nobody waits for it any more, the next run neither

    def _tell(self) -> None:
        """Warn once."""
        if self._away is not None and not self._warned:
            self._warned = True
            self._warn(
                f"tracking store {public_uri(self.uri)} cannot take the run ({self._away}): it goes on without; "
                f"write it there later with: {told_command(self._command, self.uri)}"
            )


class Backlog:
    """The end of one run at most, which is written into its store while the next run is at work.

    Attributes:
        last: The run that ended last, where it was not waited for yet.
    """

    def __init__(self) -> None:
        self.last: Tracker | None = None

    def add(self, tracker: Tracker) -> None:
        """Leave a run that has ended to its thread, once the one before is written."""
        self.settle()
        self.last = tracker

    def settle(self) -> None:
        """Wait for the run that ended last, which says by itself what its store did not take."""
        last, self.last = self.last, None
        if last is not None:
            last.settle()


def told_command(command: str, uri: str) -> str:
    """Return a command with the store that it writes into; a password is left to the user."""
    shown = public_uri(uri)
    command = f"{command} --uri {shlex.quote(shown)}"
    if uri == shown:
        return command
    if not uri.startswith("http"):
        return f"{command} (the password is not kept: type it there, or set PGPASSWORD)"
    return f"{command} (user and password are not kept: type them there, or set MLFLOW_TRACKING_USERNAME and _PASSWORD)"


def tracked_run(uri: str, experiment_id: str, run_id: str, *, study: str | None = None) -> TrackedRun:
    """Return where a run of a store can be seen; that of a sweep or study is compared with its own runs."""
    return TrackedRun(
        uri=public_uri(uri),
        run_id=run_id,
        link=run_link(uri, experiment_id, run_id),
        comparison=comparison_link(uri, experiment_id, study=study),
    )


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page.

    >>> run_link("http://host:5000/", "1", "abc")
    'http://host:5000/#/experiments/1/runs/abc?workflowType=machine_learning'
    """
    return f"{_server(uri)}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}?workflowType=machine_learning"


def comparison_link(uri: str, experiment_id: str, *, study: str | None = None) -> str:
    """Return the address of the page that charts all runs of an experiment, or of a sweep or study in it.

    Without the workflow's type MLflow opens an empty page for language models.

    >>> comparison_link("http://host:5000/", "1", study="s")
    'http://host:5000/#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART\
&searchFilter=tags.%60tlexp.study%60%20%3D%20%22s%22'
    """
    wanted = "" if study is None else f"&searchFilter={quote(tagged(names.TAG_STUDY, study), safe='')}"
    runs = f"{_server(uri)}/#/experiments/{quote(experiment_id)}/runs"
    return f"{runs}?workflowType=machine_learning&compareRunsMode=CHART{wanted}"


def resolve_weights(text: str, *, uri: str | None, setting: str = "backbone.weights=") -> Path:
    """Return the folder or file that a reference to weights names.

    Args:
        text: `runs:/<run id>`, or a path, which is returned as it is.
        uri: Tracking URI that knows the run; None as for `Tracker`.
        setting: Stands before the text in messages.

    Raises:
        WeightsError: No such run, no exported network in it, the store cannot be reached, or the record of a run's
            folder does not vouch for its network.
    """
    if not text.startswith("runs:"):
        _require_own_network(Path(text), setting)
        return Path(text)
    uri = absolute_uri(uri)
    match = re.fullmatch(r"runs:/([0-9a-f]{32})(/model)?/?", text)
    if match is None:
        raise WeightsError(f"{setting}{text}: must be runs:/<run id of 32 hexadecimal digits>, a file or a folder")
    where = f"{setting}{text}: tracking store {public_uri(uri)}"
    way_out = "name the store with tracking.uri, or the run's folder under outputs/ instead"
    path = sqlite_path(uri)
    if (path is not None and not path.is_file()) or not Pulse(uri).beats(PROBE_SECONDS):
        raise WeightsError(f"{where} is not there: {way_out}")
    try:
        folder = _download(uri, match[1])
    except Exception as error:
        raise WeightsError(f"{where} does not give it ({first_line(error)}): {way_out}") from error
    if not (folder / names.MODEL_WEIGHTS_FILE).is_file():
        raise WeightsError(
            f"{where}: the run has no {names.MODEL_FOLDER}/{names.MODEL_WEIGHTS_FILE}; it was made with "
            f"train.save_weights=false or did not finish: choose another run, or its folder under outputs/"
        )
    return folder


def _require_own_network(folder: Path, setting: str) -> None:
    """Refuse a run's folder whose card its record does not vouch for; the card vouches for the weights in its turn."""
    try:
        require_vouched(folder, names.MODEL_CARD_FILE)
    except TrackingError as error:
        raise WeightsError(f"{setting}{folder}: {error}, or name a folder made by tlexp export") from error


def _download(uri: str, run_id: str) -> Path:
    """Return the local folder of a run's exported network; from a server it is fetched into a temporary one."""
    load_mlflow()
    ensure_store(uri)
    from mlflow import MlflowClient  # lazy: keeps --help fast
    from mlflow.utils.file_utils import local_file_uri_to_path

    client = MlflowClient(tracking_uri=uri)
    artifacts = client.get_run(run_id).info.artifact_uri
    if sqlite_path(uri) is not None and re.match(r"file:|/|[A-Za-z]:[\\/]", artifacts):
        return Path(local_file_uri_to_path(artifacts)) / names.MODEL_FOLDER
    folder = tempfile.mkdtemp(prefix="tlexp-weights-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(repository(uri, artifacts).download_artifacts(names.MODEL_FOLDER, folder))


def _server(uri: str) -> str:
    """Return the address of the web page of a store; for a file that is where `mlflow ui` serves it."""
    return public_uri(uri).rstrip("/") if uri.startswith(("http://", "https://")) else "http://127.0.0.1:5000"


def _now_ms() -> int:
    return int(time.time() * 1000)
