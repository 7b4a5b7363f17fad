"""A sweep on the command line, killed with -9 at uniformly random times and typed again until it is done.

Twelve tiny runs, two workers, tracking on. As a program, this file is the harness:

    python tests/faults/test_kill_sweep.py kill --kills 100 [--seed 1] [--cold | --plant plain_write|short_key]

It prints the seed of its random times. `--plant` puts a bug into the killed processes, which the harness must catch.

Nearly all of a small sweep's time goes into imports: the sweeper's, each worker's, those of the plots. Here they are
done once, and sweepers and workers are forks of a process that has done nothing else; from `cli.main` on all is as
ever. `--cold` starts new interpreters instead.
"""

import argparse
import contextlib
import copy
import hashlib
import importlib
import itertools
import os
import random
import runpy
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from tlexp import cli
from tlexp.config import Config, config_key
from tlexp.errors import TrackingError
from tlexp.paths import publish
from tlexp.tracking import ensure_store, read_record
from tlexp.tracking.library import load_mlflow

ROOT = Path(__file__).resolve().parents[2]
GRID = ["freeze=all,none", "labels=2,4", "seed=0,1,2"]
TINY = [
    "backbone=tiny", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "train.limit_steps=2", "train.checkpoint_seconds=0.01",
]  # fmt: skip
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
FOUND = 3
"""Exit status: the harness did its work and found a fault."""
WORDS = ["-m", *GRID, *TINY, *PARALLEL, "hydra.sweeper.name=killed"]


def plain_write(path: Path, content: bytes) -> None:
    """Write a file under its final name before it is whole, on a slow disk."""
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.15)
        file.write(content[len(content) // 2 :])


def short_key(config: Config) -> str:
    """Forget the seed."""
    config = copy.copy(config)
    config.seed = 0
    return config_key(config)


PLANTS = {"plain_write": (publish, plain_write), "short_key": (config_key, short_key)}
"""A right function and a wrong one."""


@dataclass
class Found:
    """What went wrong, over all sweeps."""

    kills: int = 0
    sweeps: int = 0
    lost: int = 0
    twice: int = 0
    torn: int = 0
    zombies: int = 0
    different: int = 0
    stuck: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.lost + self.twice + self.torn + self.zombies + self.different + len(self.stuck)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.sweeps} sweeps: {self.lost} finished runs lost, {self.twice} run twice, "
            f"{self.torn} torn files, {self.zombies} zombies, {self.different} tables different, "
            f"{len(self.stuck)} sweeps stuck"
        )


@pytest.mark.timeout(900)
def test_killed_sweeps_finish_as_if_nothing_had_happened_and_eight_begin_on_an_empty_folder(tmp_path: Path) -> None:
    assert program("both", tmp_path, "--kills", "4", "--times", "1") == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kills(tmp_path: Path) -> None:
    assert program("kill", tmp_path, "--kills", "10") == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_sweeps_of_new_interpreters(tmp_path: Path) -> None:
    assert program("kill", tmp_path, "--kills", "10", "--cold") == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("plant", PLANTS)
def test_the_harness_catches_a_planted_bug(plant: str, tmp_path: Path) -> None:
    assert program("kill", tmp_path, "--kills", "20", "--plant", plant) == FOUND


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_eight_processes_on_an_empty_folder_twenty_times(tmp_path: Path) -> None:
    assert program("race", tmp_path, "--times", "20") == 0


# --- the harness


def program(what: str, folder: Path, *words: str) -> int:
    """Run this file as a program; return its exit status."""
    command = [sys.executable, __file__, what, str(folder), *words]
    return subprocess.run(command, env=environment_of(folder), timeout=1100).returncode


def kill_sweeps(root: Path, *, kills: int, seed: int | None, plant: str | None, cold: bool) -> Found:
    """Kill sweeps at random times until there were so many kills; the last one is finished. A planted bug ends it."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    draw, found = random.Random(seed), Found()
    ready = root / "ready"
    ready.mkdir(parents=True)
    ensure_store(f"sqlite:///{ready / 'mlflow.db'}")  # made once, for it takes seconds
    reference = prepare(root / "reference", ready)
    began = time.monotonic()
    assert wait(start(reference, None, cold), 300) == 0, (reference / "output").read_text()
    duration = time.monotonic() - began
    table = (reference / "multirun" / "killed" / "results.csv").read_bytes()
    assert table.count(b"finished") == 12, table.decode()
    print(f"a sweep that is not killed takes {duration:.1f} s", flush=True)
    while found.kills < kills and not (plant and found.faults):
        folder = prepare(root / f"sweep{found.sweeps}", ready)
        begin = partial(start, folder, plant, cold)
        # The reference may have been a slow one; times beyond a sweep's end would kill nothing.
        duration = min(duration, one_sweep(begin, folder, draw, duration, found, kills=kills))
        found.sweeps += 1
        inspect(folder, table, found)
        print(found, flush=True)
    return found


def one_sweep(
    start_again: Callable[[], int], folder: Path, draw: random.Random, duration: float, found: Found, *, kills: int
) -> float:
    """Type the command again and again, killing it, until it ends by itself; return what it took if it was let."""
    seen: dict[str, str] = {}
    for number in range(200):
        began = time.monotonic()
        pid = start_again()
        status = wait(pid, draw.uniform(0, duration) if found.kills < kills else 300.0)
        if status is None:
            kill_group(pid)
            found.kills += 1
        elif status != 0:
            found.stuck.append((folder / "output").read_text()[-2000:])
            print(found.stuck[-1], flush=True)
        now = finished(folder)
        found.lost += sum(now.get(path) != digest for path, digest in seen.items())
        seen |= now
        if status is not None:
            return time.monotonic() - began if number == 0 else duration
    found.stuck.append("200 starts")
    return duration


def inspect(folder: Path, table: bytes, found: Found) -> None:
    """Look at what a sweep left behind."""
    keys: Counter[str] = Counter()
    for path in folder.glob("multirun/killed/runs/*/*/record.json"):
        try:
            record = read_record(path)
        except TrackingError:
            found.torn += 1
            continue
        keys[record.key] += record.status == "finished"
    found.twice += sum(count - 1 for count in keys.values() if count > 1)
    results = folder / "multirun" / "killed" / "results.csv"
    found.different += not results.exists() or results.read_bytes() != table
    with sqlite3.connect(folder / "mlflow.db") as store:
        [(running,)] = store.execute("select count(*) from runs where status = 'RUNNING'")
        found.zombies += running


def prepare(folder: Path, ready: Path) -> Path:
    folder.mkdir()
    shutil.copy(ready / "mlflow.db", folder)
    return folder


def start(folder: Path, plant: str | None, cold: bool) -> int:
    """Type the command, in a group of processes of its own; return its process."""
    from joblib.externals.loky.backend import fork_exec

    pid = os.fork()
    with contextlib.suppress(PermissionError):  # done by the child, which is another program by now
        os.setpgid(pid, pid)  # by both: it may be killed before it has come so far
    if pid:
        return pid
    if cold:
        into(folder, "output")
        os.execve(sys.executable, [sys.executable, "-m", "tlexp", *WORDS], environment_of(folder))
    if plant is not None:
        replace(*PLANTS[plant])
    fork_exec.fork_exec = fork_worker
    command(folder, "output", WORDS)


def replace(old: object, new: object) -> None:
    """Put something else wherever tlexp's modules hold it."""
    for module in [module for name, module in sys.modules.items() if name.startswith("tlexp")]:
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def command(folder: Path, output: str, words: list[str]) -> NoReturn:
    """Be the command line in a folder; ends the process."""
    status = 1
    try:
        into(folder, output)
        os.environ |= environment_of(folder)
        sys.argv = ["tlexp", *words]
        cli.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - a fork must never return into the harness
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def import_all() -> None:
    """Import what a sweep and its workers import, so that forks find it there."""
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is loaded
    load_mlflow()
    for name in (
        "joblib.externals.loky.backend.popen_loky_posix",
        "tlexp.experiment.run",
        "tlexp.cli.console",
        "tlexp.sweeps.sweeper",
        "tlexp.sweeps.results",
    ):
        importlib.import_module(name)


def into(folder: Path, output: str) -> None:
    """Work in a folder and write into a file there."""
    os.chdir(folder)
    file = os.open(folder / output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)


def fork_worker(words: list[str], keep: list[int], env: dict[str, str] | None = None) -> int:
    """Start a worker of joblib's with its own program, but as a fork in place of a new interpreter."""
    pid = os.fork()
    if pid:
        return pid
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from tlexp.jobs import worker

    status = 1
    try:
        kept = sorted({0, 1, 2, *keep, os.sysconf("SC_OPEN_MAX")})
        for low, high in itertools.pairwise(kept):
            os.closerange(low + 1, high)
        os.environ |= env or {}
        for engine in SqlAlchemyStore._engine_map.values():
            engine.dispose(close=False)  # the sweeper's connections stay the sweeper's
        worker._parents[os.getpid()] = os.getppid()
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name="__main__")
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


def environment_of(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "JOBLIB_TEMP_FOLDER": str(folder)}


def wait(pid: int, seconds: float) -> int | None:
    """Return how a process ended; None while it runs on."""
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if ended else None


def kill_group(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for _ in range(100):
        if not list(living(pid)):
            return
        time.sleep(0.05)


def living(group: int) -> Iterator[int]:
    """Yield the processes of a group that are not dead yet."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            yield int(path.parent.name)


def finished(folder: Path) -> dict[str, str]:
    """Return the digest of every finished record."""
    found = {}
    for path in folder.glob("multirun/killed/runs/*/*/record.json"):
        try:
            if read_record(path).status == "finished":
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        except TrackingError:
            continue
    return found


def race(root: Path, times: int) -> int:
    """Start eight sweeps at once on an empty folder, so many times; return how often that went wrong."""
    failed = 0
    for number in range(times):
        folder = root / f"race{number}"
        folder.mkdir()
        pids = [fork_sweep(folder, seed) for seed in range(8)]
        failed += sum([os.waitpid(pid, 0)[1] != 0 for pid in pids])
        sweeps = len(list(folder.glob("multirun/*/results.csv")))
        with sqlite3.connect(folder / "mlflow.db") as store:
            [(rows,)] = store.execute("select count(*) from runs where status = 'FINISHED'")
        failed += (sweeps, rows) != (8, 16)  # each is shown with its run and one of its own
    print(f"{8 * times} processes, {failed} failed")
    return failed


def fork_sweep(folder: Path, seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        command(folder, f"output{seed}", ["-m", "labels=2", f"seed={seed}", *TINY])
    return pid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "race", "both"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--plant", choices=list(PLANTS))
    parser.add_argument("--cold", action="store_true")
    arguments = parser.parse_args()
    if arguments.cold and arguments.plant:
        parser.error("a bug is planted into what has been imported: leave --cold out")
    import_all()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        faults = 0
        if arguments.what != "race":
            faults += kill_sweeps(
                folder, kills=arguments.kills, seed=arguments.seed, plant=arguments.plant, cold=arguments.cold
            ).faults
        if arguments.what != "kill":
            faults += race(folder, arguments.times)
        sys.exit(FOUND if faults else 0)


if __name__ == "__main__":
    main()
