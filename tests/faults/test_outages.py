"""A run and its tracking server, whatever the server does: the run waits for a moment, and nothing of it is lost.

A run is written as training writes it, through an outage that begins before it, in its middle or at its end; then the
server is well again and the run's record is replayed.
"""

import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.misbehaving import MISBEHAVIOURS, MisbehavingServer, Mode, misbehaving_server
from tests.faults.test_store import forked
from tests.tracking.conftest import make_record
from tlexp.errors import TrackingError
from tlexp.tracking import (
    MetricsLog,
    Record,
    Tracker,
    dataset_of,
    names,
    publish_record,
    read_record,
    run_files,
)
from tlexp.tracking.environment import process_identity
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.params import run_params
from tlexp.tracking.patience import RUN_SECONDS, Patience
from tlexp.tracking.store import ensure_store
from tlexp.tracking.sync import sync

__all__ = ["make_record"]
STEPS = 40
MOMENTS = ("start", "middle", "end")
WRITTEN = ("evaluation.json", "model.json", "model.safetensors", "predictions.npz", "figures/a.png", "figures/b.png",
           "figures/c.png", "figures/d.png")  # fmt: skip
Make = Callable[..., Record]


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load_mlflow()  # seconds of import that the times below must not count


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as made:
        yield made


def recorded(folder: Path, make_record: Make, uri: str) -> Record:
    """Make the folder of a run as one leaves it, and return its record."""
    (folder / "figures").mkdir(parents=True)
    with MetricsLog(folder / names.CURVES_FILE) as log:
        for step in range(STEPS):
            log.write(phase="final", fold=None, step=step, values={"train/loss": 1 / (step + 1)})
    for name in WRITTEN:
        (folder / name).write_bytes(b"content" * 1000)
    made = make_record()
    config = made.config | {"tracking": made.config["tracking"] | {"uri": uri}}
    return read_record(publish_record(folder, dataclasses.replace(made, config=config)))


def train(
    server: MisbehavingServer, mode: Mode, moment: str, folder: Path, record: Record, seconds: float
) -> tuple[float, Tracker, list[str], Any]:
    """Write a run through an outage; return what it was held up for, its writer, what was said, and where it is."""
    warnings: list[str] = []
    tracker = Tracker(server.uri, experiment="tlexp", warn=warnings.append, seconds=seconds)
    held = 0.0

    def timed(work: Callable[[], Any]) -> Any:
        nonlocal held
        began = time.monotonic()
        made = work()
        held += time.monotonic() - began
        return made

    if moment == "start":
        server.behave(mode)
    assert record.data is not None
    opening: dict[str, Any] = {
        "run_name": names.run_name(record.config),
        "params": run_params(record.config),
        "tags": {names.TAG_RUN: folder.name, names.TAG_KEY: record.key},
        "dataset": dataset_of(record.config, record.data.digest),
    }
    timed(lambda: tracker.start(**opening))
    if moment != "start":
        assert tracker._opened.wait(30)  # training takes its time
    for step in range(STEPS):
        if step == STEPS // 2 and moment == "middle":
            server.behave(mode)
        timed(lambda step=step: tracker.log(step, {"train/loss": 1 / (step + 1)}))
    timed(tracker.identity)
    if moment == "end":
        server.behave(mode)
    files = run_files(folder, record)
    ended = timed(lambda: tracker.finish(status=record.status, metrics=record.metrics, files=files, model=None))
    return held, tracker, warnings, ended


def replayed(server: MisbehavingServer, folder: Path) -> None:
    """Let the server be well and the process be gone, and write what is missing; a second time nothing is."""
    server.behave(Mode.well)
    for run in server.runs():
        if run["info"]["status"] == "RUNNING":
            run["tags"][names.TAG_PROCESS] = json.dumps(process_identity() | {"started": 1})
    first = sync([folder], uri=server.uri, experiment=None)
    assert (first.written + first.present, first.broken, first.left_out) == (1, (), ())
    second = sync([folder], uri=server.uri, experiment=None)
    assert (second.written, second.present) == (0, 1)


def assert_whole(server: MisbehavingServer, record: Record) -> None:
    """The server has the run once, and every point once."""
    [run] = server.runs()
    assert run["info"]["status"] == "FINISHED"
    curve = [("train/loss", step, 1 / (step + 1)) for step in range(STEPS)]
    ending = [("test/accuracy", 0, 0.5), ("train/loss", STEPS, 0.1)]
    assert server.points(run) == sorted(curve + ending)


def outage(
    server: MisbehavingServer, mode: Mode, moment: str, folder: Path, make_record: Make, seconds: float
) -> float:
    """Write a run through an outage and replay it; return how long it was held up."""
    record = recorded(folder, make_record, server.uri)
    held, tracker, warnings, ended = train(server, mode, moment, folder, record, seconds)
    assert ended is None
    assert len(warnings) == 1
    assert f"tlexp sync --uri {server.uri}" in warnings[0]
    assert tracker._patience.left > -seconds, "what was waited beyond the budget"
    replayed(server, folder)
    assert_whole(server, record)
    return held


@pytest.mark.parametrize("mode", MISBEHAVIOURS)
def test_a_run_through_an_outage_waits_for_a_moment_and_is_whole_after_a_replay(
    mode: Mode, server: MisbehavingServer, tmp_path: Path, make_record: Make
) -> None:
    assert outage(server, mode, "middle", tmp_path / "run", make_record, 0.2) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("mode", MISBEHAVIOURS)
def test_every_outage_at_every_moment_costs_under_a_second(
    mode: Mode, moment: str, server: MisbehavingServer, tmp_path: Path, make_record: Make
) -> None:
    held = outage(server, mode, moment, tmp_path / "run", make_record, RUN_SECONDS)
    print(f"{mode}, {moment}: {held:.2f} s")
    assert held < 3 * RUN_SECONDS


@pytest.mark.slow
def test_the_harness_sees_a_run_that_waits_for_each_call(
    server: MisbehavingServer, tmp_path: Path, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Patience, "outlasts", lambda self, done, **more: done.wait(2))
    with pytest.raises(AssertionError):
        assert outage(server, Mode.mute, "middle", tmp_path / "run", make_record, 0.2) < 0.6


def test_a_server_that_is_well_but_far_away_is_no_outage(
    server: MisbehavingServer, tmp_path: Path, make_record: Make
) -> None:
    server.far_seconds = 0.05
    folder = tmp_path / "run"
    record = recorded(folder, make_record, server.uri)
    held, tracker, warnings, ended = train(server, Mode.well, "middle", folder, record, 4 * RUN_SECONDS)
    print(
        f"{server.calls.total()} calls of {server.far_seconds} s, held up for {held:.2f} s, of which "
        f"{tracker._patience.seconds - tracker._patience.left:.2f} s by the server"
    )
    assert warnings == []
    assert ended is not None
    assert_whole(server, record)
    assert server.most_at_once > 3, "one after the other its answers would take longer than a run waits"


# --- a store that is a file


def stopped_creation(folder: Path) -> int:
    """Return a process that was stopped while it created the store of a folder."""

    def create() -> None:
        from tlexp.tracking import store

        store._build = lambda path, artifacts: os.kill(os.getpid(), signal.SIGSTOP)  # type: ignore[assignment]
        ensure_store(f"sqlite:///{folder}/mlflow.db")

    pid = forked(create)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    return pid


def test_a_process_stopped_while_it_creates_the_store_costs_others_a_moment(tmp_path: Path, make_record: Make) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    record = make_record()
    pid = stopped_creation(tmp_path)
    warnings: list[str] = []
    try:
        began = time.monotonic()
        tracker = Tracker(uri, experiment="tlexp", warn=warnings.append)
        tracker.start(run_name="r", params={}, tags={}, dataset=dataset_of(record.config, "ab"))
        assert tracker.identity() is None
        assert tracker.finish(status=record.status, metrics={}, files=[], model=None) is None
        assert time.monotonic() - began < 3 * RUN_SECONDS
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert len(warnings) == 1
    assert f"tlexp sync --uri {uri}" in warnings[0]


@pytest.mark.slow
def test_a_stopped_creation_is_named_and_the_run_is_written_after_it(tmp_path: Path, make_record: Make) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = tmp_path / "run"
    recorded(folder, make_record, uri)
    pid = stopped_creation(tmp_path)
    try:
        began = time.monotonic()
        with pytest.raises(TrackingError, match=r"has not stirred for 5 s: end that process"):
            sync([folder], uri=uri, experiment=None)
        assert time.monotonic() - began < 20
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    report = sync([folder], uri=uri, experiment=None)
    assert (report.written, report.broken) == (1, ())
