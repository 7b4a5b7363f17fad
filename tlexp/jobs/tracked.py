"""A sweep's place in the tracking store; nothing here fails a sweep."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.jobs.outcome import JobOutcome
from tlexp.jobs.progress import say
from tlexp.secrets import masked
from tlexp.terminal import short_path
from tlexp.tracking import absolute_uri, ensure_store
from tlexp.tracking.mlflow import told_command
from tlexp.tracking.patience import attempt
from tlexp.tracking.projection import whole_runs
from tlexp.tracking.stale import close_dead_runs
from tlexp.tracking.store import sqlite_path
from tlexp.tracking.sync import sync

_TRIES = 3
"""A store that many sweeps end in at once may be busy the first time."""


class TrackedSweep:
    """The runs of one sweep in its tracking store.

    Args:
        folder: Of the sweep.
        tracking: What all its runs share.
    """

    def __init__(self, folder: Path, tracking: TrackingConfig) -> None:
        self._folder, self._tracking = folder, tracking
        self._is_there = not tracking.enabled

    def ensure(self) -> None:
        """Make the store, once and before anything is launched: runs that start together would break it."""
        if self._is_there:
            return
        self._is_there = True
        uri = absolute_uri(self._tracking.uri)
        try:
            if sqlite_path(uri) is not None:
                attempt(uri, lambda: ensure_store(uri))
        except TrackingError as error:
            say(f"note: {error}")

    def close_dead(self, *, own: bool = False) -> None:
        """Close the runs that dead processes left open; with `own` those that this process gave up on as well."""
        if self._tracking.enabled:
            close_dead_runs(self._tracking.uri, experiment=self._tracking.experiment, own=own)

    def mend(self, runs: Sequence[JobOutcome]) -> None:
        """Write runs that are over, but not whole in the store, into it: a kill or a busy store left them so."""
        if not self._tracking.enabled:
            return
        uri, experiment, mended = self._tracking.uri, self._tracking.experiment, set[Path]()
        # What ended before its images were known was never to be tracked.
        folders = [run.folder for run in runs if run.folder and run.record and run.record.data]
        again = f"tlexp sync {shlex.quote(str(self._folder))}"
        try:
            again = told_command(f"tlexp sync {shlex.quote(short_path(self._folder))}", absolute_uri(uri))
            for left in reversed(range(_TRIES + 1)):
                self.close_dead(own=True)
                whole = whole_runs(uri, experiment=experiment, study=self._folder.resolve().name)
                torn = [folder for folder in folders if masked(folder.name) not in whole]
                if not torn or not left:
                    break
                sync(torn, uri=absolute_uri(uri), experiment=experiment)  # records hold no password
                mended.update(torn)
        except (TrackingError, OSError) as error:
            say(f"note: {error}, and may lack runs: {again}")
            return
        if torn:
            say(f"note: {len(torn)} of {len(folders)} runs are not whole in the tracking store: {again}")
        elif mended:
            say(f"note: the tracking store has all runs by now, {len(mended)} of {len(folders)} written at the end")
