"""record.json: the one immutable account of a run. Tracking stores are projections of it."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from tlexp.errors import TrackingError
from tlexp.jsonfile import from_json, read_json, to_json
from tlexp.paths import file_digest, is_regular, publish_json
from tlexp.secrets import masked_values
from tlexp.tracking.blocks import DataBlock, Environment, FreezeBlock, Seeds, TrackingBlock, TrainBlock
from tlexp.tracking.names import JOB_FILE, RECORD_FILE, RUN_FILES
from tlexp.tracking.stated import require_stated

SCHEMA = 1
_OPTIONAL = ("data", "tracking")
"""Blocks that a run may end without: {} and null in the file."""


class RunStatus(StrEnum):
    """How a run ended."""

    finished = "finished"
    failed = "failed"
    diverged = "diverged"
    oom = "oom"
    pruned = "pruned"
    killed = "killed"

    @property
    def is_final(self) -> bool:
        """Whether a run that ended so needs no repetition."""
        return self in (RunStatus.finished, RunStatus.pruned)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run was and what came out.

    Attributes:
        key: What the run computes, sha256 of its configuration and the protocol.
        reason: Why it ended early; None where it finished.
        overrides: As typed on the command line.
        point: What the sweep or study that the run is one of varied, setting -> value; None for a single run.
        config: Nested values; what came from an environment variable stands as `${oc.env:NAME}`.
        seeds: What it drew from.
        freeze: What was frozen.
        data: Its images; None where it ended before they were known.
        train: How it was trained.
        metrics: Flat; finite values only once published.
        tracking: Where the tracking store shows it; None where the run was not tracked.
        environment: Where it took place.
        started: Time in UTC, ISO 8601.
        ended: The same.
        notes: What readers should know, one sentence each.
        files: {name below the folder: sha256}, filled in by `publish_record`.
    """

    key: str
    status: RunStatus
    reason: str | None
    overrides: list[str]
    config: dict[str, Any]
    seeds: Seeds
    freeze: FreezeBlock
    data: DataBlock | None
    train: TrainBlock
    metrics: dict[str, float]
    tracking: TrackingBlock | None
    environment: Environment
    started: str
    ended: str
    point: dict[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def learned(self) -> str:
        """How many images were learned from and tested on, for people; empty where the run ended before that."""
        selection = self.train.selection
        return "" if self.data is None else self.data.learned(refit=selection is None or selection.refit)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the record that plain JSON values make, of this version or an earlier one.

        Raises:
            TypeError: A field is missing, unknown or of another type, or a setting that others read from it.
        """
        fields = {name: None if name in _OPTIONAL and not held else held for name, held in values.items()}
        every = {entry.name for entry in dataclasses.fields(cls)}
        lost = every - fields.keys() - {"point", "notes", "files"}
        strange = fields.keys() - every
        if strange or lost:
            raise TypeError(", ".join([f"it lacks {name}" for name in lost] + [f"it has {name}" for name in strange]))
        record = from_json(cls, fields, "it")
        require_stated(record.config, whole=False)
        return record


def publish_record(folder: Path, record: Record) -> Path:
    """Write the run's record.json whole or not at all, and return its path.

    Digests of the files beside it are added. Metrics that are not finite are left out with a note, for JSON has none.

    Raises:
        TrackingError: The folder already has a record: records are immutable.
        OSError: The disk is full; no record stands then.
    """
    path = folder / RECORD_FILE
    if path.exists():
        raise TrackingError(f"{path} exists already, and records are immutable: give the run a folder of its own")
    record = _finite(dataclasses.replace(record, files=_digests(folder)))
    values = {"schema": SCHEMA, **to_json(record)}
    values["data"] = values["data"] or {}
    values = masked_values(values)
    values["checksum"] = _checksum(values)
    publish_json(path, values)
    return path


def read_record(path: Path) -> Record:
    """Return the record of a run's folder or of a record.json.

    Raises:
        TrackingError: It is missing, not a record, of another schema, or was changed after it was written.
    """
    path = path / RECORD_FILE if path.is_dir() else path
    way_out = "restore the file from a copy, or remove the folder and run again"
    try:
        values = read_json(path)
    except FileNotFoundError as error:
        raise TrackingError(f"{path} is missing: name the folder of a run that has ended") from error
    except (OSError, ValueError) as error:
        raise TrackingError(f"{path} cannot be read ({error}): {way_out}") from error
    if "checksum" not in values:
        raise TrackingError(f"{path} is not the record of a run: {way_out}")
    if values.get("schema") != SCHEMA:
        raise TrackingError(f"{path} has schema {values.get('schema')}, this version reads {SCHEMA}: update tlexp")
    try:
        if values.pop("checksum") != _checksum(values):
            raise TrackingError(f"{path} was changed after it was written (its checksum differs): {way_out}")
        del values["schema"]
        return Record.of(values)
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise TrackingError(f"{path} does not have the fields of a record ({error}): {way_out}") from error


def point_of(folder: Path) -> dict[str, str] | None:
    """Return what a sweep or study varied for the run of a folder, which it made; None for a single run's."""
    try:
        point = read_json(folder / JOB_FILE).get("point")
    except (OSError, ValueError):
        return None
    return {str(name): str(value) for name, value in point.items()} if isinstance(point, dict) else None


def require_vouched(folder: Path, name: str) -> None:
    """Refuse a folder with a record that is altered or of another version, or that vouches for another file.

    Raises:
        TrackingError: As said; a folder without a record is none of a run, and passes.
    """
    if not os.path.lexists(folder / RECORD_FILE):
        return
    if _differs(folder / name, read_record(folder).files.get(name)):
        raise TrackingError(
            f"{folder / name} is not the file that {RECORD_FILE} beside it vouches for (its digest differs): restore "
            "it from a copy"
        )


def left_out(folder: Path, record: Record) -> tuple[str, ...]:
    """Return the names of a run's usual files that lie in its folder although its record does not vouch for them."""
    found = (path.relative_to(folder).as_posix() for pattern in RUN_FILES for path in sorted(folder.glob(pattern)))
    return tuple(name for name in found if name not in record.files)


def _digests(folder: Path) -> dict[str, str]:
    """Return {name: sha256} of the files that belong to a run's results; a link is none of them."""
    found = (path for pattern in RUN_FILES for path in sorted(folder.glob(pattern)) if is_regular(path))
    return {path.relative_to(folder).as_posix(): file_digest(path, follow_links=False) for path in found}


def _differs(path: Path, digest: str | None) -> bool:
    """Return whether a file is there but is another one, or none that could be read."""
    try:
        return file_digest(path) != digest
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _finite(record: Record) -> Record:
    """Return the record without metrics that are not finite, and a note that names them."""
    metrics = {name: float(value) for name, value in record.metrics.items()}
    lost = [f"{name} is {value} and is left out" for name, value in metrics.items() if not math.isfinite(value)]
    kept = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return dataclasses.replace(record, metrics=kept, notes=[*record.notes, *lost])


def _checksum(values: Mapping[str, Any]) -> str:
    """Return the sha256 of the canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
