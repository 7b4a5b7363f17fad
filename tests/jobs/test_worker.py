import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from tlexp.compose import load as load_module
from tlexp.errors import DataError, Interrupted
from tlexp.jobs import worker
from tlexp.jobs.worker import TRACEBACK_FILE, JobTask
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import PROCESS_FILE

AskedToStop = Callable[[], int | None]
CPU, AUTO = (OmegaConf.create({"train": {"device": device}}) for device in ("cpu", "auto"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The run's folder; threads, devices and signals are as before afterwards."""
    monkeypatch.setattr(worker, "hydra_job", lambda: load_module.HydraJob(folder=tmp_path, overrides=(), study="s"))
    monkeypatch.setattr(worker, "visible_gpus", list)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def build(folder: Path, task: worker.Task, *, here: bool = True, workers: int = 1) -> JobTask:
    """Return a job of this process, or of a worker of another one."""
    return JobTask(task=task, stop=folder / ".stop", sweeper=os.getpid() if here else 1, workers=workers)


def nothing(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
    pass


def raising(error: BaseException) -> worker.Task:
    def task(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        raise error

    return task


def test_the_task_is_done_in_the_name_of_this_process(folder: Path) -> None:
    done: list[object] = []

    def task(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        done.extend([composed, asked_to_stop(), json.loads((folder / PROCESS_FILE).read_text())])

    build(folder, task)(CPU)
    assert done == [CPU, None, process_identity()]


@pytest.mark.parametrize("here", [True, False])
def test_nothing_begins_while_the_sweep_stops(folder: Path, here: bool) -> None:
    (folder / ".stop").touch()
    job = build(folder, raising(AssertionError()), here=here)
    assert job.asked_to_stop() == signal.SIGTERM
    job(CPU)
    assert not (folder / PROCESS_FILE).exists()


def test_a_worker_ends_when_its_sweeper_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = JobTask(task=nothing, stop=folder / ".stop", sweeper=os.getppid(), workers=2)
    monkeypatch.setattr(worker, "_parents", {os.getpid(): os.getppid()})
    assert job.asked_to_stop() is None
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert job.asked_to_stop() == signal.SIGTERM
    monkeypatch.setattr(worker, "_parents", {os.getpid(): 2})  # a launcher puts others between them: no word on it
    assert job.asked_to_stop() is None


@pytest.mark.parametrize("here", [True, False])
def test_our_own_faults_leave_a_traceback_and_the_user_s_do_not(folder: Path, here: bool) -> None:
    with pytest.raises(DataError):
        build(folder, raising(DataError("no images")), here=here)(CPU)
    assert not (folder / TRACEBACK_FILE).exists()
    with pytest.raises(KeyError):
        build(folder, raising(KeyError("stem")), here=here)(CPU)
    assert "KeyError: 'stem'" in (folder / TRACEBACK_FILE).read_text()


def test_an_interrupted_worker_returns_and_is_deaf_between_jobs(folder: Path) -> None:
    for error in (Interrupted(signal.SIGTERM), KeyboardInterrupt()):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        build(folder, raising(error), here=False)(CPU)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_IGN] * 2


def test_an_interrupted_sweeper_hears_of_it_and_stays_so(folder: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        build(folder, raising(Interrupted(signal.SIGTERM)))(CPU)
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_share_the_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 9)
    build(folder, nothing)(CPU)
    assert "OMP_NUM_THREADS" not in os.environ
    for workers, stated, threads in ((4, None, "2"), (20, None, "1"), (4, "3", "3")):
        os.environ.pop("OMP_NUM_THREADS", None)
        if stated is not None:
            os.environ["OMP_NUM_THREADS"] = stated
        build(folder, nothing, here=False, workers=workers)(CPU)
        assert os.environ["OMP_NUM_THREADS"] == threads


def test_workers_on_gpus_have_one_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "visible_gpus", lambda: ["4", "5"])
    monkeypatch.setattr(worker, "take_gpu", lambda places, workers, gpus: f"{places.name} {workers} {gpus}")
    build(folder, nothing, here=False, workers=2)(CPU)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    build(folder, nothing, here=False, workers=2)(AUTO)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ".places 2 ['4', '5']"


def test_it_travels_by_pickle(folder: Path) -> None:
    job = build(folder, nothing)
    assert pickle.loads(pickle.dumps(job)) == job
