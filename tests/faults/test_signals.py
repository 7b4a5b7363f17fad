"""Signals and kills of a single run: of a new interpreter, as it is typed, and of a fork."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.forks import await_checkpoints, begin, finish, kill_group
from tlexp.tracking import read_record

WORDS = [
    "backbone=tiny", "freeze=none", "backbone.image_size=32", "data.per_class=20", "data.test_per_class=5",
    "data.num_classes=2", "labels=4", "tune.validate=false", "tracking.figures=false",
]  # fmt: skip
MANY = ["train.steps=100000", "train.checkpoint_seconds=0.2"]


def check_ending(folder: Path, status: int, expected: int, errors: str) -> None:
    """See that a run wrote a checkpoint and ended as killed, and says how to go on."""
    assert status == expected, errors
    assert "Traceback" not in errors
    [run] = [path.parent for path in folder.glob("outputs/*/record.json")]
    assert f"go on with: python -m tlexp resume={run.relative_to(folder)}" in errors
    assert read_record(run).status == "killed"
    assert list((run / "checkpoint").glob("*.state.safetensors"))


@pytest.fixture
def folder(tmp_path: Path, ready_store: Path) -> Path:
    """A folder with a tracking store, for making one takes seconds."""
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    return tmp_path


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_checkpoints_and_ends_the_run_as_killed(number: int, status: int, folder: Path) -> None:
    command = begin(folder, *WORDS, *MANY)
    await_checkpoints(folder / "outputs/*", command)
    os.kill(command.pid, number)
    check_ending(folder, command.ended() or 0, status, command.errors)
    with sqlite3.connect(folder / "mlflow.db") as store:
        assert store.execute("select status from runs").fetchall() == [("KILLED",)]


def test_a_new_interpreter_ends_as_a_fork_does(tmp_path: Path) -> None:
    """Without tracking, the imports of which are half of its time."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tlexp", *WORDS, *MANY, "tracking=off"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stderr=-1, stdout=-1) as process:
        for _ in range(1200):
            if list(tmp_path.glob("outputs/*/checkpoint/*.state.safetensors")):
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    check_ending(tmp_path, process.returncode, 130, errors)


def test_a_run_killed_outright_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    command = begin(tmp_path, *WORDS, "tracking=off", "train.steps=120", "train.checkpoint_seconds=0.05")
    [run] = await_checkpoints(tmp_path / "outputs/*", command)
    kill_group(command.pid)
    assert not (run / "record.json").exists()
    finish(tmp_path, *WORDS, f"resume={run}", "train.checkpoint_seconds=60")
    [ended] = [path.parent for path in tmp_path.glob("outputs/*/record.json")]
    assert read_record(ended).config["train"]["steps"] == 120
    changed = begin(tmp_path, *WORDS, f"resume={run}", "seed=3")
    assert changed.ended() == 2
    assert "seed was 0 and would be 3" in changed.errors
