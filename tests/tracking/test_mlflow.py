import contextlib
import http.server
import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tlexp.errors import TrackingError, WeightsError
from tlexp.tracking import (
    Backlog,
    DatasetInfo,
    MetricsLog,
    Record,
    RunStatus,
    TrackedRun,
    Tracker,
    figures,
    names,
    publish_record,
    read_record,
    replay,
    resolve_weights,
    run_files,
)
from tlexp.tracking.client import RunWriter
from tlexp.tracking.environment import process_identity
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.mlflow import comparison_link, run_link
from tlexp.tracking.params import run_params
from tlexp.tracking.store import Pulse, sqlite_path

DATASET = DatasetInfo(name="shapes", digest="ab" * 32, source="tlexp:shapes")
Make = Callable[..., Record]
Held = Callable[[str], contextlib.AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load_mlflow()  # seconds of import that the times below must not count


def start(uri: str | None, warnings: list[str], **changes: Any) -> Tracker:
    tracker = Tracker(uri, experiment="tlexp", warn=warnings.append)
    opening: dict[str, Any] = {"run_name": "r1", "params": {}, "tags": {names.TAG_RUN: "r1"}, "dataset": DATASET}
    tracker.start(**(opening | changes))
    return tracker


def finish(tracker: Tracker, status: RunStatus = RunStatus.finished, **changes: Any) -> TrackedRun | None:
    ending: dict[str, Any] = {"metrics": {}, "files": [], "model": None}
    return tracker.finish(status=status, **(ending | changes))


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def history(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client(uri).get_metric_history(run_id, name)]


def test_a_run_arrives_whole(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRUNCATE_LONG_VALUES", "false")
    (tmp_path / "model.json").write_text("{}")
    figures.learning_curves([]).savefig(tmp_path / "mistakes.png")
    warnings: list[str] = []
    tracker = start(
        store, warnings, params={"optim.lr": 0.1, "a[0]": None, "long": "x" * 9000}, tags={"tlexp.key": "k"}
    )
    for step in range(5):
        tracker.log(step, {"train/loss": 1 / (step + 1), "train/bad": math.nan if step else math.inf})
    done = finish(
        tracker,
        metrics={"test/accuracy": 0.5, "train/loss": 0.1, "test/nll": math.inf},
        files=[(tmp_path / "model.json", "model"), (tmp_path / "mistakes.png", "figures")],
    )
    assert warnings == []
    assert done is not None
    run = client(store).get_run(done.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "r1")
    assert run.data.params == {"optim.lr": "0.1", "a_0_": "None", "long": "x" * 6000}
    assert {"tlexp.key": "k", "tlexp.status": "finished"}.items() <= run.data.tags.items()
    assert json.loads(run.data.tags["tlexp.process"]) == process_identity()
    assert run.data.metrics == {"test/accuracy": 0.5, "train/loss": 0.1}
    assert history(store, done.run_id, "train/loss") == [
        (0, 1),
        (1, 1 / 2),
        (2, 1 / 3),
        (3, 1 / 4),
        (4, 1 / 5),
        (5, 0.1),
    ]
    assert history(store, done.run_id, "test/accuracy") == [(0, 0.5)]
    data = run.inputs.dataset_inputs[0].dataset
    assert (data.name, data.digest) == ("shapes", "ab" * 18)
    artifacts = tmp_path / "mlruns" / "tlexp" / done.run_id / "artifacts"
    assert (artifacts / "model" / "model.json").read_text() == "{}"
    assert (artifacts / "figures" / "mistakes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("finished", "FINISHED"), ("pruned", "FINISHED"), ("failed", "FAILED"), ("diverged", "FAILED"), ("oom", "FAILED"),
     ("killed", "KILLED")],
)  # fmt: skip
def test_every_status_has_its_counterpart(store: str, status: str, expected: str) -> None:
    done = finish(start(store, []), RunStatus(status))
    assert done is not None
    run = client(store).get_run(done.run_id)
    assert (run.info.status, run.data.tags[names.TAG_STATUS]) == (expected, status)
    assert run.info.end_time is not None


def test_another_run_that_enters_the_same_data_set_first_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import IntegrityError

    insert, calls = SqlAlchemyStore._log_inputs_impl, []

    def too_late(store: SqlAlchemyStore, experiment: str, run: str, *arguments: Any) -> None:
        calls.append(run)
        if len(calls) == 1:
            with sqlite3.connect(tmp_path / "mlflow.db") as other:
                row = ("uuid", int(experiment), DATASET.name, DATASET.digest[:36], "local", "{}")
                columns = "dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source"
                other.execute(f"insert into datasets ({columns}) values (?, ?, ?, ?, ?, ?)", row)
                with pytest.raises(sqlite3.IntegrityError) as caught:
                    other.execute(f"insert into datasets ({columns}) values (?, ?, ?, ?, ?, ?)", ("other", *row[1:]))
            raise IntegrityError("insert", row, caught.value)
        insert(store, experiment, run, *arguments)

    monkeypatch.setattr(SqlAlchemyStore, "_log_inputs_impl", too_late)
    warnings: list[str] = []
    tracker = start(f"sqlite:///{tmp_path / 'mlflow.db'}", warnings)
    assert finish(tracker) is not None
    assert warnings == []
    assert len(calls) == 2


def test_the_fluent_state_is_left_alone(store: str) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    finish(start(store, []))
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


def test_the_default_store_lies_in_the_working_folder(
    ready_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    done = finish(start(None, []))
    assert done is not None
    assert done.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert done.link.startswith("http://127.0.0.1:5000/#/experiments/")


def test_a_deleted_experiment_names_the_way_back(store: str) -> None:
    made = client(store).create_experiment("tlexp")
    client(store).delete_experiment(made)
    warnings: list[str] = []
    assert finish(start(store, warnings)) is None
    assert f"mlflow experiments restore --experiment-id {made}" in warnings[0]


def test_links_open_the_runs_page_and_the_charts_of_the_right_workflow() -> None:
    assert (
        run_link("http://u:p@host:5000/", "7", "abc")
        == "http://host:5000/#/experiments/7/runs/abc?workflowType=machine_learning"
    )
    assert comparison_link("sqlite:////tmp/mlflow.db", "7") == (
        "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    )


# --- one run behind another


def end(tracker: Tracker, **changes: Any) -> Tracker:
    ending: dict[str, Any] = {"status": RunStatus.finished, "metrics": {}, "files": [], "model": None}
    tracker.end(**(ending | changes))
    return tracker


def test_the_end_of_a_run_is_written_beside_the_next_one_and_in_order(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    held = threading.Event()
    create, close = RunWriter.create, RunWriter.close

    def created(writer: RunWriter, **words: Any) -> str:
        written.append(f"{words['run_name']} begins")
        return create(writer, **words)

    def closed(writer: RunWriter, *words: Any) -> None:
        assert held.wait(30)
        close(writer, *words)
        written.append("ends")

    monkeypatch.setattr(RunWriter, "create", created)
    monkeypatch.setattr(RunWriter, "close", closed)
    backlog = Backlog()
    first = start(store, [], run_name="first")
    assert first.identity() is not None
    backlog.add(end(first))  # returns although nothing can be closed
    second = start(store, [], run_name="second", before=backlog.last)
    assert not second._opened.wait(0.2)
    assert client(store).get_run(first.run_id).info.status == "RUNNING"
    held.set()
    backlog.add(end(second))
    assert client(store).get_run(first.run_id).info.status == "FINISHED"
    backlog.settle()
    assert client(store).get_run(second.run_id).info.status == "FINISHED"
    assert written == ["first begins", "ends", "second begins", "ends"]
    assert backlog.last is None


def test_runs_that_follow_each_other_ask_once_for_their_experiment(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    plain, asked = MlflowClient.get_experiment_by_name, []
    spy = lambda self, name: asked.append(name) or plain(self, name)  # noqa: E731
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", spy)
    backlog = Backlog()
    for _ in range(3):
        backlog.add(end(start(store, [], before=backlog.last)))
    backlog.settle()
    assert asked == ["tlexp"]


def test_what_the_store_did_not_take_of_a_run_is_told_by_that_run_and_does_not_touch_the_next(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def refused(*words: Any, **more: Any) -> None:
        raise ValueError("the disk is full")

    warnings: dict[str, list[str]] = {"first": [], "second": []}
    backlog = Backlog()
    with monkeypatch.context() as patch:
        first = start(store, warnings["first"])
        assert first.identity() is not None, warnings
        patch.setattr(MlflowClient, "set_terminated", refused)
        backlog.add(end(first))
        assert first._done.wait(30)
    [experiment] = [each for each in client(store).search_experiments() if each.name == "tlexp"]
    client(store).delete_experiment(experiment.experiment_id)  # after a fault nothing is taken for known
    second = start(store, warnings["second"], before=backlog.last)
    backlog.add(end(second))
    assert len(warnings["first"]) == 1
    assert "the disk is full" in warnings["first"][0]
    backlog.settle()
    assert f"experiments restore --experiment-id {experiment.experiment_id}" in warnings["second"][0]


def test_a_run_that_is_given_up_holds_up_no_run_behind_it(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, held = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "close", lambda *_: (reached.set(), held.wait(20)))
        first = end(start(store, []))
        assert reached.wait(30)
    first._give_up("it took too long")
    began = time.monotonic()
    assert finish(start(store, [], before=first)) is not None
    assert time.monotonic() - began < 15
    held.set()


# --- outages


class Server:
    """An HTTP server that can be told how to behave."""

    def __init__(self) -> None:
        outer = self
        self.health, self.api = 200, 500
        self.hang = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.hang.is_set():
                    time.sleep(8)
                    return
                self.send_response(outer.health if self.path == "/health" else outer.api)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - the name is http.server's

            def log_message(self, *words: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def train_through_an_outage(uri: str, *, meanwhile: Callable[[], None] = lambda: None) -> tuple[float, list[str]]:
    """Return the seconds that tracking took from the caller, and the warnings."""
    warnings: list[str] = []
    began = time.monotonic()
    tracker = start(uri, warnings)
    spent = time.monotonic() - began
    meanwhile()
    began = time.monotonic()
    for step in range(2000):
        tracker.log(step, {"train/loss": 1.0})
    assert finish(tracker, metrics={"test/accuracy": 1.0}) is None
    return spent + time.monotonic() - began, warnings


def check_outage(uri: str, **behaviour: Callable[[], None]) -> None:
    seconds, warnings = train_through_an_outage(uri, **behaviour)
    assert seconds < 1.0
    assert len(warnings) == 1
    assert uri in warnings[0]
    assert f"tlexp sync --uri {uri}" in warnings[0]


def test_a_server_that_refuses_connections_costs_one_warning_and_under_a_second() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        check_outage(f"http://127.0.0.1:{reserved.getsockname()[1]}")


def test_an_outage_is_told_before_training_and_starts_no_thread(server: Server) -> None:
    server.health = 503
    warnings: list[str] = []
    tracker = start(server.uri, warnings)
    assert len(warnings) == 1
    tracker.log(0, {"train/loss": 1.0})
    assert finish(tracker) is None
    assert len(warnings) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "tlexp-tracking"]


def test_a_server_that_never_answers_costs_one_warning_and_under_a_second() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        check_outage(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_server_with_errors_costs_one_warning_and_under_a_second(server: Server) -> None:
    server.health = 500
    check_outage(server.uri)


def test_a_server_that_is_healthy_but_fails_costs_one_warning_and_under_a_second(server: Server) -> None:
    check_outage(server.uri)


def test_a_server_that_hangs_in_the_middle_costs_one_warning_and_under_a_second(server: Server) -> None:
    check_outage(server.uri, meanwhile=server.hang.set)


def test_a_host_whose_name_is_not_known_costs_one_warning_and_under_a_second() -> None:
    check_outage("http://nowhere.invalid:5000")


def test_a_locked_sqlite_file_costs_one_warning_and_under_a_second(store: str, held: Held) -> None:
    with held(store):
        check_outage(store)
    join_workers()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells who holds a lock")
def test_a_slow_disk_is_no_outage(store: str) -> None:
    """While this process writes, nobody else is in the way, however long one write takes."""
    warnings: list[str] = []
    with contextlib.closing(
        sqlite3.connect(sqlite_path(store) or "", isolation_level=None, check_same_thread=False)
    ) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        tracker = start(store, warnings)
        later = threading.Timer(1.5, lambda: writer.execute("ROLLBACK"))
        later.start()
        assert tracker.identity() is not None, warnings
        later.join()
    assert finish(tracker) is not None
    assert warnings == []


def test_a_store_that_comes_back_too_late_gets_no_half_truth(store: str, held: Held) -> None:
    """What was dropped stays dropped: the replay writes the run whole."""
    with held(store):
        train_through_an_outage(store)
    join_workers()
    runs = client(store).search_runs([found.experiment_id for found in client(store).search_experiments()])
    assert all(run.info.status == "RUNNING" for run in runs)


def test_a_file_that_is_no_store_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database at all " * 20)
    warnings: list[str] = []
    assert finish(start(f"sqlite:///{tmp_path}/mlflow.db", warnings)) is None
    assert len(warnings) == 1
    assert "is not a tracking store" in warnings[0]


def test_finishing_a_tracker_that_never_started_says_nothing(store: str) -> None:
    assert finish(Tracker(store, experiment="tlexp", warn=pytest.fail)) is None


def join_workers() -> None:
    for thread in threading.enumerate():
        if thread.name == "tlexp-tracking":
            thread.join(30)


# --- replay


def recorded(folder: Path, make_record: Make, **changes: Any) -> Record:
    """Make the folder of a run that has ended, and return its record."""
    folder.mkdir()
    with MetricsLog(folder / names.CURVES_FILE) as log:
        for step in range(20):
            log.write(phase="select", fold=1, step=step, values={"train/loss": 2 / (step + 1)})
            log.write(phase="final", fold=None, step=step, values={"train/loss": 1 / (step + 1)})
    (folder / names.MODEL_CARD_FILE).write_text("{}")
    (folder / names.MODEL_WEIGHTS_FILE).write_bytes(b"weights")
    return read_record(publish_record(folder, make_record(**changes)))


def facts(uri: str) -> list[dict[str, Any]]:
    """Return what a store says of its runs, without what differs between two writings of the same run."""
    store = client(uri)
    found = []
    for run in store.search_runs([made.experiment_id for made in store.search_experiments()]):
        own = (names.TAG_PROCESS, names.TAG_GIT_COMMIT, names.TAG_GIT_DIRTY, names.TAG_USER, names.TAG_VERSION)
        tags = {name: value for name, value in run.data.tags.items() if name not in own}
        curves = {name: history(uri, run.info.run_id, name) for name in run.data.metrics}
        files = sorted(file.path for file in store.list_artifacts(run.info.run_id, "model"))
        inputs = [(made.dataset.name, made.dataset.digest, made.dataset.source) for made in run.inputs.dataset_inputs]
        found.append({"status": run.info.status, "params": run.data.params, "tags": tags, "curves": curves,
                      "files": files, "inputs": inputs})  # fmt: skip
    return found


def project_live(record: Record, folder: Path, uri: str) -> None:
    tags = {names.TAG_RUN: folder.name, names.TAG_KEY: record.key}
    tracker = Tracker(uri, experiment="tlexp", warn=pytest.fail)
    dataset = DatasetInfo(name="shapes", digest=record.data.digest, source="tlexp:shapes")
    tracker.start(run_name=names.run_name(record.config), params=run_params(record.config), tags=tags, dataset=dataset)
    for step in range(20):
        tracker.log(step, {names.curve_metric("select", 1, "train/loss"): 2 / (step + 1)})
        tracker.log(step, {names.curve_metric("final", None, "train/loss"): 1 / (step + 1)})
    assert finish(tracker, record.status, metrics=record.metrics, files=run_files(folder, record)) is not None


def test_a_replayed_run_equals_one_that_was_written_live(
    store: str, ready_store: Path, tmp_path: Path, make_record: Make
) -> None:
    folder = tmp_path / "2026-01-01-abc"
    record = recorded(folder, make_record)
    project_live(record, folder, store)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlflow.db").write_bytes(ready_store.read_bytes())
    assert replay(record, folder, uri=f"sqlite:///{other}/mlflow.db", experiment="tlexp") is True
    assert facts(f"sqlite:///{other}/mlflow.db") == facts(store)


def test_replaying_twice_writes_once(store: str, tmp_path: Path, make_record: Make) -> None:
    folder = tmp_path / "it's a run"
    record = recorded(folder, make_record, status=RunStatus.diverged)
    assert replay(record, folder, uri=store, experiment="tlexp") is True
    first = facts(store)
    assert replay(record, folder, uri=store, experiment="tlexp") is False
    assert facts(store) == first
    assert len(first) == 1
    assert len(first[0]["curves"]["train/loss"]) == 21


def half_written(uri: str, name: str, process: dict[str, Any]) -> None:
    artifacts = (sqlite_path(uri) or Path()).parent / "mlruns"
    made = client(uri).create_experiment("tlexp", artifact_location=artifacts.as_uri())
    tags = {names.TAG_RUN: name, names.TAG_PROCESS: json.dumps(process)}
    run = client(uri).create_run(made, tags=tags)
    client(uri).log_metric(run.info.run_id, "train/loss", 9.0, step=0)


def test_a_run_left_half_written_is_written_again(store: str, tmp_path: Path, make_record: Make) -> None:
    folder = tmp_path / "run"
    record = recorded(folder, make_record)
    half_written(store, "run", process_identity() | {"started": 1})
    assert replay(record, folder, uri=store, experiment="tlexp") is True
    found = facts(store)
    assert len(found) == 1
    assert found[0]["curves"]["train/loss"][0] == (0, 1.0)


def test_a_run_that_is_being_written_is_left_alone(store: str, tmp_path: Path, make_record: Make) -> None:
    folder = tmp_path / "run"
    record = recorded(folder, make_record)
    half_written(store, "run", process_identity())
    assert replay(record, folder, uri=store, experiment="tlexp") is False


def test_a_run_with_a_changed_file_is_not_replayed(store: str, tmp_path: Path, make_record: Make) -> None:
    folder = tmp_path / "run"
    record = recorded(folder, make_record)
    (folder / names.MODEL_WEIGHTS_FILE).write_bytes(b"others")
    with pytest.raises(TrackingError, match=r"holds changed files \(model.safetensors\)"):
        replay(record, folder, uri=store, experiment="tlexp")
    assert facts(store) == []


@contextlib.contextmanager
def real_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server, answering; killed with its workers at the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"} | settings
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            pulse = Pulse(f"http://127.0.0.1:{port}")
            latest = time.monotonic() + 120
            while not pulse.beats(1.0):
                assert time.monotonic() < latest
                time.sleep(0.5)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_server_killed_in_the_middle_has_the_same_run_after_a_replay(
    ready_store: Path, tmp_path: Path, make_record: Make
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    folder = tmp_path / "interrupted"
    record = recorded(folder, make_record)
    whole = tmp_path / "whole"
    recorded(whole, make_record)
    warnings: list[str] = []
    with real_server(tmp_path, port) as process:
        project_live(record, whole, uri)
        tracker = start(uri, warnings, run_name=folder.name, tags={names.TAG_RUN: folder.name})
        tracker.log(0, {"train/loss": 1.0})
        time.sleep(3)
        os.killpg(process.pid, signal.SIGKILL)
    began = time.monotonic()
    tracker.log(1, {"train/loss": 0.5})
    assert finish(tracker, metrics=record.metrics, files=run_files(folder, record)) is None
    assert time.monotonic() - began < 1.0
    assert len(warnings) == 1
    with real_server(tmp_path, port):
        alive = client(uri).get_run(tracker.run_id)
        assert alive.info.status == "RUNNING"
        client(uri).set_tag(tracker.run_id, names.TAG_PROCESS, json.dumps(process_identity() | {"started": 1}))
        assert replay(record, folder, uri=uri, experiment="tlexp") is True
        assert replay(record, folder, uri=uri, experiment="tlexp") is False
        one, other = facts(uri)
        different = {names.TAG_RUN, "mlflow.runName"}
        for found in (one, other):
            found["tags"] = {name: value for name, value in found["tags"].items() if name not in different}
        assert one == other
        run = client(uri).search_runs(["1"])[0]
        weights = resolve_weights(f"runs:/{run.info.run_id}", uri=uri)
        assert (weights / names.MODEL_WEIGHTS_FILE).read_bytes() == b"weights"


# --- weights


def test_weights_of_a_tracked_run_are_found(store: str, tmp_path: Path, make_record: Make) -> None:
    folder = tmp_path / "run"
    replay(recorded(folder, make_record), folder, uri=store, experiment="tlexp")
    run = client(store).search_runs(["1"])[0]
    for text in (f"runs:/{run.info.run_id}", f"runs:/{run.info.run_id}/model"):
        found = resolve_weights(text, uri=store)
        assert (found / names.MODEL_WEIGHTS_FILE).read_bytes() == b"weights"
        assert (found / names.MODEL_CARD_FILE).read_text() == "{}"


def test_paths_are_returned_as_they_are() -> None:
    assert resolve_weights("some/folder", uri=None) == Path("some/folder")
    assert resolve_weights("/w.pth", uri="http://nowhere.invalid") == Path("/w.pth")


def test_a_run_that_does_not_exist_is_named(store: str) -> None:
    with pytest.raises(WeightsError, match=f"runs:/{'0' * 32}: tracking store .* does not give it .*tracking.uri"):
        resolve_weights("runs:/" + "0" * 32, uri=store)


def test_a_run_without_weights_is_named(store: str) -> None:
    done = finish(start(store, []))
    assert done is not None
    with pytest.raises(WeightsError, match=f"runs:/{done.run_id}.* has no model/model.safetensors"):
        resolve_weights(f"runs:/{done.run_id}", uri=store)


@pytest.mark.parametrize("text", ["runs:/abc", "runs:/../../etc", "runs:" + "a" * 32, "runs:/" + "a" * 32 + "/../x"])
def test_what_is_no_run_id_is_refused(store: str, text: str) -> None:
    with pytest.raises(WeightsError, match="must be runs:/<run id of 32 hexadecimal digits>"):
        resolve_weights(text, uri=store)


def test_asking_a_store_that_is_not_there_does_not_make_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not there"):
        resolve_weights("runs:/" + "0" * 32, uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []
