"""`tlexp sync`: write runs into a tracking store that was away, from their records.

A folder may be anybody's. The store that a record names is not asked for on its word, links are not followed, and a
folder that cannot be written does not stop the others.
"""

import os
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.errors import TrackingError
from tlexp.secrets import public_uri, without_login
from tlexp.terminal import short_path
from tlexp.tracking.names import OVERVIEW_FILE, RECORD_FILE
from tlexp.tracking.overview import Overview, read_overview, replay_sweep
from tlexp.tracking.patience import attempt, first_line
from tlexp.tracking.projection import replay
from tlexp.tracking.record import Record, left_out, read_record
from tlexp.tracking.stale import close_dead_runs
from tlexp.tracking.stated import foreign_store, require_stated
from tlexp.tracking.store import Pulse, absolute_uri, ensure_store

_DEPTH = 4
_PROBE_SECONDS = 20.0
_HERE = ""
"""Stands for the store that runs are written into."""


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What came of it.

    Attributes:
        store: Where they were written to.
        written: Runs that were missing and are there now.
        present: Runs that were there already.
        untracked: Runs made with tracking=off, which are not written.
        closed: Ids of the runs that dead processes had left open there.
        shown: Sweeps and studies whose own runs were missing, or held an earlier state.
        broken: Records that cannot be replayed, and why.
        elsewhere: Of each store that records alone have named: how many runs, and what writes them there.
        left_out: Folders of runs that were written without some of their files, which no record vouches for.
    """

    store: str
    written: int
    present: int
    untracked: int
    closed: tuple[str, ...]
    shown: int
    broken: tuple[tuple[Path, str], ...]
    elsewhere: tuple[tuple[int, str], ...]
    left_out: tuple[tuple[Path, tuple[str, ...]], ...]


def sync(folders: Sequence[Path], *, uri: str | None, experiment: str | None) -> SyncReport:
    """Write every run below the folders that the store does not have; a second time there is nothing left to do.

    So are the own runs of sweeps and studies, which hold their tables and plots. Runs that were made with
    tracking=off stay out. Runs that dead processes left open there are closed; those that have a record were
    written again before.

    Args:
        folders: Runs' folders, or folders that hold them up to four levels down; missing ones are passed over.
        uri: Tracking URI; None takes the one that a run started here takes by default, and leaves out records that ask
            for another one: what they say is anybody's word, and their files would go there.
        experiment: Name of the MLflow experiment; None takes the one that each run asked for.

    Raises:
        TrackingError: None of the folders exists, or the store is away or cannot be used.
    """
    if not any(folder.is_dir() for folder in folders):
        raise TrackingError(
            f"no such folder: {', '.join(map(str, folders))}: name folders of runs, e.g. tlexp sync outputs"
        )
    replayed = _Replayed(uri, experiment)
    for path in _find(folders, (RECORD_FILE, OVERVIEW_FILE)):
        try:
            if path.name == RECORD_FILE:
                replayed.add(path.parent, read_record(path))
            else:
                replayed.show(path.parent, read_overview(path))
        except _AwayError:
            raise
        except TrackingError as error:
            replayed.leave(path, str(error))
        except Exception as error:  # noqa: BLE001 - a folder may hold anything, and is no reason to leave others out
            replayed.require_store(path.parent, error)
            replayed.leave(path, first_line(error))
    return replayed.report(folders)


class _AwayError(TrackingError):
    """The store does not answer, which concerns all runs."""


class _Replayed:
    """What has been written so far; the store is asked for with the first run.

    Args:
        uri: Tracking URI that the user named.
        experiment: Name of the experiment that the user named.
    """

    def __init__(self, uri: str | None, experiment: str | None) -> None:
        self._stated, self._experiment = uri, experiment
        self._store = absolute_uri(uri)
        self._reached = False
        if uri is not None:
            self._reach()
        self._experiments: set[str] = set()
        self._written = self._present = self._untracked = self._shown = 0
        self._asked: dict[Path, str | None] = {}
        self._broken: list[tuple[Path, str]] = []
        self._left_out: list[tuple[Path, tuple[str, ...]]] = []

    def add(self, folder: Path, record: Record) -> None:
        """Write a run, if the store does not have it.

        Raises:
            TrackingError: It cannot be replayed.
            Exception: Whatever a store's client raises.
        """
        if record.data is None:  # it ended before its images were known, and was never tracked
            return
        require_stated(record.config)
        if not record.config["tracking"]["enabled"]:
            self._untracked += 1
            return
        tracking = record.config["tracking"]
        self._asked[folder] = self._elsewhere(tracking["uri"]) or _HERE
        if self._asked[folder] != _HERE:
            return
        experiment = str(self._experiment or _plain(tracking["experiment"], "experiment"))
        self._reach()
        self._experiments.add(experiment)
        if not replay(record, folder, uri=self._store, experiment=experiment):
            self._present += 1
            return
        self._written += 1
        if left := left_out(folder, record):
            self._left_out.append((folder, left))

    def show(self, folder: Path, overview: Overview) -> None:
        """Show a sweep or a study, if the store does not in this state.

        Raises:
            TrackingError: It cannot be shown.
            Exception: Whatever a store's client raises.
        """
        if self._elsewhere(overview.uri):
            return  # its runs are told of
        experiment = str(self._experiment or _plain(overview.experiment, "experiment"))
        self._reach()
        self._shown += replay_sweep(overview, folder, uri=self._store, experiment=experiment)

    def leave(self, path: Path, reason: str) -> None:
        """Hear of a record that cannot be replayed; which store its run is for may not be known."""
        self._broken.append((path, reason))
        if path.name == RECORD_FILE:
            self._asked.setdefault(path.parent, None)

    def require_store(self, folder: Path, error: Exception) -> None:
        """Go on after an error if the store still answers a question: then the fault is the run's.

        Raises:
            TrackingError: It does not.
        """
        if not self._reached:
            return
        try:
            attempt(self._store, lambda: _ask(self._store), seconds=_PROBE_SECONDS)
        except TrackingError:
            raise TrackingError(
                f"tracking store {public_uri(self._store)} refused {folder} after {self._written} runs were written "
                f"({first_line(error)}): run tlexp sync again once the store is well; it goes on where it stopped"
            ) from error

    def report(self, folders: Sequence[Path]) -> SyncReport:
        """Return what came of it, after closing what dead processes left open.

        Args:
            folders: That were asked for.
        """
        closed = [run for name in sorted(self._experiments) for run in close_dead_runs(self._store, experiment=name)]
        return SyncReport(
            store=public_uri(self._store),
            written=self._written,
            present=self._present,
            untracked=self._untracked,
            closed=tuple(closed),
            shown=self._shown,
            broken=tuple(self._broken),
            elsewhere=tuple(
                (list(self._asked.values()).count(store), _way_out(store, self._asked, folders))
                for store in dict.fromkeys(self._asked.values())
                if store not in (_HERE, None)
            ),
            left_out=tuple(self._left_out),
        )

    def _elsewhere(self, asked: str | None) -> str | None:
        """Return the store that is asked for, without a password, where it is another one and nobody here named it.

        Raises:
            TrackingError: It came from an environment variable, which is not kept.
        """
        if self._stated is not None:
            return None
        _plain(None if asked is None else without_login(asked), "uri")
        return foreign_store(asked, self._store)

    def _reach(self) -> None:
        """Make sure, once, that the store answers.

        Raises:
            TrackingError: It does not, or cannot be used.
        """
        if self._reached:
            return
        if not Pulse(self._store).beats(_PROBE_SECONDS):
            raise _AwayError(
                f"tracking store {public_uri(self._store)} does not answer: start it, or name another with --uri"
            )
        ensure_store(self._store)
        self._reached = True


def _plain(value: str | None, field: str) -> str | None:
    """Return what a run's configuration says of its tracking store.

    Raises:
        TrackingError: It came from an environment variable, which records do not hold.
    """
    if value is not None and "${" in value:
        raise TrackingError(f"its tracking.{field} came from {value}, which is not logged: name it with --{field}")
    return value


def _way_out(store: str, asked: Mapping[Path, str | None], folders: Sequence[Path]) -> str:
    """Return the one command that writes runs into the store that they ask for, and no others.

    Args:
        store: In words.
        asked: The store of each run's folder; None where it is not known.
        folders: That were asked for; above them there may be still others.
    """
    roots = {folder.resolve() for folder in folders}
    runs = [folder for folder, wanted in asked.items() if wanted == store]
    others = {above for folder in asked.keys() - runs for above in (folder, *folder.parents)}
    places: dict[Path, None] = {}
    for run in runs:
        ways = [run]
        while ways[-1] not in roots and ways[-1] != ways[-1].parent:
            ways.append(ways[-1].parent)
        places[next((way for way in reversed(ways) if way not in others), run)] = None
    command = shlex.join(["tlexp", "sync", *map(short_path, places), "--uri", store])
    asks = "1 run asks" if len(runs) == 1 else f"{len(runs)} runs ask"
    return (
        f"{asks} for tracking store {store}, and a record is not believed where files are to go: if that is where you "
        f"want them, {command}"
    )


def _ask(uri: str) -> None:
    """Ask the store something that every store can answer."""
    from mlflow import MlflowClient  # lazy: keeps --help fast

    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def find_records(folders: Sequence[Path]) -> list[Path]:
    """Return every record.json in the folders and up to four levels below them, sorted, each once.

    The folders may be links; below them none is followed.
    """
    return _find(folders, (RECORD_FILE,))


def _find(folders: Sequence[Path], wanted: Container[str]) -> list[Path]:
    return sorted({path for folder in folders for path in _files(folder.resolve(), wanted, _DEPTH)})


def _files(folder: Path, wanted: Container[str], depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # missing, or not to be read
        return
    for entry in entries:
        if entry.name in wanted and entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        elif depth and entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), wanted, depth - 1)
