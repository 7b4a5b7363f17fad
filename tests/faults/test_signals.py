import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tlexp.tracking import read_record

WORDS = [
    "backbone=tiny", "freeze=none", "backbone.image_size=32", "data.per_class=20", "data.test_per_class=5",
    "data.num_classes=2", "labels=10", "tracking.figures=false",
]  # fmt: skip
MANY = ["train.steps=100000"]


def _start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tlexp", *WORDS, *words]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _await_training(folder: Path, process: "subprocess.Popen[str]") -> Path:
    """Return the run's folder once its first checkpoint is there."""
    for _ in range(1200):
        states = list(folder.glob("outputs/*/checkpoint/*.state.safetensors"))
        if states:
            return states[0].parent.parent
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no checkpoint within two minutes")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_checkpoints_and_ends_the_run_as_killed(number: int, status: int, tmp_path: Path) -> None:
    process = _start(tmp_path, *MANY, "train.checkpoint_seconds=0.2")
    run = _await_training(tmp_path, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert f"go on with: python -m tlexp resume={run.relative_to(tmp_path)}" in errors
    assert read_record(run).status == "killed"
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("select status from runs").fetchall() == [("KILLED",)]
    assert list((run / "checkpoint").glob("*.state.safetensors"))


def test_a_run_killed_outright_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    process = _start(tmp_path, "tracking=off", "train.steps=200", "train.checkpoint_seconds=0.05")
    run = _await_training(tmp_path, process)
    process.kill()
    process.communicate()
    assert not (run / "record.json").exists()
    resumed = _start(tmp_path, f"resume={run}", "train.checkpoint_seconds=60")
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    [ended] = [path.parent for path in tmp_path.glob("outputs/*/record.json")]
    assert read_record(ended).config["train"]["steps"] == 200
    changed = _start(tmp_path, f"resume={run}", "seed=3")
    _, errors = changed.communicate(timeout=60)
    assert changed.returncode == 2
    assert "seed was 0 and would be 3" in errors
