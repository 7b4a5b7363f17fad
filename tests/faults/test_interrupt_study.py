"""Ctrl-C to a study on the real command line."""

import os
import signal
import time
from pathlib import Path

from tests.faults.conftest import begin
from tlexp.tracking import read_record

WORDS = [
    "study=freeze_vs_labels", "backbone=tiny", "backbone.image_size=32", "tune.trials=2",
    "study.controls=false", "study.depths=[0]", "study.labels=[10]", "study.seeds=2",
    "study.name=s", "data.per_class=20", "data.test_per_class=5", "data.num_classes=2", "train.steps=1500",
    "train.checkpoint_seconds=0.2", "tracking=off",
]  # fmt: skip


def test_ctrl_c_says_how_to_go_on_and_the_same_command_finds_the_checkpoint(tmp_path: Path) -> None:
    process = begin(tmp_path, *WORDS)
    for _ in range(1200):
        if list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors")):
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.count("interrupted; the same command typed again goes on") == 1
    [record] = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/*/record.json")]
    assert record.status == "killed"
    assert not (tmp_path / "multirun/s/report").exists()
    states = list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors"))
    assert states
    again = begin(tmp_path, *WORDS, "--dry-run")
    shown, errors = again.communicate(timeout=120)
    assert "1 cell, 2 data seeds, 2 runs, 2 to do" in shown, errors
    assert states == list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors"))
