"""The sqlite store's creation: eight processes at once, and kill -9 at random moments.

mlflow is imported once, and each process is a fork, for an import takes longer than the creation. `unsafe` creates in
place and without a lock, as MLflow does by itself: the harness must catch that.
"""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.tracking.library import load_mlflow
from tlexp.tracking.store import ensure_store

PROCESSES = 8


def test_neither_eight_processes_on_an_empty_folder_nor_a_killed_creation_brick_a_store(tmp_path: Path) -> None:
    # Forks of the process of the tests would hold what its threads hold, for ever.
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from tests.faults.test_store import kill, race; "
        "folder = pathlib.Path(sys.argv[2]); print(race(folder / 'race', 1)); print(kill(folder / 'kill', 1))"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).resolve().parents[2]), str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert told[0] == "8 processes, 0 failed; 1 stores, 0 bricked"
    assert told[-1] == "1 kills, 0 bricked"


@pytest.mark.slow
def test_eight_processes_on_an_empty_folder_twenty_times(tmp_path: Path) -> None:
    assert race(tmp_path, 20) == "160 processes, 0 failed; 20 stores, 0 bricked"


@pytest.mark.slow
def test_a_hundred_killed_creations_brick_nothing(tmp_path: Path) -> None:
    assert kill(tmp_path, 100) == "100 kills, 0 bricked"


@pytest.mark.slow
def test_the_harness_catches_a_creation_in_place_without_a_lock(tmp_path: Path) -> None:
    assert not race(tmp_path / "race", 1, "unsafe").startswith("8 processes, 0 failed")
    assert not kill(tmp_path / "kill", 8, "unsafe").endswith(" 0 bricked")


# --- the harness


def use_store(uri: str, way: str) -> None:
    """Open the store as a run does, and write one."""
    from mlflow import MlflowClient

    if way == "safe":
        ensure_store(uri)
    client = MlflowClient(tracking_uri=uri)
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "test/accuracy", 0.5)
    client.set_terminated(run.info.run_id)


def forked(work: Callable[[], None]) -> int:
    """Do the work in a process of its own and return its pid."""
    load_mlflow()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        warnings.simplefilter("ignore")
        work()
        status = 0
    finally:
        os._exit(status)


def failed(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] != 0


def race(folder: Path, count: int, way: str = "safe") -> str:
    failures = bricked = 0
    for number in range(count):
        uri = fresh(folder / str(number))
        pids = [forked(lambda uri=uri: use_store(uri, way)) for _ in range(PROCESSES)]
        failures += sum([failed(pid) for pid in pids])
        bricked += failed(forked(lambda uri=uri: use_store(uri, way)))
    return f"{count * PROCESSES} processes, {failures} failed; {count} stores, {bricked} bricked"


def kill(folder: Path, count: int, way: str = "safe") -> str:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    began = time.monotonic()
    assert not failed(forked(lambda: use_store(fresh(folder / "timed"), way)))
    duration = time.monotonic() - began
    bricked = 0
    for number in range(count):
        uri = fresh(folder / str(number))
        pid = forked(lambda uri=uri: use_store(uri, way))
        time.sleep(draw.uniform(0, duration))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        bricked += failed(forked(lambda uri=uri: use_store(uri, way)))
    return f"{count} kills, {bricked} bricked"


def fresh(folder: Path) -> str:
    folder.mkdir(parents=True)
    return f"sqlite:///{folder}/mlflow.db"
