"""Commands in forks of this process, which has done the imports: those are nearly all of a small command's time.

From `cli.main` on all is as ever, but that the options were composed before the fork. Signals, kills, locks and files
are those of real processes, and so are the workers of a sweep.
"""

import contextlib
import faulthandler
import functools
import gc
import importlib
import itertools
import os
import runpy
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.composed import foresee, share
from tlexp import cli

ROOT = Path(__file__).resolve().parents[2]
PATIENT = 3000.0
"""Seconds that a command may take where time is not what is tested: each test has its own limit, a harness none."""

_WRITERS_SECONDS = 60.0
_HANGS_SECONDS = 280.0
"""Just below the limit of a test: what runs then shows where it is, in what it has printed."""


@dataclass
class Fork:
    """A command that has begun, in a process group of its own."""

    pid: int
    folder: Path

    def ended(self, seconds: float = PATIENT) -> int | None:
        """Return the exit status, or the signal that killed it as a negative number; None while it runs on."""
        try:
            return wait(self.pid, seconds)
        except BaseException:  # the limit of the test: what it was at stands below
            print(self.errors)
            raise

    @property
    def shown(self) -> str:
        return (self.folder / "shown.txt").read_text()

    @property
    def errors(self) -> str:
        return (self.folder / "errors.txt").read_text()


def begin(folder: Path, *words: str, first: Callable[[], None] = lambda: None) -> Fork:
    """Begin a command in a folder; `first` is called before it."""
    import_all()
    foresee(words)
    _outwait_writers()
    pid = os.fork()
    with contextlib.suppress(PermissionError):
        os.setpgid(pid, pid)  # by both: it may be killed before it has come so far
    if pid == 0:
        _command(folder, words, first)
    return Fork(pid, folder)


def _outwait_writers() -> None:
    """Wait for what a test before has left at work in threads: a fork has the locks that they hold, and not them."""
    for thread in threading.enumerate():
        if thread.name.startswith("tlexp-"):
            thread.join(_WRITERS_SECONDS)


def finish(folder: Path, *words: str, first: Callable[[], None] = lambda: None) -> Fork:
    """Let a command run to its end, which is a good one."""
    fork = begin(folder, *words, first=first)
    assert fork.ended() == 0, fork.errors
    return fork


def _command(folder: Path, words: tuple[str, ...], first: Callable[[], None]) -> NoReturn:
    """Be the command line in a folder; ends the process."""
    from joblib.externals.loky.backend import fork_exec

    status = 1
    try:
        _into(folder)
        faulthandler.dump_traceback_later(_HANGS_SECONDS, file=2)
        os.environ |= environment_of(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        warnings.simplefilter("ignore")
        importlib.import_module("tlexp.experiment.session").process_session.cache_clear()
        fork_exec.fork_exec = _fork_worker
        first()
        sys.argv = ["tlexp", *words]
        cli.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - a fork must never return into the tests
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@functools.cache
def import_all() -> None:
    """Import what a command and its workers import, so that forks find it there, and never look it over for garbage."""
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is loaded
    importlib.import_module("tlexp.tracking.library").load_mlflow()
    for name in (
        "joblib.externals.loky.backend.popen_loky_posix",
        "tlexp.experiment.run",
        "tlexp.cli.console",
        "tlexp.studies.study",
        "tlexp.studies.column",
        "tlexp.sweeps.sweeper",
        "tlexp.sweeps.results",
    ):
        importlib.import_module(name)
    share()
    gc.collect()
    gc.freeze()  # else every fork copies all of it, for collections write into what they pass over


def _into(folder: Path) -> None:
    """Work in a folder and write into files there."""
    os.chdir(folder)
    for stream, name in ((1, "shown.txt"), (2, "errors.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process lives
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _fork_worker(words: list[str], keep: list[int], env: dict[str, str] | None = None) -> int:
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


def await_checkpoints(pattern: Path, command: Fork, *, runs: int = 1) -> list[Path]:
    """Wait until so many runs have written a checkpoint; return their folders.

    Args:
        pattern: Where runs have their folders, with `*`.
        command: What makes them; it runs on.
        runs: How many are awaited.
    """
    relative = pattern.relative_to(command.folder) / "checkpoint" / "*.state.safetensors"
    for _ in range(2400):
        folders = sorted({path.parent.parent for path in command.folder.glob(str(relative))})
        if len(folders) >= runs:
            return folders
        assert command.ended(0.05) is None, command.errors
    raise AssertionError("no checkpoint within two minutes")


def wait(pid: int, seconds: float) -> int | None:
    """Return how a process ended; None while it runs on."""
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if ended else None


def kill_group(pid: int) -> None:
    """Kill a command with all its workers, and wait until they are gone."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for _ in range(100):
        if not list(_living(pid)):
            return
        time.sleep(0.05)


def _living(group: int) -> Iterator[int]:
    """Yield the processes of a group that are not dead yet."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            yield int(path.parent.name)
