"""A sweep on the command line, killed with -9 at uniformly random times and typed again until it is done.

Twelve tiny runs, two workers, tracking on. As a program, this file is the harness:

    python tests/faults/test_kill_sweep.py kill --kills 100 [--seed 1] [--cold | --plant plain_write|short_key]

It prints the seed of its random times. `--plant` puts a bug into the killed processes, which the harness must catch.

From `cli.main` on all is as ever; `--cold` starts new interpreters instead of forks. The default run has two kills of
four runs.
"""

import argparse
import copy
import hashlib
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.forks import PATIENT, Fork, begin, environment_of, kill_group
from tlexp.config import Config, config_key
from tlexp.errors import TrackingError
from tlexp.paths import publish
from tlexp.tracking import ensure_store, read_record

GRID = ["freeze=all,none", "labels=2,4"]
TINY = [
    "backbone=tiny", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "train.limit_steps=2", "train.checkpoint_seconds=0.01",
]  # fmt: skip
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
FOUND = 3
"""Exit status: the harness did its work and found a fault."""
WORDS = ["-m", *GRID, *TINY, *PARALLEL, "hydra.sweeper.name=killed"]


def plain_write(path: Path, content: bytes | str) -> None:
    """Write a file under its final name before it is whole, on a slow disk."""
    content = content if isinstance(content, bytes) else content.encode()
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


def test_killed_sweeps_finish_as_if_nothing_had_happened(tmp_path: Path, ready_store: Path) -> None:
    assert kill_sweeps(tmp_path, ready_store, kills=2, seeds=1).faults == 0


@pytest.mark.slow
def test_ten_kills(tmp_path: Path, ready_store: Path) -> None:
    assert kill_sweeps(tmp_path, ready_store, kills=10).faults == 0


@pytest.mark.slow
def test_killed_sweeps_of_new_interpreters(tmp_path: Path, ready_store: Path) -> None:
    assert kill_sweeps(tmp_path, ready_store, kills=10, cold=True).faults == 0


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
def test_the_harness_catches_a_planted_bug(plant: str, tmp_path: Path, ready_store: Path) -> None:
    assert kill_sweeps(tmp_path, ready_store, kills=20, plant=plant).faults > 0


@pytest.mark.slow
def test_eight_sweeps_begin_at_once_on_an_empty_folder_twenty_times(tmp_path: Path) -> None:
    assert race(tmp_path, 20) == 0


# --- the harness


def kill_sweeps(
    root: Path,
    ready: Path,
    *,
    kills: int,
    seeds: int = 3,
    seed: int | None = None,
    plant: str | None = None,
    cold: bool = False,
) -> Found:
    """Kill sweeps at random times until there were so many kills; the last one is finished. A planted bug ends it.

    Args:
        root: Where the sweeps have their folders.
        ready: A tracking store that has been made, which takes seconds.
        kills: How many.
        seeds: A quarter of the runs.
        seed: Of the random times; it is printed.
        plant: A bug for the killed processes.
        cold: Start new interpreters.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    draw, found = random.Random(seed), Found()
    reference = prepare(root / "reference", ready)
    began = time.monotonic()
    words = [*WORDS, f"seed={','.join(map(str, range(seeds)))}"]
    reference_run = start(reference, words, None, cold)
    assert reference_run.ended() == 0, reference_run.errors
    duration = time.monotonic() - began
    table = (reference / "multirun" / "killed" / "results.csv").read_bytes()
    assert table.count(b"finished") == 4 * seeds, table.decode()
    print(f"a sweep that is not killed takes {duration:.1f} s", flush=True)
    while found.kills < kills and not (plant and found.faults):
        folder = prepare(root / f"sweep{found.sweeps}", ready)
        begin = partial(start, folder, words, plant, cold)
        # The reference may have been a slow one; times beyond a sweep's end would kill nothing.
        duration = min(duration, one_sweep(begin, folder, draw, duration, found, kills=kills))
        found.sweeps += 1
        inspect(folder, table, found)
        print(found, flush=True)
    return found


def one_sweep(
    start_again: Callable[[], Fork], folder: Path, draw: random.Random, duration: float, found: Found, *, kills: int
) -> float:
    """Type the command again and again, killing it, until it ends by itself; return what it took if it was let."""
    seen: dict[str, str] = {}
    for number in range(200):
        began = time.monotonic()
        command = start_again()
        status = command.ended(draw.uniform(0, duration) if found.kills < kills else PATIENT)
        if status is None:
            kill_group(command.pid)
            found.kills += 1
        elif status != 0:
            found.stuck.append((command.shown + command.errors)[-2000:])
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
    shutil.copy(ready, folder / "mlflow.db")
    return folder


def start(folder: Path, words: list[str], plant: str | None, cold: bool) -> Fork:
    """Type the command, in a group of processes of its own."""

    def become_new() -> None:
        os.execve(sys.executable, [sys.executable, "-m", "tlexp", *words], environment_of(folder))

    def put_in() -> None:
        if plant is not None:
            replace(*PLANTS[plant])

    return begin(folder, *words, first=become_new if cold else put_in)


def replace(old: object, new: object) -> None:
    """Put something else wherever tlexp's modules hold it."""
    for module in [module for name, module in sys.modules.items() if name.startswith("tlexp")]:
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


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
        commands = [begin(folder, "-m", "labels=2", f"seed={seed}", *TINY) for seed in range(8)]
        failed += sum([command.ended() != 0 for command in commands])
        sweeps = len(list(folder.glob("multirun/*/results.csv")))
        with sqlite3.connect(folder / "mlflow.db") as store:
            [(rows,)] = store.execute("select count(*) from runs where status = 'FINISHED'")
        failed += (sweeps, rows) != (8, 16)  # each is shown with its run and one of its own
    print(f"{8 * times} processes, {failed} failed")
    return failed


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
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        faults = 0
        if arguments.what != "race":
            ready = folder / "ready" / "mlflow.db"
            ready.parent.mkdir(parents=True)
            ensure_store(f"sqlite:///{ready}")
            faults += kill_sweeps(
                folder, ready, kills=arguments.kills, seed=arguments.seed, plant=arguments.plant, cold=arguments.cold
            ).faults
        if arguments.what != "kill":
            faults += race(folder, arguments.times)
        sys.exit(FOUND if faults else 0)


if __name__ == "__main__":
    main()
