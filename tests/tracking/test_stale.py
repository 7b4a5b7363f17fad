import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Start
from tlexp.jsonfile import to_json
from tlexp.tracking import DatasetInfo, Record, RunStatus, Tracker, names, publish_record, replay, stale
from tlexp.tracking.environment import process_identity
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.stale import close_dead_runs

DATASET = DatasetInfo(name="shapes", digest="ab" * 32, source="tlexp:shapes")
PROGRAM = """
import sys, time
from tlexp.jsonfile import to_json
from tlexp.tracking import DatasetInfo, Tracker
tracker = Tracker(sys.argv[1], experiment="tlexp", warn=print)
dataset = DatasetInfo(name="shapes", digest="ab", source="tlexp:shapes")
tracker.start(run_name="r", params={}, tags={}, dataset=dataset)
tracker.log(0, {"train/loss": 1.0})
print(tracker.identity(), flush=True)
time.sleep(1.5)
print("written", flush=True)
time.sleep(300)
"""


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load_mlflow()


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def opened(uri: str, process: object | None, *, experiment: str = "tlexp", start_time: int = 1000) -> str:
    """Leave a run open as the process; None as a program that knows nothing of us."""
    found = client(uri).get_experiment_by_name(experiment)
    artifacts = (Path(uri.removeprefix("sqlite:///")).parent / "mlruns").as_uri()
    where = found.experiment_id if found else client(uri).create_experiment(experiment, artifact_location=artifacts)
    tags = {} if process is None else {names.TAG_PROCESS: process if isinstance(process, str) else json.dumps(process)}
    return str(client(uri).create_run(where, start_time=start_time, tags=tags).info.run_id)


def dead(**changes: object) -> dict[str, Any]:
    """Return the identity of a process that is gone: its number was given to this one."""
    return process_identity() | {"started": 1} | changes


def info(uri: str, run_id: str) -> Any:
    return client(uri).get_run(run_id).info


def program(uri: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, uri], env=environment, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_process_run_is_closed_and_a_living_one_is_not(
    store: str, processes: list[subprocess.Popen[str]]
) -> None:
    processes += [program(store), program(store)]
    killed, living = (line(process) for process in processes)
    assert [line(process) for process in processes] == ["written", "written"]
    before = int(time.time() * 1000)
    os.kill(processes[0].pid, signal.SIGKILL)
    os.waitid(os.P_PID, processes[0].pid, os.WEXITED | os.WNOWAIT)  # dead, and its entry in /proc stays
    assert close_dead_runs(store, experiment="tlexp") == [killed]
    run = client(store).get_run(killed)
    assert run.info.status == "KILLED"
    assert run.info.start_time <= run.info.end_time <= before
    pid, host = processes[0].pid, process_identity()["host"]
    assert run.data.tags[names.TAG_REASON] == f"process {pid} on {host} ended without closing it"
    assert (info(store, living).status, info(store, living).end_time) == ("RUNNING", None)
    processes[0].wait()
    assert close_dead_runs(store, experiment="tlexp") == []


def test_a_number_given_out_again_is_another_process(store: str) -> None:
    run_id = opened(store, process_identity() | {"started": process_identity()["started"] + 1})
    assert close_dead_runs(store, experiment="tlexp") == [run_id]


@pytest.mark.parametrize(
    "process",
    [
        dead(host="elsewhere"),
        dead(host="elsewhere", boot_id="other"),
        dead(machine="a namesake", boot_id="other"),
        dead(pid_namespace="pid:[1]"),
        process_identity(),
        {},
        [],
        "no JSON",
        None,
    ],
)
def test_what_lives_or_is_not_ours_to_judge_stays_open(store: str, process: object) -> None:
    run_id, beside = opened(store, process), opened(store, dead())
    assert close_dead_runs(store, experiment="tlexp") == [beside]
    assert info(store, run_id).status == "RUNNING"


def test_the_host_s_last_boot_took_its_processes_along(store: str) -> None:
    run_id = opened(store, dead(boot_id="before"))
    assert close_dead_runs(store, experiment="tlexp") == [run_id]


def test_other_experiments_and_ended_runs_are_left_alone(store: str) -> None:
    other, ended, ours = opened(store, dead(), experiment="other"), opened(store, dead()), opened(store, dead())
    client(store).set_terminated(ended, "FINISHED", end_time=2000)
    assert close_dead_runs(store, experiment="tlexp") == [ours]
    assert info(store, other).status == "RUNNING"
    assert (info(store, ended).status, info(store, ended).end_time) == ("FINISHED", 2000)


def test_a_run_that_ends_well_during_the_search_stays_finished(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = opened(store, process_identity())

    def ends_now(identity: object) -> bool:
        client(store).set_terminated(run_id, "FINISHED", end_time=2000)
        return False

    monkeypatch.setattr(stale, "is_alive", ends_now)
    assert close_dead_runs(store, experiment="tlexp") == []
    assert info(store, run_id).status == "FINISHED"


def test_the_end_is_the_last_sign_of_life(store: str) -> None:
    silent, spoke = opened(store, dead()), opened(store, dead())
    for step, at in enumerate((5000, 9000)):
        client(store).log_metric(spoke, "train/loss", 1.0, timestamp=at, step=step)
    client(store).log_metric(spoke, "val/loss", 1.0, timestamp=7000)
    assert sorted(close_dead_runs(store, experiment="tlexp")) == sorted([silent, spoke])
    assert (info(store, silent).end_time, info(store, spoke).end_time) == (1000, 9000)


def test_many_are_closed_page_by_page(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    search = MlflowClient.search_runs
    monkeypatch.setattr(MlflowClient, "search_runs", lambda *words, **more: search(*words, **more, max_results=2))
    made = [opened(store, dead(), start_time=number) for number in range(5)]
    assert sorted(close_dead_runs(store, experiment="tlexp")) == sorted(made)


def test_a_store_or_experiment_that_is_not_there_is_not_made(store: str, tmp_path: Path) -> None:
    assert close_dead_runs(f"sqlite:///{tmp_path / 'none.db'}", experiment="tlexp") == []
    assert close_dead_runs(store, experiment="none") == []
    assert client(store).get_experiment_by_name("none") is None
    assert not (tmp_path / "none.db").exists()


def test_a_store_that_is_away_or_locked_costs_under_a_second(
    store: str, tmp_path: Path, held: Callable[[str], AbstractContextManager[None]]
) -> None:
    opened(store, dead())
    (tmp_path / "foreign.db").write_text("no database")
    with held(store):
        for uri in (store, "http://127.0.0.1:9", "http://nowhere.invalid", f"sqlite:///{tmp_path / 'foreign.db'}"):
            began = time.monotonic()
            assert close_dead_runs(uri, experiment="tlexp") == []
            assert time.monotonic() - began < 1.0


def test_a_run_begins_with_closing_what_the_dead_left(store: str) -> None:
    left = opened(store, dead())
    tracker = Tracker(store, experiment="tlexp", warn=print)
    tracker.start(run_name="r", params={}, tags={}, dataset=DATASET)
    tracker.finish(status=RunStatus.finished, metrics={}, files=[], model=None)
    assert info(store, left).status == "KILLED"
    assert tracker.run_id is not None
    assert info(store, tracker.run_id).status == "FINISHED"


def test_a_run_of_a_sweep_leaves_that_to_the_sweep(store: str, start: Start) -> None:
    left = opened(store, dead())
    tracked = ["tracking=mlflow", f"tracking.uri={store}"]
    start(*tracked, name="one", study="s")
    assert info(store, left).status == "RUNNING"
    start(*tracked, name="two")
    assert info(store, left).status == "KILLED"


def test_a_closed_run_that_has_a_record_is_written_again(
    store: str, tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    record = make_record()
    publish_record(folder, record)
    left = opened(store, dead())
    client(store).set_tag(left, names.TAG_RUN, "run")
    assert close_dead_runs(store, experiment="tlexp") == [left]
    assert replay(record, folder, uri=store, experiment="tlexp") is True
    [run] = client(store).search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert names.TAG_REASON not in run.data.tags
    assert json.loads(run.data.tags[names.TAG_PROCESS]) == to_json(record.environment.process)


def test_a_run_being_replayed_is_not_taken_for_a_dead_one(
    store: str, tmp_path: Path, make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    environment = to_json(make_record().environment) | {"process": dead()}
    record = make_record(environment=environment)
    publish_record(folder, record)
    closed: list[list[str]] = []

    def meanwhile(path: Path) -> list[Any]:
        closed.append(close_dead_runs(store, experiment="tlexp"))
        return []

    monkeypatch.setattr("tlexp.tracking.projection.read_points", meanwhile)
    replay(record, folder, uri=store, experiment="tlexp")
    assert closed == [[]]
