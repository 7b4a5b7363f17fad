"""Two hosts with one folder: jobs of one that lost their command, were killed or suspended, and a command on the other.

The other host is a namespace of its own for names: its processes are of a host that cannot be asked about them.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.test_slurm import ROOT, SWEEP, await_checkpoints, statuses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="pip install 'tlexp[slurm]'"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a host name of one's own needs root"),
    pytest.mark.timeout(900),
]
LOCAL = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=30"]
WORDS = [*SWEEP[:-3], "seed=0,1", *SWEEP[-2:], "train.steps=900"]
ELSEWHERE = ["unshare", "--uts", "sh", "-c", 'hostname another && exec "$@"', "sh"]


def begin(folder: Path, *words: str, host: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Type a command in a folder, here or on the other host."""
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tlexp" / "plugin")])
    with (folder / "shown.txt").open("wb") as shown:
        return subprocess.Popen(
            [*host, sys.executable, "-m", "tlexp", *words],
            cwd=folder, stdout=shown, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def finish(folder: Path, *words: str) -> str:
    status = begin(folder, *words).wait()
    shown = (folder / "shown.txt").read_text()
    assert status == 0, shown
    return shown


def jobs_elsewhere(folder: Path) -> list[int]:
    """Begin on the other host, kill the command once its jobs have checkpoints, and return their processes."""
    command = begin(folder, *WORDS, *LOCAL, host=tuple(ELSEWHERE))
    await_checkpoints(folder, 2)
    command.kill()
    command.wait()
    processes = [json.loads(path.read_text()) for path in sorted(folder.glob("multirun/s/runs/*/*/process.json"))]
    assert [process["host"] for process in processes] == ["another"] * 2
    return [process["pid"] for process in processes]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of a sweep that runs here."""
    folder = tmp_path_factory.mktemp("alone") / "here"
    finish(folder, *WORDS)
    return (folder / "multirun/s/results.csv").read_bytes()


def test_jobs_of_another_host_are_waited_for_while_they_live(table: bytes, tmp_path: Path) -> None:
    jobs_elsewhere(tmp_path)
    assert "2 jobs that were submitted before are not over; waiting for them" in finish(tmp_path, *WORDS, *LOCAL)
    assert statuses(tmp_path) == {"finished": 2}
    assert (tmp_path / "multirun/s/results.csv").read_bytes() == table


def test_jobs_of_another_host_that_are_silent_are_done_again_and_none_counts_twice(
    table: bytes, tmp_path: Path
) -> None:
    killed, suspended = jobs_elsewhere(tmp_path)
    os.kill(killed, signal.SIGKILL)
    os.kill(suspended, signal.SIGSTOP)
    try:
        finish(tmp_path, *WORDS, *LOCAL)
    finally:
        os.kill(suspended, signal.SIGCONT)
    assert (tmp_path / "multirun/s/results.csv").read_bytes() == table
    for _ in range(300):
        if not Path(f"/proc/{suspended}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("it goes on although it was given up")
    finish(tmp_path, *WORDS, *LOCAL)
    assert statuses(tmp_path)["finished"] == 2
    keys = Counter(path.parent.parent.name for path in tmp_path.glob("multirun/s/runs/*/*/record.json"))
    assert len(keys) == 2
    assert (tmp_path / "multirun/s/results.csv").read_bytes() == table
