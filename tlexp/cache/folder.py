"""The folder of the cache: those of all cuts, what lies there, and which of its entries were opened."""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlexp.cache.cut_folder import CutFile, CutFolder, cut_folders
from tlexp.cache.entry import BadEntryError, CacheEntry, open_entry
from tlexp.cache.key import CutKey
from tlexp.data.index import index_files


@dataclass(frozen=True, kw_only=True)
class CutInfo:
    """What is stored of one cut.

    Attributes:
        cut: Digest of the cut key.
        about: The key's values, as they were noted; informational.
        files: Entries.
        rows: Rows in them.
        size: Their bytes.
        created: When the first was written, seconds since the epoch; None if unknown.
        used: When one was read or written last.
        hits: Rows that needed no computing, as far as that was noted.
    """

    cut: str
    about: dict[str, Any]
    files: int
    rows: int
    size: int
    created: float | None
    used: float
    hits: int


@dataclass(frozen=True, kw_only=True)
class CacheReport:
    """What verifying found: how much was read, and each bad entry as "path: reason"."""

    files: int
    size: int
    bad: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was removed."""

    files: int
    size: int


class CacheFolder:
    """The folder of all cuts; what it has opened and verified once it does not open and verify again.

    Args:
        folder: Where entries lie; None for none.
        max_bytes: Above this, what was used least recently is removed after every writing.
        warn: Hears of bad entries, and once of a folder that cannot be written; one sentence each.
    """

    def __init__(self, folder: Path | None, *, max_bytes: int, warn: Callable[[str], None] = warnings.warn) -> None:
        self.folder, self.max_bytes, self.warn = folder, max_bytes, warn
        self.writable = folder is not None
        self._opened: dict[Path, CacheEntry] = {}
        self._told_foreign = False

    @property
    def keeps(self) -> bool:
        """Whether rows can be written where other processes find them."""
        return self.writable and self.max_bytes > 0

    def entries(self) -> list[CutInfo]:
        """Return what is stored, a line for each cut, the one used last first."""
        found = []
        for cut_folder in self._cut_folders():
            files = [file for file in cut_folder.files() if not file.bad]
            if files:
                found.append(
                    CutInfo(
                        cut=cut_folder.cut,
                        about=cut_folder.about(),
                        files=len(files),
                        rows=sum(_count(file.path, cut_folder.cut) for file in files),
                        size=sum(file.size for file in files),
                        created=cut_folder.created(),
                        used=max(file.used for file in files),
                        hits=cut_folder.hits(),
                    )
                )
        return sorted(found, key=lambda info: info.used, reverse=True)

    def verify(self) -> CacheReport:
        """Read every entry whole; set the bad ones aside."""
        files, size, bad = 0, 0, []
        for cut_folder in self._cut_folders():
            for path in cut_folder.entries():
                try:
                    entry = open_entry(path, cut_folder.cut)
                    entry.verify()
                except FileNotFoundError:
                    continue
                except (BadEntryError, OSError) as error:
                    cut_folder.set_aside(path)
                    bad.append(f"{path}: {reason(error)}")
                else:
                    size += entry.images.nbytes + entry.rows.nbytes
                files += 1
        return CacheReport(files=files, size=size, bad=tuple(bad))

    def prune(self, max_bytes: int) -> Removed:
        """Remove what was set aside, then what was used least recently, until no more bytes than that are left."""
        found: list[CutFile] = []
        for cut_folder in self._cut_folders():
            cut_folder.sweep()
            found += cut_folder.files()
        left = sum(file.size for file in found)
        files, size = 0, 0
        for file in sorted(found, key=lambda file: (not file.bad, file.used)):
            if left - size <= max_bytes:
                break
            with contextlib.suppress(OSError):
                file.path.unlink()
                files, size = files + 1, size + file.size
        return Removed(files=files, size=size)

    def clear(self) -> Removed:
        """Remove everything that the cache wrote."""
        sizes = [file.size for cut_folder in self._cut_folders() for file in cut_folder.files()]
        for cut_folder in self._cut_folders():
            cut_folder.clear()
        for path in self.index_files():
            with contextlib.suppress(OSError):
                sizes.append(path.stat().st_size)
                path.unlink()
        return Removed(files=len(sizes), size=sum(sizes))

    def index_files(self) -> list[Path]:
        """Return the files that keep what checks of images found."""
        return [] if self.folder is None else index_files(self.folder)

    def open_entry(self, path: Path, key: CutKey) -> CacheEntry:
        """Return an entry of a cut, opened once.

        Raises:
            BadEntryError: It is not one.
            OSError: It is gone or cannot be read.
        """
        if path not in self._opened:
            self._opened[path] = open_entry(path, key.digest, key)
        return self._opened[path]

    def forget(self, path: Path) -> None:
        """Open an entry anew the next time."""
        self._opened.pop(path, None)

    def pass_over(self, foreign: Sequence[Path]) -> None:
        """Say once that there are other users' entries, which count as absent."""
        if foreign and not self._told_foreign:
            self._told_foreign = True
            self.warn(
                f"{len(foreign)} entries of the feature cache belong to other users and are not believed, e.g. "
                f"{foreign[0]}: their rows are computed again; name a folder of your own with cache.dir"
            )

    def give_up(self, error: OSError) -> None:
        """Write no more, and say so once."""
        if self.writable:
            self.writable = False
            self.warn(
                f"the cache folder {self.folder} cannot be written ({reason(error)}): features are kept in memory "
                "for this run; name another folder with cache.dir, or say cache=off"
            )

    def _cut_folders(self) -> list[CutFolder]:
        return [] if self.folder is None else cut_folders(self.folder)


def _count(path: Path, cut: str) -> int:
    """Return the rows of an entry, 0 if it is bad."""
    try:
        return len(open_entry(path, cut).images)
    except (BadEntryError, OSError):
        return 0


def reason(error: Exception) -> str:
    """Return in words why an entry or a folder cannot be used."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
