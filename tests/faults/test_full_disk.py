"""A disk that is full from the k-th time on that something new is to be kept, for every k, and then has room again.

    python tests/faults/test_full_disk.py [run resume sweep study export cache] [--kinds] [--sample 30] [--seed 0]

Every command ends by saying so, nothing stands half-written under its final name, and typed again where there is room
it ends as if nothing had happened. What fails are the calls of the C library (full_disk.c), SQLite's among them; the
commands are forks of one process. `--kinds` takes the first and the last k of each kind: the same call on files of the
same name, numbers and keys apart; `--sample` draws so many of the k. `--plant plain_write` puts a bug in, which the
harness must catch. The default run takes a few k.
"""

import argparse
import ctypes
import fcntl
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image
from safetensors import safe_open

from tests.faults.forks import Fork, begin, finish
from tests.faults.test_damaged_files import KILLED, RUN, STUDY, TINY, kept
from tests.faults.test_kill_study import undrawn
from tests.faults.test_kill_sweep import plain_write, replace
from tlexp.errors import TrackingError
from tlexp.paths import publish
from tlexp.tracking import ensure_store, read_record

SHIM = Path(__file__).with_name("full_disk.c")
FOUND = 3
"""Exit status: the harness did its work and found a fault."""
FEW = ["run", "--few", "2"]
"""What the default run takes: so many k, spread over all of them."""
HYDRA_S = (".hydra", "mlruns")
"""Folders of files that the libraries write in place."""


@dataclass(frozen=True)
class Command:
    """What is typed, and what shows that it came to a good end."""

    words: list[str]
    made: str

    def results(self, folder: Path) -> list[bytes]:
        """Return what was made; attempts that failed late have made the same before."""
        return sorted({path.read_bytes() for path in folder.glob(self.made)})


SMALL = [*TINY, "train.checkpoint_seconds=0.0001", "tracking.figures=false"]
COMMANDS = {
    "run": Command([*SMALL, "labels=2", "tracking=mlflow", "hydra.run.dir=outputs/new"], "outputs/new/predictions.npz"),
    "resume": Command([f"resume={KILLED}", "hydra.run.dir=outputs/again"], "outputs/again/predictions.npz"),
    "sweep": Command(["-m", *SMALL, "labels=2,4", "hydra.sweeper.name=swept"], "multirun/swept/results.csv"),
    "study": Command(STUDY, "multirun/asked/runs/*/*/predictions.npz"),
    "export": Command(["export", RUN, "out"], "out/model.safetensors"),
    "cache": Command(
        [*SMALL, "labels=4", "freeze=all", "cache=on", "cache.dir=kept", "hydra.run.dir=outputs/new"],
        "outputs/new/predictions.npz",
    ),
}


def torn(folder: Path) -> Iterator[str]:
    """Yield the files of a folder that are not whole, and those that are left over."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or set(relative.parts) & set(HYDRA_S):
            continue
        try:
            assert path.suffix != ".tmp", "left over"
            WHOLE.get(path.suffix, lambda _: None)(path)
        except Exception as error:  # noqa: BLE001 - each kind of file has its own
            yield f"{relative}: {type(error).__name__}: {error}"


def _lines(path: Path) -> None:
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content, "torn"
    for line in content.splitlines():
        json.loads(line)


def _arrays(path: Path) -> None:
    with np.load(path) as stored:
        [stored[name] for name in stored]


def _tensors(path: Path) -> None:
    with safe_open(path, framework="np") as stored:
        [stored.get_tensor(name) for name in stored.keys()]  # noqa: SIM118


def _ends(mark: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        assert path.read_bytes().endswith(mark), "torn"

    return check


def _database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


WHOLE: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".jsonl": _lines,
    ".npz": _arrays,
    ".safetensors": _tensors,
    ".csv": _ends(b"\n"),
    ".md": _ends(b"\n"),
    ".html": _ends(b"</html>\n"),
    ".png": lambda path: Image.open(path).load(),
    ".db": _database,
}


class Disk:
    """A folder with what the named commands need, and the C library that counts what is kept in it."""

    def __init__(self, root: Path, names: list[str], plant: Callable[[], None], store: Path | None) -> None:
        self.root, self._plant, self._number = root, plant, 0
        self._library = ctypes.CDLL(None)
        self.start = root / "start"
        self.start.mkdir()
        if store is not None:
            shutil.copy(store, self.start / "mlflow.db")
        ensure_store(f"sqlite:///{self.start / 'mlflow.db'}")
        if "export" in names:
            finish(self.start, *TINY, "labels=2", "tracking.figures=false", f"hydra.run.dir={RUN}")
        if "resume" in names:
            finish(self.start, *SMALL, "labels=2", f"hydra.run.dir={KILLED}", first=kept)
            (self.start / KILLED / "record.json").unlink()

    def copy(self) -> Path:
        self._number += 1
        return Path(shutil.copytree(self.start, self.root / str(self._number)))

    def begin(self, folder: Path, words: list[str], k: int, listed: int = -1) -> Fork:
        """Begin a command for which the disk is full from the k-th time on; 0: it never is.

        Args:
            folder: Where; what is kept elsewhere does not count.
            words: Of the command.
            k: As said.
            listed: Descriptor of a file that is told of each time, call and path.
        """

        def arm() -> None:
            undrawn()
            self._plant()
            self._library.full_disk_arm(str(folder).encode(), ctypes.c_long(k), listed)

        return begin(folder, *words, first=arm)

    def calls(self, command: Command) -> tuple[list[str], list[bytes]]:
        """Return each time that a command keeps something, call and path, and what it makes."""
        folder = self.copy()
        with (self.root / "listed").open("w+") as file:
            high = fcntl.fcntl(file, fcntl.F_DUPFD, 900)  # no file of the command gets this number where it is closed
            fork = self.begin(folder, command.words, 0, high)
            assert fork.ended() == 0, fork.errors
            os.close(high)
            file.seek(0)
            kept = file.read().splitlines()
        assert not [*torn(folder)]
        found = command.results(folder)
        assert found
        shutil.rmtree(folder)
        return kept, found

    def faults(self, name: str, k: int, wanted: list[bytes]) -> Iterator[str]:
        """Fill the disk at the k-th time; make room, and type the command again."""
        command, folder = COMMANDS[name], self.copy()
        fork = self.begin(folder, command.words, k)
        status, shown = fork.ended(), fork.shown + fork.errors
        if status not in (0, 2, 3) or "Traceback" in shown or "internal error" in shown:
            yield f"{name} {k}: ended with {status}: {shown[-600:]}"
        if status == 2 and "No space left" not in shown and "no space left" not in shown:
            yield f"{name} {k}: does not say that the disk is full: {shown[-600:]}"
        yield from (f"{name} {k}: {each}" for each in torn(folder))
        for run in ("new", "again"):
            if status != 0 and (folder / "outputs" / run).exists():
                (folder / "outputs" / run).rename(folder / "outputs" / f"{run}-full")
        if name == "export" and status != 0:
            shutil.rmtree(folder / "out", ignore_errors=True)
        if status != 0:
            again = self.begin(folder, command.words, 0)
            if again.ended() != 0:
                yield f"{name} {k}: does not go on: {again.errors[-600:]}"
            yield from (f"{name} {k}, then with room: {each}" for each in torn(folder))
        if command.results(folder) != wanted:
            yield f"{name} {k}: ends otherwise"
        for path in folder.rglob("record.json"):
            try:
                read_record(path)
            except TrackingError as error:
                yield f"{name} {k}: {error}"
        shutil.rmtree(folder)


def of_each_kind(kept: list[str]) -> list[int]:
    """Return the first and the last k of each kind, sorted.

    >>> of_each_kind(["write runs/1/metrics.jsonl", "write runs/1/metrics.jsonl", "write runs/2/metrics.jsonl"])
    [1, 3]
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for k, line in enumerate(kept, start=1):
        kind = re.sub(r"[0-9a-f]{6,}|\d+", "#", line)
        last[kind] = k
        first.setdefault(kind, k)
    return sorted({*first.values(), *last.values()})


def chosen(kept: list[str], options: argparse.Namespace) -> Sequence[int]:
    """Return the k that are tried."""
    if options.few:
        return range(1 + len(kept) // (2 * options.few), len(kept) + 1, max(1, len(kept) // options.few))
    ks = of_each_kind(kept) if options.kinds else range(1, len(kept) + 1)
    return sorted(random.Random(options.seed).sample(ks, options.sample)) if 0 < options.sample < len(ks) else ks


def harness(disk: Disk, names: list[str], options: argparse.Namespace) -> int:
    """Go through the k of some commands; return how many faults that found."""
    faults = 0
    for name in names:
        kept, wanted = disk.calls(COMMANDS[name])
        ks, began, found = chosen(kept, options), spent(), 0
        for fault in (fault for k in ks for fault in disk.faults(name, k, wanted)):
            print(f"  {fault}", flush=True)
            found += 1
        kinds = f" ({len(of_each_kind(kept))} first and last of their kinds)"
        print(f"{name}: {len(ks)} full disks of {len(kept)}{kinds}, {found} faults, {spent() - began:.0f} s of the CPU")
        faults += found
    return faults


def spent() -> float:
    """Return the seconds of the CPU that this process and all that it waited for took."""
    return sum(os.times()[:4])


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that counts; skipped where nothing can be compiled or loaded first."""
    return compiled(tmp_path_factory.mktemp("shim"))


def compiled(folder: Path) -> Path:
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux")
    library = folder / "full_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


def program(shim: Path, *words: str, shown: bool = False) -> subprocess.CompletedProcess[str]:
    """Run this file with the library loaded first."""
    environment = os.environ | {"LD_PRELOAD": str(shim)}
    return subprocess.run([sys.executable, __file__, *words], env=environment, capture_output=not shown, text=True)


def test_a_few_full_disks(shim: Path, ready_store: Path) -> None:
    done = program(shim, *FEW, "--store", str(ready_store))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_full_disk_of_each_kind(shim: Path) -> None:
    done = program(shim, "--kinds")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_harness_catches_a_planted_bug(shim: Path) -> None:
    done = program(shim, *FEW, "--plant", "plain_write")
    assert done.returncode == FOUND, done.stdout + done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--kinds", action="store_true", help="the first and the last of each kind")
    parser.add_argument("--sample", type=int, default=0, help="draw so many of the k")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument("--few", type=int, default=0, help="so many k in place of all, spread evenly")
    parser.add_argument("--plant", choices=["plain_write"])
    parser.add_argument("--store", type=Path, help="a tracking store to begin with, for making one takes seconds")
    options = parser.parse_args()
    plant = (lambda: replace(publish, plain_write)) if options.plant else (lambda: None)
    names = options.commands or list(COMMANDS)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        if hasattr(ctypes.CDLL(None), "full_disk_arm"):
            disk = Disk(root, names, plant, options.store)
            faults = harness(disk, names, options)
            sys.exit(FOUND if faults else 0)
        sys.exit(program(compiled(root), *sys.argv[1:], shown=True).returncode)


if __name__ == "__main__":
    main()
