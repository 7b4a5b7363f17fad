"""`tlexp sync`: write runs into a tracking store that was away, from their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.errors import TrackingError
from tlexp.tracking.names import RECORD_FILE
from tlexp.tracking.projection import replay
from tlexp.tracking.record import Record, read_record
from tlexp.tracking.stale import close_dead_runs
from tlexp.tracking.store import Pulse, absolute_uri, ensure_store, public_uri

_DEPTH = 4
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What came of it.

    Attributes:
        stores: Where they were written to.
        written: Runs that were missing and are there now.
        present: Runs that were there already.
        untracked: Runs made with tracking=off, which are not written.
        closed: Ids of the runs that dead processes had left open there.
        broken: Records that cannot be replayed, and why.
    """

    stores: tuple[str, ...]
    written: int
    present: int
    untracked: int
    closed: tuple[str, ...]
    broken: tuple[tuple[Path, str], ...]


def sync(folders: Sequence[Path], *, uri: str | None, experiment: str | None) -> SyncReport:
    """Write every run below the folders that the store does not have; a second time there is nothing left to do.

    Runs that were made with tracking=off stay out.

    Runs that dead processes left open there are closed; those that have a record were written again before.

    Args:
        folders: Runs' folders, or folders that hold them up to four levels down; missing ones are passed over.
        uri: Tracking URI; None takes the one that each run asked for.
        experiment: Name of the MLflow experiment; None takes the one that each run asked for.

    Raises:
        TrackingError: None of the folders exists, or the store is away or cannot be used.
    """
    if not any(folder.is_dir() for folder in folders):
        raise TrackingError(
            f"no such folder: {', '.join(map(str, folders))}: name folders of runs, e.g. tlexp sync outputs"
        )
    reached: dict[str | None, str] = {}
    if uri is not None:
        reached[uri] = _reach(uri)
    places: set[tuple[str, str]] = set()
    written, present, untracked = 0, 0, 0
    broken: list[tuple[Path, str]] = []
    for path in find_records(folders):
        try:
            record = read_record(path)
            if record.data is None:  # it ended before its images were known, and was never tracked
                continue
            if not record.config["tracking"]["enabled"]:
                untracked += 1
                continue
            name = experiment or _stated(record, "experiment")
            wanted = uri or _stated(record, "uri")
            if wanted not in reached:
                reached[wanted] = _reach(wanted)
            store = reached[wanted]
            places.add((store, str(name)))
            if replay(record, path.parent, uri=store, experiment=str(name)):
                written += 1
            else:
                present += 1
        except TrackingError as error:
            broken.append((path, str(error)))
        except Exception as error:
            raise TrackingError(
                f"tracking store {public_uri(store)} refused {path.parent} after {written} runs were written "
                f"({error}): run tlexp sync again once the store is well; it goes on where it stopped"
            ) from error
    stores = tuple(public_uri(store) for store in reached.values())
    closed = tuple(run for store, name in sorted(places) for run in close_dead_runs(store, experiment=name))
    return SyncReport(
        stores=stores, written=written, present=present, untracked=untracked, closed=closed, broken=tuple(broken)
    )


def _reach(uri: str | None) -> str:
    """Return the absolute URI of a store that answers.

    Raises:
        TrackingError: It does not, or cannot be used.
    """
    uri = absolute_uri(uri)
    if not Pulse(uri).beats(_PROBE_SECONDS):
        raise TrackingError(f"tracking store {public_uri(uri)} does not answer: start it, or name another with --uri")
    ensure_store(uri)
    return uri


def _stated(record: Record, field: str) -> str | None:
    """Return what a run's configuration says of its tracking store.

    Raises:
        TrackingError: It came from an environment variable, which records do not hold.
    """
    value: str | None = record.config["tracking"][field]
    if value is not None and value.startswith("${"):
        raise TrackingError(f"its tracking.{field} came from {value}, which is not logged: name it with --{field}")
    return value


def find_records(folders: Sequence[Path]) -> list[Path]:
    """Return every record.json in the folders and up to four levels below them, sorted, each once."""
    patterns = ["*/" * depth + RECORD_FILE for depth in range(_DEPTH + 1)]
    return sorted({path.resolve() for folder in folders for pattern in patterns for path in folder.glob(pattern)})
