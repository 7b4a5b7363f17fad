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
from tlexp.jobs import submitted, worker
from tlexp.jobs.folder import SweepFolder
from tlexp.jobs.lease import Beat, give_up, read_lease, take_lease
from tlexp.jobs.submitted import SubmittedTask
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import CHECKPOINT_FOLDER, PROCESS_FILE

AskedToStop = Callable[[], int | None]
CPU = OmegaConf.create({"train": {"device": "cpu"}})
KEY = "ab" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The job's folder, an attempt of a sweep; signals and threads are as before afterwards."""
    attempt = SweepFolder(tmp_path).begin(KEY, {"seed": "0"}, 0, [])
    (attempt.folder / ".hydra").mkdir()
    (attempt.folder / ".hydra" / "overrides.yaml").write_text("[seed=0]")
    there = load_module.HydraJob(folder=attempt.folder, overrides=(), study="s")
    monkeypatch.setattr(submitted, "hydra_job", lambda: there)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield attempt.folder
    for number, handler in before.items():
        signal.signal(number, handler)


def build(folder: Path, task: worker.Task, ending: str = "record.json") -> SubmittedTask:
    return SubmittedTask(task=task, stop=folder / ".stop", sweeper=1, workers=256, ending=ending)


def nothing(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
    pass


def test_a_job_that_came_to_its_end_is_over(folder: Path) -> None:
    done: list[DictConfig] = []
    job = build(folder, lambda composed, asked: done.append(composed))
    job(CPU)
    job(CPU)
    assert done == [CPU]
    assert (state := read_lease(folder, 1)) is not None
    assert (state.over, state.left) == (True, True)
    assert json.loads((folder / PROCESS_FILE).read_text()) == process_identity()


def test_a_job_that_was_given_up_does_nothing(folder: Path) -> None:
    give_up(folder)
    build(folder, lambda composed, asked: pytest.fail("it began"))(CPU)
    assert not (folder / PROCESS_FILE).exists()


def test_a_job_that_fails_is_over_too(folder: Path) -> None:
    def task(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        raise DataError("no images")

    with pytest.raises(DataError):
        build(folder, task)(CPU)
    assert take_lease(folder) is None


def test_the_scheduler_s_warning_is_kept_for_the_end_and_then_handed_on(folder: Path) -> None:
    heard: list[tuple[int, Beat | None]] = []

    def requeue(number: int, frame: object) -> None:
        heard.append((number, read_lease(folder, 1)))
        raise SystemExit(-1)

    def task(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        assert asked_to_stop() is None
        os.kill(os.getpid(), signal.SIGUSR2)
        assert asked_to_stop() == signal.SIGTERM
        assert not heard
        raise Interrupted(signal.SIGTERM)

    signal.signal(signal.SIGUSR2, requeue)
    with pytest.raises(SystemExit):
        build(folder, task)(CPU)
    assert heard == [(signal.SIGUSR2, Beat(left=True))]
    assert signal.getsignal(signal.SIGUSR2) is requeue


def test_a_job_that_ends_by_itself_after_a_warning_is_not_started_again(folder: Path) -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: pytest.fail("handed on"))
    build(folder, lambda composed, asked: os.kill(os.getpid(), signal.SIGUSR1))(CPU)
    assert take_lease(folder) is None


def test_a_job_that_is_started_again_goes_on_in_an_attempt_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        (folder / CHECKPOINT_FOLDER).mkdir()
        (folder / CHECKPOINT_FOLDER / "final.state.safetensors").write_bytes(b"state")
        raise Interrupted(signal.SIGTERM)

    moved: list[Path] = []
    monkeypatch.setattr(submitted, "move_hydra_job", moved.append)
    build(folder, interrupted)(CPU)
    build(folder, nothing)(CPU)
    [second] = moved
    assert second.name.startswith("002-")
    assert (second / CHECKPOINT_FOLDER / "final.state.safetensors").exists()
    assert (second / ".hydra" / "overrides.yaml").exists()
    assert (second / PROCESS_FILE).exists()
    assert take_lease(folder) is None


def test_a_column_that_is_started_again_stays_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitted, "move_hydra_job", lambda _: pytest.fail("it moved"))
    take_lease(folder)
    (folder / PROCESS_FILE).write_text("{}")
    build(folder, nothing, ending="column.json")(CPU)


def test_a_job_that_was_taken_for_dead_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlexp.jobs.lease.BEAT_SECONDS", 0.01)

    def task(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        assert give_up(folder)
        for _ in range(1000):
            if (number := asked_to_stop()) is not None:
                raise Interrupted(number)
            os.sched_yield()
            signal.sigtimedwait([], 0.01)

    build(folder, task)(CPU)
    assert read_lease(folder, 2) == Beat(over=True)


def test_a_request_to_stop_ends_it_for_good(folder: Path) -> None:
    def task(composed: DictConfig, asked_to_stop: AskedToStop) -> None:
        (folder / ".stop").touch()
        assert asked_to_stop() == signal.SIGTERM
        raise Interrupted(signal.SIGTERM)

    build(folder, task)(CPU)
    assert take_lease(folder) is None


@pytest.mark.parametrize(
    ("given", "threads"), [({"SLURM_CPUS_ON_NODE": "4"}, "4"), ({"SLURM_CPUS_PER_TASK": "3"}, "3")]
)
def test_it_uses_what_the_scheduler_gives(
    given: dict[str, str], threads: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ({"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "1"} | given).items():
        monkeypatch.setenv(name, value)
    build(folder, nothing)(OmegaConf.create({"train": {"device": "auto"}}))
    assert (os.environ["OMP_NUM_THREADS"], os.environ["CUDA_VISIBLE_DEVICES"]) == (threads, "1")


def test_it_travels(folder: Path) -> None:
    job = build(folder, nothing)
    assert pickle.loads(pickle.dumps(job)) == job
