"""A study's table from its folder alone: study.json, and the record and predictions of each replicate.

multirun/<study>/study.json                                    `study`: what was planned, and the key of each replicate
multirun/<study>/runs/<key16>/<number>-<12 hex>/               an attempt at a replicate
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tlexp.errors import ConfigError
from tlexp.jobs.files import read_about, read_endings
from tlexp.jobs.folder import Attempt, attempt_folders, read_attempt
from tlexp.jsonfile import read_json
from tlexp.studies.analysis.table import Cell, Column, Replicate, Role, StudyTable
from tlexp.studies.analysis.tested import TestAnswers, TestedImages, read_answers
from tlexp.tracking import Record, RunStatus, names, read_points
from tlexp.tracking.environment import is_alive

_SILENT = "its process ended without a record"


def find_study(name: str, root: Path = Path(names.SWEEPS_FOLDER)) -> Path:
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
    sweeps = name and any((folder / names.STUDY_FILE).is_file() for folder in (root / name, Path(name)))
    what = "is a sweep, whose table is its results.csv, and no study" if sweeps else "is no study"
    listed = near or known[:5]
    way_out = f"{'did you mean' if near else 'there are'} {', '.join(listed)}" if listed else "none has been run yet"
    raise ConfigError(f"{name!r} {what} below {root}: {way_out}")


def read_table(folder: Path) -> StudyTable:
    """Return what a study has measured.

    Of the attempts at a replicate the one that finished counts, else the latest. A replicate that a process still
    works on has not run yet; one whose job was seen to end without a word has failed.

    Raises:
        ConfigError: The folder holds no study, or its study.json is damaged.
        TrackingError: Predictions are missing, or were changed after their record was written.
        DataError: Replicates were tested on different images.
    """
    about = _about(folder)
    stated = about["study"]
    columns = tuple(_column(values) for values in stated["columns"])
    found: dict[tuple[str, str], list[tuple[Replicate, TestAnswers | None]]] = {}
    tested = TestedImages()
    records: dict[str, Record] = {}
    lost = {key: ended.reason or _SILENT for ended in read_endings(folder) for key in ended.lost}
    for key, (column, labels, seed) in stated["replicates"].items():
        replicate, record = _replicate(folder, key, int(seed), lost.get(key))
        answers = None
        if record is not None and replicate.folder is not None:
            answers = read_answers(replicate.folder, record)
            tested.meet(replicate.folder / names.PREDICTIONS_FILE, record, answers)
            records.setdefault(column, record)
        found.setdefault((column, str(labels)), []).append((replicate, answers))
    operations = _operations(stated, columns)
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
        groups=tested.groups,
        seeds=tuple(stated["seeds"]),
        cells={
            place: _cell(place, replicates, tested, operations.get(place[0])) for place, replicates in found.items()
        },
        margin=float(stated["margin"]),
        skipped=stated["skipped"],
        record=first,
        split=tested.split,
        names=_names(folder, tested.split),
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
    """Return a column; versions before this one stated less of it, and others may state more."""
    return Column(
        name=values["name"],
        title=values["title"],
        role=Role(values["role"]),
        depth=values.get("depth"),
        words=tuple(values.get("words", ())),
        trainable=values.get("trainable", 0),
        solved=values.get("solved", False),
        entrant=values.get("entrant", ""),
    )


def _operations(stated: Mapping[str, Any], columns: Iterable[Column]) -> dict[str, int]:
    """Return what an image takes through each column's network, where the study states it; pixels pass none."""
    own = stated.get("operations")
    found = {} if own is None else {each.name: own for each in columns if each.role is not Role.pixels}
    return found | {name: each["operations"] for each in stated.get("entrants", ()) for name in each["columns"]}


def _cell(
    place: tuple[str, str],
    replicates: list[tuple[Replicate, TestAnswers | None]],
    tested: TestedImages,
    operations: int | None,
) -> Cell:
    measured = (each if answers is None else tested.among_all(each, answers) for each, answers in replicates)
    ordered = tuple(sorted(measured, key=lambda each: each.seed))
    return Cell(column=place[0], labels=place[1], replicates=ordered, operations=operations)


def _replicate(folder: Path, key: str, seed: int, lost: str | None) -> tuple[Replicate, Record | None]:
    """Return a replicate without what it told, and its record if it finished.

    Args:
        folder: Of the study.
        key: Of the run.
        seed: Of the replicate.
        lost: Why its job ended, where that did not say so itself.
    """
    over = None if lost is None else RunStatus.failed
    latest = Replicate(seed=seed, status=over, reason=lost)
    for attempt in _attempts(folder, key):
        record = attempt.record
        if record is not None and record.status is RunStatus.finished:
            return _finished(attempt.folder, seed, record), record
        latest = _unfinished(attempt, seed, lost)
    return latest, None


def _attempts(folder: Path, key: str) -> Iterator[Attempt]:
    """Yield the attempts at a run that a process took up, in their order."""
    for path in attempt_folders(folder, [key]):
        attempt = read_attempt(path, key=key, number=0, point={})
        if attempt.begun or attempt.record is not None or attempt.fault is not None:
            yield attempt


def _unfinished(attempt: Attempt, seed: int, lost: str | None) -> Replicate:
    """Return what became of an attempt; without a record it is still at work, or was killed, alone or with all."""
    status: RunStatus | None = RunStatus.killed if lost is None else RunStatus.failed
    reason: str | None = lost or _SILENT
    if attempt.fault is not None:
        status, reason = RunStatus.failed, attempt.fault
    elif attempt.record is not None:
        status, reason = attempt.record.status, attempt.record.reason
    elif is_alive(attempt.process or {}) is True:
        status, reason = None, None
    return Replicate(seed=seed, status=status, reason=reason, folder=attempt.folder)


def _finished(attempt: Path, seed: int, record: Record) -> Replicate:
    return Replicate(
        seed=seed,
        status=record.status,
        metrics=record.metrics,
        selection=record.train.selection,
        outside=record.train.outside_protocol or (),
        folder=attempt,
        losses=_losses(attempt),
    )


def _names(folder: Path, count: int) -> tuple[str, ...]:
    """Return the names of the test images; none where the study is from before they were written down."""
    try:
        names_of = read_json(folder / names.TEST_IMAGES_FILE)["names"]
    except (OSError, ValueError, KeyError):
        return ()
    whole = isinstance(names_of, list) and len(names_of) == count
    return tuple(map(str, names_of)) if whole else ()


def _losses(attempt: Path) -> tuple[tuple[int, float], ...]:
    points = read_points(attempt / names.CURVES_FILE)
    return tuple(
        (point.step, point.value)
        for point in sorted(points, key=lambda each: each.step)
        if point.phase == "final" and point.name == "train/loss"
    )
