"""SIGTERM and Ctrl-C to a sweep on the command line, one run at a time and in workers."""

import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.faults.forks import await_checkpoints, begin, finish, kill_group
from tlexp.tracking import read_record

WORDS = [
    "-m", "backbone=tiny", "freeze=none", "backbone.image_size=32", "data.per_class=20", "data.test_per_class=5",
    "data.num_classes=2", "labels=4", "tune.validate=false",
]  # fmt: skip
SEEDS = ["seed=0,1,2", "train.checkpoint_seconds=0.2", "hydra.sweeper.name=s"]
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
RUNS = Path("multirun/s/runs/*/*")


@pytest.mark.parametrize(
    ("words", "number", "group", "status"),
    [
        ([], signal.SIGINT, True, 130),
        (PARALLEL, signal.SIGTERM, False, 143),
        pytest.param(PARALLEL, signal.SIGINT, True, 130, marks=pytest.mark.slow),
        pytest.param([], signal.SIGTERM, False, 143, marks=pytest.mark.slow),
    ],
    ids=["alone-ctrl-c", "workers-term", "workers-ctrl-c", "alone-term"],
)
def test_a_signal_ends_the_sweep_after_a_checkpoint_and_the_same_command_goes_on(
    words: list[str], number: int, group: bool, status: int, tmp_path: Path, ready_store: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    command = begin(tmp_path, *WORDS, *SEEDS, "train.steps=1500", *words)
    await_checkpoints(tmp_path / RUNS, command, runs=2 if words else 1)
    (os.killpg if group else os.kill)(command.pid, number)
    assert command.ended(60) == status, command.errors
    assert "Traceback" not in command.errors
    assert "the same command typed again goes on" in command.errors
    records = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/*/record.json")]
    assert [record.status for record in records] == ["killed"] * (2 if words else 1)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert set(store.execute("select status from runs")) == {("KILLED",)}
    states = list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*"))
    again = finish(tmp_path, *WORDS, *SEEDS, "train.steps=1500", "--dry-run")
    assert "0 of 3 runs are there, 3 would run" in again.shown
    assert states == list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*"))


@pytest.mark.slow  # by default runs are interrupted, which go on to the same bits, and killed, which go on
def test_a_killed_run_of_a_sweep_goes_on_from_its_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    words = ["train.steps=120", "tracking=off", "seed=0"]
    command = begin(tmp_path, *WORDS, *words, "train.checkpoint_seconds=0.05", "hydra.sweeper.name=s")
    await_checkpoints(tmp_path / RUNS, command)
    time.sleep(0.1)
    kill_group(command.pid)
    finish(tmp_path, *WORDS, *words, "hydra.sweeper.name=s")
    finish(tmp_path, *WORDS, *words, "hydra.sweeper.name=whole")
    [killed] = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/002-*/record.json")]
    [straight] = [read_record(path) for path in tmp_path.glob("multirun/whole/runs/*/*/record.json")]
    assert killed.files["model.safetensors"] == straight.files["model.safetensors"]
    assert killed.files["predictions.npz"] == straight.files["predictions.npz"]


def test_a_second_process_on_the_sweep_is_refused_with_two(tmp_path: Path) -> None:
    words = [*WORDS, *SEEDS, "train.steps=100000", "tracking=off"]
    command = begin(tmp_path, *words)
    await_checkpoints(tmp_path / RUNS, command)
    second = begin(tmp_path, *words)
    assert second.ended(60) == 2
    assert f"is being worked on by process {command.pid} on" in second.errors
    kill_group(command.pid)
