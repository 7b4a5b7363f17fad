"""Writers of the feature cache, killed with -9 at uniformly random times: no half entry is ever to be seen.

As a program, this file is the harness:

    python tests/faults/test_cache_kills.py --kills 200 [--seed 1] [--plant plain_write|name_first]

`--plant` puts a bug into the killed processes, which the harness must catch.
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cache.conftest import Computer, a_key, some_images, true_rows
from tlexp.cache import cut_folder
from tlexp.cache.entry import BadEntryError, open_entry
from tlexp.cache.key import CutKey
from tlexp.cache.store import Store

ROOT = Path(__file__).resolve().parents[2]
IMAGES, WIDTH, BLOCK = 320, 32, 32


def plain_write(path: Path, content: bytes) -> None:
    """Write a file under its final name before it is whole, on a slow disk."""
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.01)
        file.write(content[len(content) // 2 :])


def name_first(path: Path, content: bytes) -> None:
    """Take the name first and fill the file afterwards."""
    path.touch()
    time.sleep(0.002)
    path.write_bytes(content)


PLANTS: dict[str, Callable[[Path, bytes], None]] = {"plain_write": plain_write, "name_first": name_first}


@dataclass
class Found:
    """What the killed writers left, and what came of it."""

    kills: int = 0
    entries: int = 0
    torn: int = 0
    wrong: int = 0
    lost: int = 0
    warnings: int = 0

    @property
    def faults(self) -> int:
        return self.torn + self.wrong + self.lost + self.warnings

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.entries} entries stood then: {self.torn} torn, {self.wrong} gave wrong rows, "
            f"{self.lost} computed again what was stored, {self.warnings} warnings"
        )


def test_killed_writers_leave_no_half_entry() -> None:
    with quickest_folder() as folder:
        assert kill_writers(Path(folder), kills=8).faults == 0


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
def test_the_harness_catches_a_planted_bug(plant: str) -> None:
    assert harness("--kills", "50", "--plant", plant).returncode == 1


@pytest.mark.slow
def test_two_hundred_kills() -> None:
    assert harness("--kills", "200").returncode == 0


def harness(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run this file as a program, for a process that has parted from nothing else can be forked safely."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, *words], env=environment, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done


# --- the harness


def kill_writers(root: Path, *, kills: int, seed: int | None = None, plant: str | None = None) -> Found:
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    draw, found = random.Random(seed), Found()
    durations = []
    for number in range(5):
        began = time.monotonic()
        os.waitpid(fork_writer(root / f"whole{number}", plant, cuts=1), 0)
        durations.append(time.monotonic() - began)
    duration = statistics.median(durations)
    print(f"a writer takes {duration:.3f} s for a cut", flush=True)
    for number in range(kills):
        pid = fork_writer(root / str(number), plant, cuts=10**6)
        time.sleep(draw.uniform(0, duration))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status)
        found.kills += 1
        for cut in range(1 + len(list((root / str(number)).glob("1/*")))):
            inspect(root / str(number), key(cut), found)
        if plant and found.faults:
            break
    return found


def quickest_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder in memory where there is one, for kill -9 says nothing about what was synced."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def fork_writer(folder: Path, plant: str | None, *, cuts: int) -> int:
    """Start a process that fills one cut after another."""
    pid = os.fork()
    if pid:
        return pid
    with contextlib.suppress(BaseException):
        if plant is not None:
            cut_folder.publish = PLANTS[plant]
        images = some_images(IMAGES)
        store = Store(folder, max_bytes=10**9)
        for cut in range(cuts):
            store.open(key(cut)).fill(images, lambda part: true_rows(images[part], WIDTH), block=BLOCK)
    os._exit(0)


def inspect(folder: Path, key: CutKey, found: Found) -> None:
    """Look at what is visible, then fill the cache to the end."""
    whole = 0
    for path in folder.glob(f"1/{key.digest}/*.safetensors"):
        found.entries += 1
        try:
            entry = open_entry(path, key.digest, key)
            entry.verify()
        except (BadEntryError, OSError):
            found.torn += 1
            continue
        whole += len(entry.images)
        found.torn += hashlib.sha256(path.read_bytes()).hexdigest() != path.stem
    told: list[str] = []
    images = some_images(IMAGES)
    computer = Computer(images, WIDTH)
    rows, _ = Store(folder, max_bytes=10**9, warn=told.append).open(key).fill(images, computer, block=BLOCK)
    found.wrong += not np.array_equal(rows.take(np.arange(IMAGES)).numpy(), true_rows(images, WIDTH).numpy())
    found.lost += len(computer.computed) != IMAGES - whole
    found.warnings += len(told)


def key(cut: int) -> CutKey:
    return a_key(shape=(WIDTH,), view=cut)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--plant", choices=list(PLANTS))
    arguments = parser.parse_args()
    with quickest_folder() as folder:
        found = kill_writers(Path(folder), kills=arguments.kills, seed=arguments.seed, plant=arguments.plant)
    print(found)
    sys.exit(found.faults > 0)


if __name__ == "__main__":
    main()
