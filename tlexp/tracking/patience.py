"""How long a tracking store may hold somebody up, all in all."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.secrets import masked, public_uri
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.store import PROBE_SECONDS, Pulse, sqlite_path

T = TypeVar("T")
RUN_SECONDS: float = TrackingConfig.wait_seconds
"""Of one run, or of a question."""
SWEEP_SECONDS = 10.0
"""A sweep's ending waits so long; it comes once in many runs."""
_FIRST_SHARE = 0.25
"""Of a budget, for a first answer: a server that many sweeps end in at once is slow, but not away."""
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 0.25
"""How often a file is looked at, which takes its lock for a moment."""


class Patience:
    """One budget of seconds for all that is waited for in a store.

    A server is waited for as long as the budget lasts, whatever it does meanwhile. A file is waited for as long as it
    shows signs of life: then it is other processes of this machine that are at work.

    Args:
        uri: Absolute tracking URI.
        seconds: The budget.
        file_seconds: So long a file may be in other processes' hands before it counts as stuck.
        clock: Returns seconds.
    """

    def __init__(
        self, uri: str, *, seconds: float, file_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds, self.left = seconds, seconds
        self._pulse = Pulse(uri, file_seconds=file_seconds)
        self._is_file = sqlite_path(uri) is not None
        self._clock = clock

    def asks(self) -> bool:
        """Return whether the store answers a first question."""
        began = self._clock()
        answered = self._pulse.beats(min(max(PROBE_SECONDS, self.seconds * _FIRST_SHARE), self.left))
        if not self._is_file:
            self.left -= self._clock() - began
        return answered

    def outlasts(self, done: threading.Event, *, at_store: Callable[[], bool] = lambda: True) -> bool:
        """Wait until something is done, as long as the budget lasts; return whether it was done.

        Args:
            done: Set when it is.
            at_store: Whether whoever works on it is waiting for the store at the moment; other time is free.
        """
        while not done.is_set() and (self._is_file or self.left > 0):
            began = self._clock()
            if done.wait(_LOOK_SECONDS if self._is_file else min(_POLL_SECONDS, self.left)):
                break
            if self._is_file and not self._pulse.beats(PROBE_SECONDS):
                return done.is_set()
            if not self._is_file and at_store():
                self.left -= self._clock() - began
        return done.is_set()


def attempt(uri: str, work: Callable[[], T], *, seconds: float = RUN_SECONDS, file_seconds: float = 0.0) -> T:
    """Return what the work gives. It is done in a thread of its own, for a store's client cannot be interrupted.

    What hangs in the store is left behind.

    Args:
        uri: Absolute tracking URI.
        work: What to do in the store; it may raise whatever a store's client raises.
        seconds: So long a server is waited for.
        file_seconds: So long a store that is a file may be in other processes' hands before it counts as away.

    Raises:
        TrackingError: The store is away or refuses.
    """
    patience = Patience(uri, seconds=seconds, file_seconds=file_seconds)
    where = f"tracking store {public_uri(uri)}"
    if not patience.asks():
        raise TrackingError(f"{where} does not answer")
    load_mlflow()  # in this thread, because imports in two threads at once are dangerous
    results: list[T] = []
    errors: list[Exception] = []
    done = threading.Event()

    def attempted() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=attempted, name="tlexp-store", daemon=True).start()
    if not patience.outlasts(done):
        raise TrackingError(f"{where} does not answer any more")
    if errors and isinstance(errors[0], TrackingError):
        raise errors[0]
    if errors:
        raise TrackingError(f"{where} refuses ({first_line(errors[0])})") from errors[0]
    return results[0]


def first_line(error: Exception) -> str:
    """Return the first line of an error, without secrets and at most 200 characters."""
    lines = masked(str(error)).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
