"""Processes that use one feature cache at once: they share the work, give the same rows, and nobody dies of another.

As a program, this file is the harness:

    python tests/faults/test_cache_processes.py share --times 5 [--plant no_lock|stale_reload]
    python tests/faults/test_cache_processes.py evict --seconds 20 [--plant truncate]

`share`: eight processes fill one cold cut. `evict`: writers and readers work while others prune and clear.
`--plant` puts a bug into every process, which the harness must catch.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cache.conftest import Computer, a_key, some_images, true_rows
from tlexp.arrays import Positions
from tlexp.cache.cut_folder import CutFolder
from tlexp.cache.cut_rows import CutRows
from tlexp.cache.key import CutKey
from tlexp.cache.store import Store

ROOT = Path(__file__).resolve().parents[2]
IMAGES, BLOCK, PROCESSES = 1024, 64, 8
WIDTH = 2048
"""Rows of 8 kB, so that an entry spans many pages."""


@contextlib.contextmanager
def no_lock(self: CutFolder, name: str) -> Iterator[bool]:
    yield True


def truncate(path: Path) -> None:
    """Evict by making a file empty."""
    with contextlib.suppress(OSError):
        os.truncate(path, 0)


PLANTS: dict[str, Callable[[], None]] = {
    "no_lock": lambda: setattr(CutFolder, "locked", no_lock),
    "stale_reload": lambda: setattr(CutRows, "_reload", lambda self: []),
    "truncate": lambda: setattr(Path, "unlink", lambda path, missing_ok=False: truncate(path)),
}


def test_processes_share_the_work_and_outlive_eviction(tmp_path: Path) -> None:
    assert share(tmp_path, times=1) == 0
    assert evict(tmp_path / "evict", seconds=1) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("what", "plant"), [("share", "no_lock"), ("share", "stale_reload"), ("evict", "truncate")])
def test_the_harness_catches_a_planted_bug(what: str, plant: str) -> None:
    assert harness(what, "--plant", plant).returncode == 1


def harness(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, *words], env=environment, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done


# --- the harness


def share(root: Path, *, times: int) -> int:
    """Let eight processes fill one cold cut; return how much went wrong."""
    faults = 0
    for number in range(times):
        folder = root / str(number)
        folder.mkdir()
        began = time.monotonic()
        pids = [fork(partial(fill_slowly, folder, process)) for process in range(PROCESSES)]
        died = sum([os.waitpid(pid, 0)[1] != 0 for pid in pids])
        computed = sum(int(path.read_text()) for path in folder.glob("computed*"))
        seconds = time.monotonic() - began
        print(f"{PROCESSES} processes, {died} failed; {computed} rows computed, {seconds:.1f} s", flush=True)
        # Two may enter at the same moment a block that was stored just now, so a little is allowed to be done twice.
        faults += died + (computed > 1.25 * IMAGES)
    return faults


def fill_slowly(folder: Path, process: int) -> None:
    images = some_images(IMAGES)
    computer = Computer(images, WIDTH)

    def slowly(positions: Positions) -> "np.ndarray":
        time.sleep(0.05)
        return computer(positions)

    told: list[str] = []
    store = Store(folder / "cache", max_bytes=10**9, warn=told.append)
    rows, _ = store.open(key()).fill(images, slowly, block=BLOCK)
    assert np.array_equal(rows.take(np.arange(IMAGES)).numpy(), true_rows(images, WIDTH).numpy())
    assert not told, told
    (folder / f"computed{process}").write_text(str(len(computer.computed)))


def evict(root: Path, *, seconds: float) -> int:
    """Let two write and three read, while two remove; return how many failed or died of a signal."""
    until = time.monotonic() + seconds
    works = [write_on, write_on, read_on, read_on, read_on, prune_on, clear_on]
    pids = [fork(partial(work, root, until)) for work in works]
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    signals = [os.WTERMSIG(status) for status in statuses if os.WIFSIGNALED(status)]
    failed = sum(status != 0 for status in statuses)
    print(f"{len(works)} processes for {seconds:g} s: {failed} failed, signals {signals}", flush=True)
    return failed


def write_on(root: Path, until: float) -> None:
    while time.monotonic() < until:
        fill_and_check(root)


def read_on(root: Path, until: float) -> None:
    """Open rows, dwell, and read them when their files may be long gone."""
    images = some_images(IMAGES)
    truth = true_rows(images, WIDTH)
    while time.monotonic() < until:
        told: list[str] = []
        rows = Store(root, max_bytes=10**9, warn=told.append).open(key()).find(images)
        there = np.flatnonzero(rows.entry_of >= 0)
        for _ in range(5):
            time.sleep(0.005)
            for part in np.array_split(there, 4):
                assert np.array_equal(rows.take(part).numpy(), truth[part].numpy())
        assert not told, told


def prune_on(root: Path, until: float) -> None:
    while time.monotonic() < until:
        Store(root, max_bytes=10**9).prune(2 * BLOCK * WIDTH * 4)
        time.sleep(0.01)


def clear_on(root: Path, until: float) -> None:
    while time.monotonic() < until:
        Store(root, max_bytes=10**9).clear()
        time.sleep(0.05)


def fill_and_check(root: Path) -> None:
    images = some_images(IMAGES)
    told: list[str] = []
    store = Store(root, max_bytes=10**9, warn=told.append)
    rows, _ = store.open(key()).fill(images, Computer(images, WIDTH), block=BLOCK)
    assert np.array_equal(rows.take(np.arange(IMAGES)).numpy(), true_rows(images, WIDTH).numpy())
    assert not told, told


def key() -> CutKey:
    return a_key(shape=(WIDTH,))


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - told, and the process ends
        traceback.print_exc()
    os._exit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["share", "evict"], nargs="+")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--plant", choices=list(PLANTS))
    arguments = parser.parse_args()
    if arguments.plant:
        PLANTS[arguments.plant]()
    with tempfile.TemporaryDirectory() as folder:
        faults = 0
        if "share" in arguments.what:
            faults += share(Path(folder), times=arguments.times)
        if "evict" in arguments.what:
            faults += evict(Path(folder) / "evict", seconds=arguments.seconds)
        if arguments.plant:  # which may have taken away how folders are removed
            os._exit(faults > 0)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
