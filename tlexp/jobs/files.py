"""Files in the folder of a sweep or a study that say what is done: study.json, and a job.json for each attempt.

multirun/<study>/columns/<column>/<12 hex>/column.json   how a job of a study ended
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlexp.errors import ConfigError
from tlexp.jsonfile import from_json, read_json
from tlexp.tracking import names

SCHEMA = 1
"""Of study.json."""
COLUMNS = "columns"
COLUMN_FILE = "column.json"
"""Written when a column's job is over; by the study itself where it ended without a word."""


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """job.json: what an attempt is at."""

    key: str
    number: int
    point: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ColumnFile:
    """column.json: how a job of a study ended.

    Attributes:
        column: Whose job it was.
        ran: How many runs it did.
        failed: How many of them did not finish.
        seconds: That it took.
        lost: Keys of its runs, where it ended before it could say how.
        reason: What is known of that.
    """

    column: str
    ran: int = 0
    failed: int = 0
    seconds: float = 0.0
    lost: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Budget:
    labels: str
    per_class: float
    conditional: bool | None = None


@dataclass(frozen=True, kw_only=True)
class _Column:
    name: str
    title: str
    role: str
    depth: int | None
    words: tuple[str, ...] = ()
    trainable: int = 0
    solved: bool = False


@dataclass(frozen=True, kw_only=True)
class _Entrant:
    name: str
    columns: tuple[str, ...]
    operations: int
    prior: float | None = None
    facts: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class _Study:
    """What study.json says of a study besides."""

    name: str
    backbone: str
    margin: float
    seeds: tuple[int, ...]
    budgets: tuple[_Budget, ...]
    columns: tuple[_Column, ...]
    skipped: dict[str, str]
    replicates: dict[str, tuple[str, str, int]]
    command: str = ""
    trials: int = 0
    looks: tuple[int, ...] | None = None
    stopped: int | None = None
    entrants: tuple[_Entrant, ...] = ()
    unseen: tuple[str, ...] = ()
    operations: int | None = None
    stated: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        empty = [name for name in ("seeds", "budgets", "columns", "looks") if getattr(self, name) == ()]
        if empty or not all(each.columns for each in self.entrants):
            raise ValueError(f"it.study has no {empty[0] if empty else 'columns of an entrant'}")


@dataclass(frozen=True, kw_only=True)
class _About:
    """study.json: what all runs of a sweep or a study share."""

    schema: int
    fixed: dict[str, Any]
    swept: tuple[str, ...]
    study: _Study | None = None


def read_about(folder: Path, *, command: str = "the command") -> dict[str, Any]:
    """Return what the study.json of a folder says; its fields have their types.

    Args:
        folder: Of a sweep or a study.
        command: What makes the file anew, for the message.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: It is damaged or of another version.
    """
    path = folder / names.STUDY_FILE
    try:
        about = read_json(path)
        if about.get("schema") != SCHEMA:
            raise ConfigError(f"{path} has another schema than {SCHEMA}: type {command} with another name for it")
        from_json(_About, about, "it")
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): remove it and type {command} again") from error
    return about


def read_endings(folder: Path) -> list[ColumnFile]:
    """Return how the jobs of a study ended, those that did; one whose file is damaged is not known to have."""
    found = []
    for path in sorted(folder.glob(f"{COLUMNS}/*/*/{COLUMN_FILE}")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(from_json(ColumnFile, read_json(path), "it"))
    return found


def read_job(folder: Path) -> JobFile | None:
    """Return what an attempt is at; None where its process was killed before it could say so.

    Raises:
        ConfigError: The file is damaged.
    """
    path = folder / names.JOB_FILE
    try:
        return from_json(JobFile, read_json(path), "it")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}): restore it from a copy, or remove {folder}, whose run is done again then"
        ) from error
