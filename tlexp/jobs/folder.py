"""The folder of a sweep: who works on it, what it is about, and every attempt at a run.

multirun/<name>/study.json                              what all runs share
multirun/<name>/runs/<key16>/<number>-<12 hex>/         an attempt: job.json, process.json, and what the run writes
"""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tlexp.errors import ConfigError, TrackingError
from tlexp.jobs.files import SCHEMA, read_about, read_job
from tlexp.jobs.lease import LEASES
from tlexp.jsonfile import read_json
from tlexp.paths import publish_json, remove_abandoned
from tlexp.secrets import masked_values
from tlexp.tracking import Record, RunStatus, names, read_record
from tlexp.tracking.environment import is_alive, write_identity

_RUNS = "runs"
_DYING_SECONDS = 3.0
_TURN_SECONDS = 300.0
"""So long a command waits for its turn: another one may draw plots, or be at a store that is slow."""


_BACK = {
    "protocol": "the version of tlexp that began it goes on with it",
    "images": "bring them back as they were",
}
"""How to go on with a setting that cannot be stated."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a run.

    Attributes:
        key: Of the run.
        number: The place of its point in a search; 0 in a grid.
        point: Swept setting -> value.
        record: None while it runs, and for ever if its process was killed outright.
        fault: Why its record cannot be used.
    """

    folder: Path
    key: str
    number: int
    point: dict[str, str]
    record: Record | None
    fault: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it needs no repetition."""
        return self.record is not None and self.record.status.is_final

    @property
    def begun(self) -> bool:
        """Whether a process took it up."""
        return (self.folder / names.PROCESS_FILE).exists()

    @property
    def process(self) -> dict[str, Any] | None:
        """The process that took it up, by its own word; None where that cannot be read."""
        return _json(self.folder / names.PROCESS_FILE)

    @property
    def is_at_work(self) -> bool:
        """Whether its process is known to live; this one knows what it does."""
        process = self.process
        return process is not None and process.get("pid") != os.getpid() and is_alive(process) is True


class SweepFolder:
    """The folder of one sweep.

    Args:
        path: Need not exist.
        named_by: The setting that names it.
    """

    def __init__(self, path: Path, *, named_by: str = "hydra.sweeper.name") -> None:
        self.path, self._named_by = path, named_by

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Work on the sweep alone.

        Raises:
            ConfigError: Another process works on it, or one of its runs still goes on.
        """
        lock = self._lock(0.5)
        try:
            write_identity(self._holder)
            remove_abandoned(self.path)
            yield
        finally:
            self._holder.unlink(missing_ok=True)
            lock.release()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Decide something, for a moment, of a sweep that several commands work on.

        Raises:
            ConfigError: A command works on the sweep alone.
        """
        lock = self._lock(_TURN_SECONDS)
        try:
            self._holder.unlink(missing_ok=True)  # of one that was killed
            yield
        finally:
            lock.release()

    @property
    def _holder(self) -> Path:
        return self.path / ".holder.json"

    def _lock(self, seconds: float) -> FileLock:
        """Return the sweep's lock, held; one that works on the sweep alone is not waited for."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=min(seconds, 1))
        began = time.monotonic()
        while True:
            try:
                lock.acquire()
                return lock
            except Timeout as error:
                if self._holder.exists() or time.monotonic() - began >= seconds:
                    raise ConfigError(
                        f"{self.path} is being worked on by {_holder(self._holder)}: wait until it has ended, or end "
                        f"it; {self._named_by}=<name> makes another one"
                    ) from error

    def state(self, about: dict[str, Any]) -> None:
        """Write down what the sweep is about, unless that stands there already.

        Args:
            about: `fixed` {setting: value} and `swept` [setting], and what else readers may want to know.

        Raises:
            ConfigError: It was about something else; each setting that differs is named.
        """
        self.agree(about["fixed"])
        stated = masked_values({"schema": SCHEMA, **about})
        if stated != self.about():
            publish_json(self.path / names.STUDY_FILE, stated)

    def agree(self, fixed: Mapping[str, Any]) -> None:
        """Refuse other fixed settings than those that the sweep began with.

        Raises:
            ConfigError: It was about something else; each setting that differs is named.
        """
        before = self.about()
        stands = {} if before is None else masked_values(before["fixed"])
        changed = [
            f"{self.path}: {name} was {show_setting(stands[name])} and would be {show_setting(value)}: a sweep "
            f"compares runs that share their fixed settings; {_BACK.get(name, 'bring it back')}, or give the new one "
            f"another {self._named_by}"
            for name, value in masked_values(fixed).items()
            if name in stands and stands[name] != value
        ]
        if changed:
            raise ConfigError(changed)

    def about(self) -> dict[str, Any] | None:
        """Return what the sweep is about; None before it has begun.

        Raises:
            ConfigError: The file is damaged or of another version.
        """
        try:
            return read_about(self.path)
        except FileNotFoundError:
            return None

    def attempts(self, keys: Iterable[str] | None = None, *, shared: bool = False) -> list[Attempt]:
        """Return every attempt, or those at some runs; those of one key together and in their order.

        Args:
            keys: Of the runs.
            shared: Whether other commands may be at work on some.

        Raises:
            ConfigError: A process of an earlier sweep still works on one, or its job.json is damaged.
        """
        found = []
        for folder in attempt_folders(self.path, keys):
            job = read_job(folder)
            if job is None:  # killed before it was made known; nothing can have run in it
                continue
            attempt = read_attempt(folder, key=job.key, number=job.number, point=job.point)
            if not shared and attempt.record is None and not was_submitted(folder) and _stays(attempt):
                raise ConfigError(
                    f"{folder} is still being worked on by process {_pid(attempt)} of a sweep that was killed: "
                    "wait until it has ended, or end it"
                )
            found.append(attempt)
        return found

    def begin(self, key: str, point: dict[str, str], number: int, earlier: list[Attempt]) -> Attempt:
        """Make the folder of a new attempt; it goes on from the checkpoint that an interrupted one left."""
        last = max((int(each.folder.name.partition("-")[0]) for each in earlier), default=0)
        folder = self.path / _RUNS / run_folder(key) / f"{last + 1:03d}-{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        publish_json(folder / names.JOB_FILE, {"key": key, "number": number, "point": point}, indent=None)
        for attempt in reversed(earlier):
            if _goes_on(attempt):
                (attempt.folder / names.CHECKPOINT_FOLDER).rename(folder / names.CHECKPOINT_FOLDER)
                break
            if attempt.begun:
                break  # what came before the latest one was taken over by it, or failed with it
        for attempt in earlier:
            if not attempt.begun and attempt.record is None:
                shutil.rmtree(attempt.folder, ignore_errors=True)
        return Attempt(folder=folder, key=key, number=number, point=point, record=None)

    def reread(self, attempt: Attempt) -> Attempt:
        """Return the attempt as it stands now."""
        return read_attempt(attempt.folder, key=attempt.key, number=attempt.number, point=attempt.point)


def attempt_folders(folder: Path, keys: Iterable[str] | None = None) -> list[Path]:
    """Return the folders of every attempt, or of those at some runs; those of one key together and in their order."""
    wanted = ["*"] if keys is None else [run_folder(key) for key in keys]
    return sorted(path for each in wanted for path in folder.glob(f"{_RUNS}/{each}/*"))


def run_folder(key: str) -> str:
    """Return the name of the folder in which a run has its attempts."""
    return key[:16]


def was_submitted(folder: Path) -> bool:
    """Return whether an attempt, or one before it at the same run, is a scheduler's: its lease says who works on it."""
    return any(folder.parent.glob(f"*/{LEASES}"))


def read_attempt(folder: Path, *, key: str, number: int, point: dict[str, str]) -> Attempt:
    """Return an attempt as its folder shows it, whoever works on it.

    Args:
        folder: Of the attempt.
        key: Of the run; the record of another one is a fault.
        number: The place of its point in a search.
        point: Swept setting -> value.
    """
    record, fault = None, None
    if (folder / names.RECORD_FILE).exists():
        try:
            record = read_record(folder)
        except TrackingError as error:
            fault = str(error)
    if record is not None and record.key != key:
        fault = f"{folder} holds the record of another run ({record.key[:16]}, not {key[:16]})"
        record = None
    return Attempt(folder=folder, key=key, number=number, point=point, record=record, fault=fault)


def _goes_on(attempt: Attempt) -> bool:
    """Return whether a new attempt may go on from this one's checkpoint: interrupted, not failed."""
    if attempt.record is not None and attempt.record.status is not RunStatus.killed:
        return False
    return any((attempt.folder / names.CHECKPOINT_FOLDER).glob("*.safetensors"))


def _stays(attempt: Attempt) -> bool:
    """Return whether the process of an attempt lives on; one that is being killed may take a moment."""
    patience = time.monotonic() + _DYING_SECONDS
    while attempt.is_at_work:
        if time.monotonic() > patience:
            return True
        time.sleep(0.1)
    return False


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _pid(attempt: Attempt) -> object:
    return (attempt.process or {}).get("pid")


def _holder(path: Path) -> str:
    """Return the process that holds the lock, in words."""
    found = _json(path)
    return "another process" if found is None else f"process {found.get('pid')} on {found.get('host')}"


def show_setting(value: Any) -> str:
    """Return the value of a setting for messages."""
    return "null" if value is None else str(value)
