"""Sweeps and studies on a Slurm of one node: jobs that are taken from the queue, warned, started again, and lose their
command and their node's daemon, make the table of a sweep that runs here, bit for bit."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.one_node import Cluster, missing, one_node
from tests.faults.test_kill_study import SMALL, page
from tests.faults.test_kill_study import WORDS as STUDY
from tlexp.tracking import read_record

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[2]
SWEEP = [
    "-m", "backbone=tiny", "freeze=none", "backbone.image_size=32", "data.per_class=20", "data.test_per_class=5",
    "data.num_classes=2", "labels=4", "tune.validate=false", "cache=off", "tracking=off", "seed=0,1,2",
    "train.checkpoint_seconds=0.5", "hydra.sweeper.name=s",
]  # fmt: skip
SLURM = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=30", "hydra.launcher.gpus_per_node=1"]
SAYS_ITS_GPU = 'hydra.launcher.setup=["echo uses GPU $CUDA_VISIBLE_DEVICES"]'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with one_node(tmp_path_factory.mktemp("cluster")) as found:
        found.environment |= {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tlexp" / "plugin")]),
            "OMP_NUM_THREADS": "1",
        }
        yield found


def begin(folder: Path, cluster: Cluster, *words: str) -> subprocess.Popen[bytes]:
    """Type a command in a folder."""
    folder.mkdir(exist_ok=True)
    with (folder / "shown.txt").open("wb") as shown:
        return subprocess.Popen(
            [sys.executable, "-m", "tlexp", *words],
            cwd=folder, env=cluster.environment, stdout=shown, stderr=subprocess.STDOUT,
        )  # fmt: skip


def finish(folder: Path, cluster: Cluster, *words: str) -> str:
    """Type a command that comes to a good end; return what it shows."""
    status = begin(folder, cluster, *words).wait()
    shown = (folder / "shown.txt").read_text()
    assert status == 0, shown
    return shown


def await_checkpoints(folder: Path, number: int) -> None:
    for _ in range(1200):
        if len(list(folder.glob("multirun/s/runs/*/*/checkpoint/*.state.safetensors"))) >= number:
            return
        time.sleep(0.1)
    raise AssertionError((folder / "shown.txt").read_text())


def statuses(folder: Path) -> Counter[str]:
    return Counter(read_record(path).status.value for path in folder.glob("multirun/s/runs/*/*/record.json"))


def test_an_array_makes_the_table_of_a_sweep_that_runs_here_with_a_gpu_for_each_job(
    cluster: Cluster, tmp_path: Path
) -> None:
    words = [*SWEEP, "train.limit_steps=2"]
    finish(tmp_path / "here", cluster, *words)
    shown = finish(tmp_path / "there", cluster, *words, *SLURM, SAYS_ITS_GPU)
    assert "3 runs: 3 finished" in shown
    tables = [(tmp_path / place / "multirun/s/results.csv").read_bytes() for place in ("here", "there")]
    assert tables[0] == tables[1]
    logs = [path.read_text() for path in (tmp_path / "there").glob("multirun/s/.submitit/*/*_log.out")]
    found = [re.search("uses GPU (.*)", log) for log in logs]
    assert {each[1] for each in found if each} == {"0", "1"}
    local = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=30"]
    finish(tmp_path / "local", cluster, *words, *local)
    assert (tmp_path / "local/multirun/s/results.csv").read_bytes() == tables[0]


def test_whatever_happens_to_jobs_each_run_is_done_once(cluster: Cluster, tmp_path: Path) -> None:
    words = [*SWEEP, "train.steps=900"]
    there, retried = tmp_path / "there", "hydra.launcher.max_num_timeout=3"
    command = begin(there, cluster, *words, *SLURM, retried)
    await_checkpoints(there, 2)
    running = sorted(job for job, state in cluster.queue().items() if state == "RUNNING")
    command.kill()
    command.wait()
    cluster.ask("scancel", "--signal=USR2", running[0])
    cluster.ask("scancel", running[1])
    cluster.start_again(running[0])
    await_checkpoints(there, 2)
    cluster.kill_node()
    cluster.start_node()
    shown = finish(there, cluster, *words, *SLURM, retried)
    assert "that were submitted before are not over; waiting for them" in shown
    assert statuses(there) == {"finished": 3, "killed": 2}
    finish(tmp_path / "here", cluster, *words)
    assert statuses(tmp_path / "here") == {"finished": 3}
    tables = [(each / "multirun/s/results.csv").read_bytes() for each in (there, tmp_path / "here")]
    assert tables[0] == tables[1]
    assert cluster.queue() == {}


def test_a_job_that_slurm_puts_back_into_the_queue_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    command = begin(tmp_path, cluster, *SWEEP, "train.steps=500", *SLURM)
    await_checkpoints(tmp_path, 2)
    job = min(job for job, state in cluster.queue().items() if state == "RUNNING")
    cluster.ask("scontrol", "requeue", job)
    cluster.start_again(job)
    assert command.wait() == 0, (tmp_path / "shown.txt").read_text()
    assert statuses(tmp_path) == {"finished": 3, "killed": 1}


def test_ctrl_c_ends_the_command_and_leaves_the_jobs(cluster: Cluster, tmp_path: Path) -> None:
    command = begin(tmp_path, cluster, *SWEEP, "train.steps=300", *SLURM)
    await_checkpoints(tmp_path, 1)
    command.send_signal(signal.SIGINT)
    assert command.wait(20) == 130
    shown = (tmp_path / "shown.txt").read_text()
    assert "what was submitted goes on; scancel ends it" in shown
    assert cluster.queue()
    finish(tmp_path, cluster, *SWEEP, "train.steps=300", *SLURM)
    assert statuses(tmp_path) == {"finished": 3}


def test_a_search_prunes_in_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    words = [word for word in SWEEP if not word.startswith(("tune.", "data.per", "labels", "seed", "train."))]
    words += ["data.per_class=60", "labels=60", "train.steps=90", "hydra.sweeper.pruner=median"]
    words += ["optim.lr=tag(log,interval(1e-6,1e-1))", "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=6"]
    shown = finish(tmp_path, cluster, *words, "hydra.sweeper.n_jobs=2", *SLURM)
    assert "waiting for 2 jobs: 2 " in shown
    ended = statuses(tmp_path)
    assert (ended.total(), ended.keys()) == (6, {"finished", "pruned"})
    assert "its validation loss was above the median of the others" in shown
    finish(tmp_path, cluster, *words, "hydra.sweeper.n_jobs=2", *SLURM)
    assert statuses(tmp_path) == ended


def test_what_slurm_refuses_is_told_and_begins_no_job(cluster: Cluster, tmp_path: Path) -> None:
    assert begin(tmp_path, cluster, *SWEEP, *SLURM, "hydra.launcher.partition=nowhere").wait() == 2
    shown = (tmp_path / "shown.txt").read_text()
    assert "no job was submitted" in shown
    assert "Traceback" not in shown


def test_a_study_has_the_same_page(cluster: Cluster, tmp_path: Path) -> None:
    finish(tmp_path / "here", cluster, *STUDY, *SMALL)
    finish(tmp_path / "there", cluster, *STUDY, *SMALL, *SLURM[:2])
    assert page(tmp_path / "there") == page(tmp_path / "here")


def test_a_study_is_left_and_typed_again_while_a_column_of_it_trains(cluster: Cluster, tmp_path: Path) -> None:
    kept = [word for word in (*STUDY, *SMALL) if not word.startswith("train.")]
    words = [*kept, "train.steps=2000", "train.checkpoint_seconds=0.5", *SLURM[:2]]
    command = begin(tmp_path, cluster, *words)
    for _ in range(1200):
        if list(tmp_path.glob("multirun/*/runs/*/*/checkpoint/*.state.safetensors")):
            break
        time.sleep(0.1)
    command.send_signal(signal.SIGINT)
    assert command.wait(20) == 130
    assert cluster.queue()
    assert "to do" in finish(tmp_path, cluster, *words, "--dry-run")
    assert cluster.queue()
    shown = finish(tmp_path, cluster, *words)
    assert "that were submitted before are not over; waiting for them" in shown
    assert cluster.queue() == {}
