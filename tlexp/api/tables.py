"""Records as tables, a row for each run."""

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]

from tlexp.compose.leaves import leaves
from tlexp.errors import ConfigError, TrackingError
from tlexp.jobs.outcome import JobOutcome
from tlexp.tracking import Record, names, read_record
from tlexp.tracking.sync import find_records

_COPIES = "mlruns"
"""Where MLflow keeps copies of them."""
SETTINGS = ("backbone.name", "freeze.policy", "head.kind", "data.source", "labels", "seed")
"""What a table of runs tells of each, beside what its sweep varied."""


def runs(*folders: str | PathLike[str]) -> pd.DataFrame:
    """Return the records in and below folders, a row for each run however it ended, the oldest first.

    Columns are `folder`, `study` (the sweep or study that it is one of), `status`, `reason`, `started`, settings by
    their names, and metrics. A record that cannot be read is named in a warning and left out.

    Args:
        folders: Of runs, sweeps or studies, or what lies around them, among it the folder of `outputs` and `multirun`;
            the working folder if none is named.

    Raises:
        ConfigError: A folder is missing.
    """
    places = [Path(folder) for folder in folders or (".",)]
    if missing := [str(place) for place in places if not place.is_dir()]:
        raise ConfigError(f"no such folder: {', '.join(missing)}; name folders of runs, e.g. tlexp.runs('outputs')")
    rows = []
    for path in find_records([*places, *(place / names.SWEEPS_FOLDER for place in places)]):
        if _COPIES in path.parts:
            continue
        try:
            rows.append(_row(path.parent, read_record(path)))
        except TrackingError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return _table(sorted(rows, key=lambda row: str(row["started"])))


def sweep_table(found: Sequence[JobOutcome]) -> pd.DataFrame:
    """Return the runs of a sweep in its order: what it varied, how each ended, its metrics, and where it lies."""
    rows = [
        {
            **{name: _read(value) for name, value in run.point.items()},
            "status": None if run.status is None else str(run.status),
            "reason": run.reason,
            "folder": None if run.folder is None else str(run.folder.absolute()),
            "key": run.key,
            **({} if run.record is None else _metrics(run.record)),
        }
        for run in found
    ]
    return _table(rows)


def _row(folder: Path, record: Record) -> dict[str, Any]:
    settings = dict(leaves(record.config))
    return {
        "folder": str(folder),
        "study": names.study_of(folder),
        "status": str(record.status),
        "reason": record.reason,
        "started": record.started,
        **{name: settings.get(name) for name in SETTINGS},
        **{name: _read(text) for name, text in (record.point or {}).items() if name in settings.keys() - SETTINGS},
        **_metrics(record),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table whose first columns are there without rows, too; metrics stand last, in their own order."""
    table = pd.DataFrame(rows, columns=None if rows else ["folder", "study", "status", "reason", "started"])
    settings = [name for name in table.columns if name not in names.METRICS]
    return table[[*settings, *(name for name in names.METRICS if name in table.columns)]]


def _metrics(record: Record) -> dict[str, float]:
    return {name: record.metrics[name] for name in names.METRICS if name in record.metrics}


def _read(text: str) -> int | float | str:
    """Return a swept value as a number where it is one.

    >>> [_read(text) for text in ("20", "1e-3", "0.5", "all", "'a b'")]
    [20, 0.001, 0.5, 'all', 'a b']
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("'")
