"""The folder of one cut on disk: what lies in it, and how files come and go. Foreign files are left alone.

Files and folders of other users count as foreign: what they hold is not believed.

<cache>/<schema>/<cut key>/cut.json                 what made the rows; informational
                           <sha256>.safetensors     an entry; its time of change is that of its last use
                           hits                     a line for each use: rows that needed no computing
                           .<block>.lock            a process computes this block
                           quarantine/              entries that turned out bad
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tlexp.cache.entry import ENTRY_NAME
from tlexp.paths import is_abandoned, is_own, is_regular, open_regular, publish, publish_json

SCHEMA = "1"
"""Raised whenever the files change their form; other schemas are not looked at."""

_KEY = re.compile(r"[0-9a-f]{64}")
_OWN = re.compile(r"\.[0-9a-f]{32}\.lock|cut\.json|hits")
_NOTE_BYTES = 1 << 20
"""cut.json and hits are read up to here."""


@dataclass(frozen=True, kw_only=True)
class CutFile:
    """A file that counts against the limit."""

    path: Path
    size: int
    used: float
    bad: bool


class CutFolder:
    """The folder of one cut.

    Args:
        root: Folder of the whole cache.
        cut: Digest of the cut key.
    """

    def __init__(self, root: Path, cut: str) -> None:
        self.root, self.cut = root, cut
        self.folder = root / SCHEMA / cut
        self.quarantine = self.folder / "quarantine"

    def entries(self) -> list[Path]:
        """Return the entries' files in the order of their names; none if the folder is not there or is a link."""
        return sorted(path for path in self._listed(self.folder) if ENTRY_NAME.fullmatch(path.name))

    def foreign(self) -> list[Path]:
        """Return the files of other users that are named as entries are."""
        return sorted(path for path in self._listed(self.folder, own=False) if ENTRY_NAME.fullmatch(path.name))

    def files(self) -> Iterator[CutFile]:
        """Yield entries, good and bad."""
        for path in [*self.entries(), *self._set_aside()]:
            with contextlib.suppress(OSError):
                found = path.lstat()
                yield CutFile(path=path, size=found.st_size, used=found.st_mtime, bad=path.parent == self.quarantine)

    def write(self, content: bytes, about: dict[str, Any]) -> Path:
        """Publish an entry under the name of its checksum, and what made it beside it.

        Raises:
            OSError: It cannot be written; nothing of it is left then.
        """
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
        for left in (2, 1, 0):
            try:
                self._make()
                if not is_regular(self.folder / "cut.json"):
                    publish_json(self.folder / "cut.json", about)
                publish(path, content)
                break
            except FileNotFoundError:  # the cache was cleared meanwhile
                if not left:
                    raise
        return path

    def set_aside(self, path: Path) -> bool:
        """Move a bad entry into the quarantine; return whether it is away."""
        try:
            self.quarantine.mkdir(mode=0o700, exist_ok=True)
            if not _is_folder(self.quarantine):
                return False
            path.replace(self.quarantine / path.name)
        except FileNotFoundError:
            return True  # somebody else was first
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[bool]:
        """Hold the lock of a block, without waiting; give whether nobody else holds it.

        Where locks cannot be had every process holds them, so work may be done twice; nothing else depends on them.
        """
        path = self.folder / f".{name}.lock"
        lock = FileLock(path, timeout=0)
        mine = True
        with contextlib.suppress(OSError, NotImplementedError):
            try:
                self._make()
                lock.acquire()
            except Timeout:
                mine = False
        try:
            yield mine
        finally:
            if lock.is_locked:
                with contextlib.suppress(OSError):
                    path.unlink()
                lock.release()

    def count_use(self, hits: int) -> None:
        """Note that so many rows needed no computing. May be lost without harm."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        if not self._is_there():
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self.folder / "hits", flags, 0o600)
            try:
                os.write(descriptor, f"{hits}\n".encode())
            finally:
                os.close(descriptor)

    def hits(self) -> int:
        """Return how many rows were read, as far as it was noted."""
        lines = self._note("hits").splitlines()
        return sum(int(line) for line in lines if re.fullmatch(rb"\d{1,12}", line))

    def about(self) -> dict[str, Any]:
        """Return what made the rows; empty if that cannot be read. Anybody may have written it."""
        try:
            found = json.loads(self._note("cut.json"))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def created(self) -> float | None:
        """Return when the first entry was written, in seconds since the epoch."""
        with contextlib.suppress(OSError):
            return (self.folder / "cut.json").lstat().st_mtime
        return None

    def sweep(self) -> None:
        """Remove what killed writers left."""
        for path in self._listed(self.folder):
            if is_abandoned(path):
                with contextlib.suppress(OSError):
                    path.unlink()

    def clear(self) -> None:
        """Remove all of the cache's own files but those being written, and the folders if nothing is left in them."""
        self.sweep()
        own = [path for path in self._listed(self.folder) if _OWN.fullmatch(path.name)]
        for path in [*self.entries(), *self._set_aside(), *own]:
            with contextlib.suppress(OSError):
                path.unlink()
        for folder in (self.quarantine, self.folder):
            if _is_folder(folder):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _set_aside(self) -> list[Path]:
        return sorted(path for path in self._listed(self.quarantine) if ENTRY_NAME.fullmatch(path.name))

    def _listed(self, folder: Path, *, own: bool = True) -> list[Path]:
        """Return the regular files of a folder that is no link: this user's, or those of others."""
        if not self._is_there() or not _is_folder(folder):
            return []
        with contextlib.suppress(OSError), os.scandir(folder) as found:
            files = [item for item in found if item.is_file(follow_symlinks=False)]
            return [Path(item.path) for item in files if is_own(item.stat(follow_symlinks=False)) is own]
        return []

    def _is_there(self) -> bool:
        """Return whether the folder exists, is this user's, and no link leads to it from within the cache."""
        return _is_folder(self.folder.parent) and _is_folder(self.folder)

    def _make(self) -> None:
        """Make the folder, for this user alone.

        Raises:
            OSError: It cannot be made, or a link or another user's folder stands in its place.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.folder.parent, self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_folder(folder):
                raise NotADirectoryError(f"{folder} is a link or another user's, whom the cache does not follow")

    def _note(self, name: str) -> bytes:
        if not self._is_there():
            return b""
        try:
            with open_regular(self.folder / name, follow_links=False) as file:
                return file.read(_NOTE_BYTES)
        except OSError:
            return b""


def cut_folders(root: Path) -> list[CutFolder]:
    """Return the folders of all cuts."""
    folder = root / SCHEMA
    if not _is_folder(folder):
        return []
    try:
        names = sorted(path.name for path in folder.iterdir() if _KEY.fullmatch(path.name) and _is_folder(path))
    except OSError:
        return []
    return [CutFolder(root, name) for name in names]


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder of this user's itself, not a link to one."""
    try:
        found = path.lstat()
        return stat.S_ISDIR(found.st_mode) and is_own(found)
    except OSError:
        return False
