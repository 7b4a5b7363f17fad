"""SIGTERM and Ctrl-C to a sweep on the real command line, one run at a time and in workers."""

import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.conftest import begin
from tlexp.tracking import read_record

WORDS = [
    "-m", "backbone=tiny", "freeze=none", "backbone.image_size=32", "data.per_class=20", "data.test_per_class=5",
    "data.num_classes=2", "labels=10",
]  # fmt: skip
SEEDS = ["seed=0,1,2", "train.checkpoint_seconds=0.2", "hydra.sweeper.name=s"]
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def _await_training(folder: Path, process: "subprocess.Popen[str]", runs: int) -> None:
    """Wait until so many runs have written a checkpoint."""
    for _ in range(1200):
        if len({path.parent for path in folder.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors")}) >= runs:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no checkpoint within two minutes")


@pytest.mark.parametrize(
    ("words", "number", "group", "status"),
    [
        ([], signal.SIGINT, True, 130),
        pytest.param(PARALLEL, signal.SIGTERM, False, 143),
        pytest.param(PARALLEL, signal.SIGINT, True, 130, marks=pytest.mark.slow),
        pytest.param([], signal.SIGTERM, False, 143, marks=pytest.mark.slow),
    ],
    ids=["alone-ctrl-c", "workers-term", "workers-ctrl-c", "alone-term"],
)
def test_a_signal_ends_the_sweep_after_a_checkpoint_and_the_same_command_goes_on(
    words: list[str], number: int, group: bool, status: int, tmp_path: Path, ready_store: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    process = begin(tmp_path, *WORDS, *SEEDS, "train.steps=1500", *words)
    _await_training(tmp_path, process, runs=2 if words else 1)
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert "the same command typed again goes on" in errors
    records = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/*/record.json")]
    assert [record.status for record in records] == ["killed"] * (2 if words else 1)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert set(store.execute("select status from runs")) == {("KILLED",)}
    states = list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*"))
    again = begin(tmp_path, *WORDS, *SEEDS, "train.steps=1500", "--dry-run")
    shown, errors = again.communicate(timeout=60)
    assert "0 of 3 runs are there, 3 would run" in shown, errors
    assert states == list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*"))


def test_a_killed_run_of_a_sweep_goes_on_from_its_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    words = ["train.steps=60", "tracking=off", "seed=0", "train.checkpoint_seconds=0.05"]
    process = begin(tmp_path, *WORDS, *words, "hydra.sweeper.name=s")
    _await_training(tmp_path, process, runs=1)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = begin(tmp_path, *WORDS, *words, "hydra.sweeper.name=s")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    whole = begin(tmp_path, *WORDS, *words, "hydra.sweeper.name=whole")
    _, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    [killed] = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/002-*/record.json")]
    [straight] = [read_record(path) for path in tmp_path.glob("multirun/whole/runs/*/*/record.json")]
    assert killed.files["model.safetensors"] == straight.files["model.safetensors"]
    assert killed.files["predictions.npz"] == straight.files["predictions.npz"]


def test_a_second_process_on_the_sweep_is_refused_with_two(tmp_path: Path) -> None:
    process = begin(tmp_path, *WORDS, *SEEDS, "train.steps=100000", "tracking=off")
    _await_training(tmp_path, process, runs=1)
    second = begin(tmp_path, *WORDS, *SEEDS, "train.steps=100000", "tracking=off")
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"is being worked on by process {process.pid} on" in errors
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
