import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.command import Command
from tlexp.tracking import read_record

WORDS = [
    "freeze=none", "backbone.image_size=32", "data.per_class=20", "data.test_per_class=5", "data.num_classes=2",
    "labels=10", "tracking.figures=false",
]  # fmt: skip
MANY = ["train.steps=100000"]

pytestmark = pytest.mark.xdist_group("commands")


def _await_training(folder: Path, process: Command) -> Path:
    """Return the run's folder once its first checkpoint is there."""
    for _ in range(1200):
        states = list(folder.glob("outputs/*/checkpoint/*.state.safetensors"))
        if states:
            return states[0].parent.parent
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no checkpoint within two minutes")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "ctrl-c"])
def test_a_signal_checkpoints_and_ends_the_run_as_killed(
    number: int, status: int, tmp_path: Path, ready_store: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    process = Command(tmp_path, *WORDS, *MANY, "train.checkpoint_seconds=0.2")
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
    process = Command(tmp_path, *WORDS, "tracking=off", "train.steps=200", "train.checkpoint_seconds=0.05")
    run = _await_training(tmp_path, process)
    process.kill()
    process.communicate()
    assert not (run / "record.json").exists()
    resumed = Command(tmp_path, *WORDS, f"resume={run}", "train.checkpoint_seconds=60")
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    [ended] = [path.parent for path in tmp_path.glob("outputs/*/record.json")]
    assert read_record(ended).config["train"]["steps"] == 200
    changed = Command(tmp_path, *WORDS, f"resume={run}", "seed=3")
    _, errors = changed.communicate(timeout=60)
    assert changed.returncode == 2
    assert "seed was 0 and would be 3" in errors
