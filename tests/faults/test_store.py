"""The sqlite store's creation: eight processes at once, and kill -9 at random moments.

    python tests/faults/test_store.py [--races 20] [--kills 100] [--seed 1] [--plant unsafe]

mlflow is imported once, and each process is a fork, for an import takes longer than the creation. `unsafe` creates in
place and without a lock, as MLflow does by itself: the harness must catch that.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tlexp.tracking.library import load_mlflow
from tlexp.tracking.store import ensure_store

PROCESSES = 8
FOUND = 3
"""Exit status: the harness did its work and found a fault."""
WAYS = ("safe", "unsafe")


def program(*words: str) -> subprocess.CompletedProcess[str]:
    """Run this file: forks of the process of the tests would hold what its threads hold, for ever."""
    return subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)


def test_neither_eight_processes_on_an_empty_folder_nor_a_killed_creation_brick_a_store() -> None:
    done = program("--races", "1", "--kills", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 processes, 0 failed; 1 stores, 0 bricked\n1 kills, 0 bricked" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--races", "20"), ("--kills", "100")], ids=" ".join)
def test_many_creations(words: tuple[str, ...]) -> None:
    done = program(*words)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--races", "1"), ("--kills", "8")], ids=" ".join)
def test_the_harness_catches_a_creation_in_place_without_a_lock(words: tuple[str, ...]) -> None:
    done = program(*words, "--plant", "unsafe")
    assert done.returncode == FOUND, done.stdout + done.stderr


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


def race(folder: Path, count: int, way: str) -> int:
    """Let eight processes begin at once on an empty folder, so many times; return what failed."""
    failures = bricked = 0
    for number in range(count):
        uri = fresh(folder / str(number))
        pids = [forked(lambda uri=uri: use_store(uri, way)) for _ in range(PROCESSES)]
        failures += sum([failed(pid) for pid in pids])
        bricked += failed(forked(lambda uri=uri: use_store(uri, way)))
    print(f"{count * PROCESSES} processes, {failures} failed; {count} stores, {bricked} bricked", flush=True)
    return failures + bricked


def kill(folder: Path, count: int, seed: int, way: str) -> int:
    """Kill so many creations at random moments; return how many stores cannot be used after it."""
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
    print(f"{count} kills, {bricked} bricked, seed {seed}, {duration:.1f} s for a creation", flush=True)
    return bricked


def fresh(folder: Path) -> str:
    folder.mkdir(parents=True)
    return f"sqlite:///{folder}/mlflow.db"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of the moments")
    parser.add_argument("--plant", choices=WAYS[1:])
    options = parser.parse_args()
    way = options.plant or WAYS[0]
    with tempfile.TemporaryDirectory() as folder:
        faults = race(Path(folder) / "race", options.races, way) if options.races else 0
        faults += kill(Path(folder) / "kill", options.kills, options.seed, way) if options.kills else 0
    return FOUND if faults else 0


if __name__ == "__main__":
    sys.exit(main())
