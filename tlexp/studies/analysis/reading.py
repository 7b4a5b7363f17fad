"""A study's table from its folder alone: study.json, and the record and predictions of each replicate.

multirun/<study>/study.json                                    `study`: what was planned, and the key of each replicate
multirun/<study>/runs/<key16>/<number>-<12 hex>/               an attempt at a replicate
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.errors import ConfigError, DataError, TrackingError
from tlexp.jobs.files import read_about
from tlexp.jobs.folder import Attempt, attempt_folders, read_attempt
from tlexp.paths import file_digest
from tlexp.studies.analysis.table import Cell, Column, Replicate, Role, StudyTable
from tlexp.tracking import Record, RunStatus, names, read_points
from tlexp.tracking.environment import is_alive

_WAY_OUT = "restore the file from a copy, or remove its folder and type the study's command again"
_SILENT = "its process ended without a record"


def find_study(name: str, root: Path = Path("multirun")) -> Path:
    """Return the folder of a study.

    Args:
        name: Of the study, or the path of its folder.
        root: Where studies lie.

    Raises:
        ConfigError: There is none of that name; those with the nearest names are told.
    """
    for folder in (root / name, Path(name)):
        if name and _is_study(folder):
            return folder
    known = sorted(path.parent.name for path in root.glob(f"*/{names.STUDY_FILE}") if _is_study(path.parent))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    what = "is a sweep that is no study" if (root / name / names.STUDY_FILE).is_file() and name else "is no study"
    listed = near or known[:5]
    way_out = f"{'did you mean' if near else 'there are'} {', '.join(listed)}" if listed else "none has been run yet"
    raise ConfigError(f"{name!r} {what} below {root}: {way_out}")


def read_table(folder: Path) -> StudyTable:
    """Return what a study has measured.

    Of the attempts at a replicate the one that finished counts, else the latest. A replicate that a process still
    works on has not run yet.

    Raises:
        ConfigError: The folder holds no study, or its study.json is damaged.
        TrackingError: Predictions are missing, or were changed after their record was written.
        DataError: Replicates were tested on different images.
    """
    about = _about(folder)
    stated = about["study"]
    columns = tuple(_column(values) for values in stated["columns"])
    found: dict[tuple[str, str], list[Replicate]] = {}
    tested = _Tested()
    records: dict[str, Record] = {}
    for key, (column, labels, seed) in stated["replicates"].items():
        replicate, record = _replicate(folder, key, int(seed), tested)
        found.setdefault((column, str(labels)), []).append(replicate)
        if record is not None:
            records.setdefault(column, record)
    first = next((records[column.name] for column in columns if column.name in records), None)
    return StudyTable(
        name=stated["name"],
        about=about,
        backbone=stated["backbone"],
        columns=columns,
        budgets=tuple(str(budget["labels"]) for budget in stated["budgets"]),
        per_class={str(budget["labels"]): float(budget["per_class"]) for budget in stated["budgets"]},
        classes=() if first is None or first.data is None else first.data.classes,
        labels=tested.labels,
        seeds=tuple(stated["seeds"]),
        cells={place: _cell(place, replicates) for place, replicates in found.items()},
        margin=float(stated["margin"]),
        skipped=stated["skipped"],
        record=first,
    )


class _Tested:
    """The images that the first replicate was tested on; all others have to be tested on the same.

    Attributes:
        labels: Of the images; empty before there is a replicate.
    """

    def __init__(self) -> None:
        self.labels: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._digest: str | None = None
        self._path = Path()

    def meet(self, path: Path, record: Record, labels: NDArray[np.int64]) -> None:
        """Compare a replicate's images with those of the first.

        Raises:
            DataError: They differ.
        """
        digest = "" if record.data is None else record.data.digest
        if self._digest is None:
            self._digest, self._path, self.labels = digest, path, labels
        elif digest != self._digest or not np.array_equal(labels, self.labels):
            raise DataError(
                f"{path} was tested on other images than {self._path} (data digest {digest[:12]}, "
                f"not {self._digest[:12]}): replicates are paired image by image; type the study's command again, "
                "which runs those with other images anew"
            )


def _about(folder: Path) -> dict[str, Any]:
    path = folder / names.STUDY_FILE
    try:
        about = read_about(folder, command="the study's command")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing: name the folder of a study") from error
    if about.get("study") is None:
        raise ConfigError(f"{path} is about a sweep that is no study: tlexp report tells studies")
    return about


def _is_study(folder: Path) -> bool:
    try:
        _about(folder)
    except (ConfigError, OSError):
        return False
    return True


def _column(values: Mapping[str, Any]) -> Column:
    return Column(**{**values, "role": Role(values["role"]), "words": tuple(values.get("words", ()))})


def _cell(place: tuple[str, str], replicates: list[Replicate]) -> Cell:
    ordered = tuple(sorted(replicates, key=lambda each: each.seed))
    return Cell(column=place[0], labels=place[1], replicates=ordered)


def _replicate(folder: Path, key: str, seed: int, tested: _Tested) -> tuple[Replicate, Record | None]:
    """Return a replicate, and its record if it finished."""
    latest = Replicate(seed=seed, status=None)
    for attempt in _attempts(folder, key):
        record = attempt.record
        if record is not None and record.status is RunStatus.finished:
            return _finished(attempt.folder, seed, record, tested), record
        latest = _unfinished(attempt, seed)
    return latest, None


def _attempts(folder: Path, key: str) -> Iterator[Attempt]:
    """Yield the attempts at a run that a process took up, in their order."""
    for path in attempt_folders(folder, [key]):
        attempt = read_attempt(path, key=key, number=0, point={})
        if attempt.begun or attempt.record is not None or attempt.fault is not None:
            yield attempt


def _unfinished(attempt: Attempt, seed: int) -> Replicate:
    """Return what became of an attempt; without a record it is still at work, or was killed."""
    status: RunStatus | None = RunStatus.killed
    reason: str | None = _SILENT
    if attempt.fault is not None:
        status, reason = RunStatus.failed, attempt.fault
    elif attempt.record is not None:
        status, reason = attempt.record.status, attempt.record.reason
    elif is_alive(attempt.process or {}) is True:
        status, reason = None, None
    return Replicate(seed=seed, status=status, reason=reason, folder=attempt.folder)


def _finished(attempt: Path, seed: int, record: Record, tested: _Tested) -> Replicate:
    path = attempt / names.PREDICTIONS_FILE
    _vouch(path, record)
    labels, probabilities = _predictions(path)
    tested.meet(path, record, labels)
    return Replicate(
        seed=seed,
        status=record.status,
        correct=probabilities.argmax(axis=1) == labels,
        metrics=record.metrics,
        selection=record.train.selection,
        outside=record.train.outside_protocol or (),
        folder=attempt,
        losses=_losses(attempt),
    )


def _predictions(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels (n,) and probabilities (n, K)."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels, probabilities = stored["label"].astype(np.int64), stored["probability"].astype(np.float64)
        if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities) or not probabilities.size:
            raise ValueError(f"labels {labels.shape}, probabilities {probabilities.shape}")
    except Exception as error:  # zip files, their headers and arrays each raise something else
        raise TrackingError(f"{path} does not hold predictions ({error}): {_WAY_OUT}") from error
    return labels, probabilities


def _vouch(path: Path, record: Record) -> None:
    """Refuse predictions that are not those of the record."""
    if not path.is_file():
        raise TrackingError(f"{path} is missing: {_WAY_OUT}")
    if file_digest(path) != record.files.get(path.name):
        raise TrackingError(f"{path} was changed after its record was written (its digest differs): {_WAY_OUT}")


def _losses(attempt: Path) -> tuple[tuple[int, float], ...]:
    points = read_points(attempt / names.CURVES_FILE)
    return tuple(
        (point.step, point.value)
        for point in sorted(points, key=lambda each: each.step)
        if point.phase == "final" and point.name == "train/loss"
    )
