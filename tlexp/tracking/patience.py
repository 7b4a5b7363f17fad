"""Work in a tracking store that is waited for only as long as the store shows signs of life."""

import threading
from collections.abc import Callable
from typing import TypeVar

from tlexp.errors import TrackingError
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.store import PROBE_SECONDS, Pulse, public_uri

T = TypeVar("T")
SWEEP_SECONDS = 10.0
"""A sweep's ending waits so long for a file that many sweeps write at once; it comes once in many runs."""


def attempt(uri: str, work: Callable[[], T], *, file_seconds: float = 0.0) -> T:
    """Return what the work gives. It is done in a thread of its own, for a store's client cannot be interrupted.

    A store that is away costs under a second; what hangs in it is left behind.

    Args:
        uri: Absolute tracking URI.
        work: What to do in the store; it may raise whatever a store's client raises.
        file_seconds: So long a store that is a file may be in other processes' hands before it counts as away.

    Raises:
        TrackingError: The store is away or refuses.
    """
    pulse = Pulse(uri, file_seconds=file_seconds)
    where = f"tracking store {public_uri(uri)}"
    if not pulse.beats(PROBE_SECONDS):
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
    if not pulse.outlasts(done):
        raise TrackingError(f"{where} does not answer any more")
    if errors:
        raise TrackingError(f"{where} refuses ({first_line(errors[0])})") from errors[0]
    return results[0]


def first_line(error: Exception) -> str:
    """Return the first line of an error, at most 200 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
