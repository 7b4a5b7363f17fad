"""A sweep's place in the tracking store; nothing here fails a sweep."""

from pathlib import Path

from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.sweep.progress import say
from tlexp.sync import sync
from tlexp.tracking import absolute_uri, ensure_store
from tlexp.tracking.stale import close_dead_runs


class TrackedSweep:
    """The runs of one sweep in its tracking store.

    Args:
        folder: Of the sweep.
        tracking: What all its runs share.
    """

    def __init__(self, folder: Path, tracking: TrackingConfig) -> None:
        self._folder, self._tracking = folder, tracking
        self._is_there = not tracking.enabled
        self._closed = 0

    def ensure(self) -> None:
        """Make the store, once and before anything is launched: runs that start together would break it."""
        if self._is_there:
            return
        self._is_there = True
        try:
            ensure_store(absolute_uri(self._tracking.uri))
        except TrackingError as error:
            say(f"note: {error}")

    def close_dead(self) -> None:
        """Close the runs that dead processes left open."""
        if self._tracking.enabled:
            self._closed += len(close_dead_runs(self._tracking.uri, experiment=self._tracking.experiment))

    def mend(self) -> None:
        """Write runs that have a record, but were not whole in the store, into it again."""
        self.close_dead()  # those of workers that gave up on a busy store
        if self._closed:
            try:
                sync([self._folder], uri=None, experiment=None)
            except TrackingError as error:
                say(f"note: {error}")
