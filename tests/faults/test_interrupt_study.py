"""Ctrl-C to a study on the command line."""

import os
import signal
from pathlib import Path

from tests.faults.forks import await_checkpoints, begin, finish
from tlexp.tracking import read_record

WORDS = [
    "study=freeze_vs_labels", "backbone=tiny", "backbone.image_size=32", "tune.trials=2", "study.controls=false",
    "study.depths=[0]", "study.labels=[10]", "study.seeds=2", "study.name=s", "data.per_class=20",
    "data.test_per_class=5", "data.num_classes=2", "train.steps=1500", "train.checkpoint_seconds=0.2", "tracking=off",
]  # fmt: skip


def test_ctrl_c_says_how_to_go_on_and_the_same_command_finds_the_checkpoint(tmp_path: Path) -> None:
    command = begin(tmp_path, *WORDS)
    await_checkpoints(tmp_path / "multirun/s/runs/*/*", command)
    os.killpg(command.pid, signal.SIGINT)
    assert command.ended() == 130, command.errors
    assert "Traceback" not in command.errors
    assert command.errors.count("interrupted; the same command typed again goes on") == 1
    assert "goes on; python -m tlexp report multirun/s writes the page of what is there\n" in command.errors
    [record] = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/*/record.json")]
    assert record.status == "killed"
    assert not (tmp_path / "multirun/s/report").exists()
    states = list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors"))
    assert states
    again = finish(tmp_path, *WORDS, "--dry-run")
    assert "2 data seeds (draws of labels), 2 runs, 2 to do" in again.shown, again.errors
    assert states == list(tmp_path.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors"))
