"""Who works on a job that was submitted: numbered leases in its folder, of which the last counts. No clock is compared.

<job>/leases/<number>/lease.json   beat: renewed while its holder lives; over: not to begin again; left: holder ended

A lease is taken by making its folder, which one process alone can do, on shared folders too. A scheduler may start a
job again: each time it takes the next lease. Who gives a job up takes the next one as well, so that it cannot begin.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tlexp.jsonfile import from_json, read_json
from tlexp.paths import publish_json
from tlexp.tracking import names
from tlexp.tracking.environment import is_alive

LEASES = "leases"
BEAT_SECONDS = 5.0
LAPSE_SECONDS = 60.0
"""Without a beat for so long, by the clock of who looks, a holder is taken for dead."""
_FILE = "lease.json"


@dataclass(frozen=True, kw_only=True)
class Beat:
    """lease.json.

    Attributes:
        beat: How often it was renewed.
        over: The job is done, or given up: it is not to begin again.
        left: Its holder ended by itself, asked by a signal; the scheduler may start the job again.
    """

    beat: int = 0
    over: bool = False
    left: bool = False


class Lease:
    """A lease that this process holds; as a context manager it is renewed by a thread.

    Attributes:
        lost: Whether another process took the next one: this one was taken for dead, or given up.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.lost = False
        self._folder, self._number, self._state = folder, number, Beat()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._write()

    def end(self, *, over: bool) -> None:
        """Say that this process ends its work; `over` if the job is not to begin again."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._state = Beat(beat=self._state.beat, over=over, left=True)
        self._write()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self.lost = self.lost or _place(self._folder, self._number + 1).exists()
            self._state = Beat(beat=self._state.beat + 1)
            self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # the disk may be full for a while; a beat that is missed is no end
            publish_json(_place(self._folder, self._number) / _FILE, asdict(self._state), indent=None)


def take_lease(folder: Path) -> Lease | None:
    """Return a lease on a job; None where it is over, was given up, or begins elsewhere in this moment.

    Args:
        folder: Of the job.
    """
    number = last_lease(folder)
    state = read_lease(folder, number)
    if not folder.is_dir() or (state is not None and state.over):
        return None
    return Lease(folder, number + 1) if _make(folder, number + 1) else None


def give_up(folder: Path) -> bool:
    """Let nobody begin a job any more, and who works on it stop; return whether it did not begin in this moment."""
    number = last_lease(folder) + 1
    if not _make(folder, number):
        return False
    publish_json(_place(folder, number) / _FILE, asdict(Beat(over=True)), indent=None)
    return True


def _place(folder: Path, number: int) -> Path:
    return folder / LEASES / f"{number:03d}"


def _make(folder: Path, number: int) -> bool:
    """Make a lease's folder; return whether it was this process that did."""
    try:
        _place(folder, number).mkdir(parents=True)
    except OSError:  # also where the job's own folder is gone in this moment
        return False
    return True


def last_lease(folder: Path) -> int:
    """Return the number of a job's last lease; 0 where it never began."""
    return max((int(path.name) for path in folder.glob(f"{LEASES}/*")), default=0)


def read_lease(folder: Path, number: int) -> Beat | None:
    """Return what a lease says; None where there is none, or it was taken in this moment."""
    try:
        return from_json(Beat, read_json(_place(folder, number) / _FILE), "it")
    except (OSError, ValueError, TypeError):
        return None


class LeaseWatch:
    """Looks at a job's leases, again and again, by the clock of this process.

    Args:
        folder: Of the job.
        clock: Tells seconds.

    Attributes:
        number: Of the last lease; 0 where the job never began.
        state: What it says; None where that cannot be read.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.number: int = 0
        self.state: Beat | None = None
        self._folder, self._clock, self._since = folder, clock, clock()

    def look(self) -> None:
        """Look at what is there now."""
        number = last_lease(self._folder)
        state = read_lease(self._folder, number)
        if (number, state) != (self.number, self.state):
            self.number, self.state, self._since = number, state, self._clock()

    @property
    def lapsed(self) -> bool:
        """Whether nothing has changed for too long."""
        return self._clock() - self._since > LAPSE_SECONDS

    @property
    def silent(self) -> bool:
        """Whether its holder is dead or, where that cannot be known from here, nothing has changed for too long."""
        alive = _lives(self._folder)
        return alive is False or (alive is None and self.lapsed)


def _lives(folder: Path) -> bool | None:
    """Return whether the process that works on a job still runs; None where that cannot be known from here."""
    try:
        return is_alive(read_json(folder / names.PROCESS_FILE))
    except (OSError, ValueError):
        return None
