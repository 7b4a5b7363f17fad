"""`tlexp sync`: write runs into a tracking store that was away, from their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.errors import TrackingError
from tlexp.tracking.names import RECORD_FILE
from tlexp.tracking.projection import replay
from tlexp.tracking.record import read_record
from tlexp.tracking.store import Pulse, absolute_uri, ensure_store, public_uri

_DEPTH = 4
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What came of it.

    Attributes:
        written: Runs that were missing and are there now.
        present: Runs that were there already.
        broken: Records that cannot be replayed, and why.
    """

    written: int
    present: int
    broken: tuple[tuple[Path, str], ...]


def sync(folders: Sequence[Path], *, uri: str | None, experiment: str | None) -> SyncReport:
    """Write every run below the folders that the store does not have; a second time there is nothing left to do.

    Args:
        folders: Runs' folders, or folders that hold them up to four levels down; missing ones are passed over.
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment; None takes the one that each run asked for.

    Raises:
        TrackingError: None of the folders exists, or the store is away or cannot be used.
    """
    uri = absolute_uri(uri)
    if not any(folder.is_dir() for folder in folders):
        raise TrackingError(
            f"no such folder: {', '.join(map(str, folders))}: name folders of runs, e.g. tlexp sync outputs"
        )
    if not Pulse(uri).beats(_PROBE_SECONDS):
        raise TrackingError(f"tracking store {public_uri(uri)} does not answer: start it, or name another with --uri")
    ensure_store(uri)
    written, present = 0, 0
    broken: list[tuple[Path, str]] = []
    for path in find_records(folders):
        try:
            record = read_record(path)
            if "digest" not in record.data:  # it ended before its images were known, and was never tracked
                continue
            name = experiment or record.config["tracking"]["experiment"]
            if name.startswith("${"):
                raise TrackingError(f"its experiment came from {name}, which is not logged: name it with --experiment")
            if replay(record, path.parent, uri=uri, experiment=name):
                written += 1
            else:
                present += 1
        except TrackingError as error:
            broken.append((path, str(error)))
        except Exception as error:
            raise TrackingError(
                f"tracking store {public_uri(uri)} refused {path.parent} after {written} runs were written ({error}): "
                "run tlexp sync again once the store is well; it goes on where it stopped"
            ) from error
    return SyncReport(written=written, present=present, broken=tuple(broken))


def find_records(folders: Sequence[Path]) -> list[Path]:
    """Return every record.json in the folders and up to four levels below them, sorted, each once."""
    patterns = ["*/" * depth + RECORD_FILE for depth in range(_DEPTH + 1)]
    return sorted({path.resolve() for folder in folders for pattern in patterns for path in folder.glob(pattern)})
