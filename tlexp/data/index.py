"""What checks of image files found, kept so that later commands need not read a file that has not changed.

A file has not changed while its `Stamp` is the one that it had when it was checked. One that changed less than `RACY`
before that is not kept: its times may be too coarse to tell a change that came just after. What else decides a check is
part of the place where it is found. Nothing depends on the store: what cannot be read or written there is as good as
absent, and each row carries a digest of itself.

<cache>/checked/1.sqlite    files: digest of the folder's path and of what decides a check, digest of the file's name,
                                   stamp and verdict, digest of the row
                            folders: the first of these, and the day of its last use
"""

import contextlib
import functools
import hashlib
import json
import os
import sqlite3
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.decode import Decoding, decoder_versions
from tlexp.paths import PACKAGE, is_own, is_regular

Stamp = tuple[int, int, int, int, int]
"""Of a file: bytes, last change of its content and of its node in nanoseconds, its node and device."""
RACY = 2_000_000_000
"""Nanoseconds: the coarsest times that a common file system keeps."""

_DECIDING = ("colour", "decode", "files", "jpeg", "rgb", "verdicts", "whole")
"""Modules beside this one that decide what a check finds: whatever changes in them makes all checks anew."""
_WAIT_SECONDS = 5.0
"""So long is waited for another process that writes."""
_FLUSH_SECONDS = 30.0
"""So much checking may be lost where a process is killed."""
_DAY = 86_400
_KEPT_DAYS = 90
"""A folder that was not used for longer is forgotten."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS files (folder BLOB, name BLOB, row BLOB, digest BLOB, PRIMARY KEY (folder, name)) "
    "WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS folders (folder BLOB PRIMARY KEY, day INTEGER) WITHOUT ROWID",
)
_NAMES = "SELECT name FROM files WHERE folder = ?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the check of an image file found.

    Attributes:
        digest: Of its content, 64 hexadecimal digits.
        short_side: In pixels.
        conversions: What its decoding converted.
        refusal: Why it cannot be used, and then there is nothing else; None where it can.
    """

    digest: str = ""
    short_side: int = 0
    conversions: tuple[str, ...] = ()
    refusal: str | None = None


Keep = Callable[[str, Stamp, Verdict], None]
"""Takes a file's path, the stamp that it had before and after it was read, and what that found."""


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of the file at a path, behind all links; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path per file is slow
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def settled(stamp: Stamp) -> bool:
    """Return whether every change from now on will show in a file's stamp."""
    return max(stamp[1], stamp[2]) + RACY <= time.time_ns()


class Index:
    """The store.

    Args:
        cache: Folder of the whole cache; None for an index that finds and keeps nothing.
        recheck: Find nothing, so that all files are read.
    """

    def __init__(self, cache: Path | None, *, recheck: bool = False) -> None:
        self._path = None if cache is None else index_path(cache)
        self._recheck = recheck

    def find(self, paths: Iterable[str], asked: Decoding) -> dict[str, Verdict]:
        """Return what is known of the files that are as they were, by path.

        Args:
            paths: Of the files.
            asked: How they are decoded.
        """
        found: dict[str, Verdict] = {}
        if self._recheck or self._path is None or not _begun(self._path):
            return found
        folders = {_folder_key(folder, asked): inside for folder, inside in _by_folder(paths).items()}
        with _harmless(self._path), _opened(self._path) as store:
            for key, inside in folders.items():
                found |= _unchanged(inside, _rows(store, key))
            _note_use(store, folders)
        return found

    @contextlib.contextmanager
    def keeping(self, asked: Decoding) -> Iterator[Keep]:
        """Give what keeps verdicts: now and then, and at the end, however that comes.

        Args:
            asked: How the files are decoded.
        """
        waiting: dict[str, tuple[Stamp, Verdict]] = {}
        written = time.monotonic()

        def keep(path: str, stamp: Stamp, verdict: Verdict) -> None:
            nonlocal written
            waiting[path] = stamp, verdict
            if time.monotonic() - written > _FLUSH_SECONDS:
                self._write(waiting, asked)
                waiting.clear()
                written = time.monotonic()

        try:
            yield keep
        finally:
            self._write(waiting, asked)

    def _write(self, found: Mapping[str, tuple[Stamp, Verdict]], asked: Decoding) -> None:
        if self._path is None or not found:
            return
        with _harmless(self._path):
            for made in (self._path.parent.parent, self._path.parent):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _opened(self._path) as store:
                store.execute("BEGIN IMMEDIATE")
                for table in _TABLES:
                    store.execute(table)
                for folder, inside in _by_folder(found).items():
                    rows = {name: _row(*found[path]) for path, name in inside}
                    _insert(store, _folder_key(folder, asked), rows, _names(folder))
                _forget_unused(store)
                store.execute("COMMIT")


def index_path(cache: Path) -> Path:
    """Return where the store of a cache lies; its folder holds nothing else."""
    return cache / "checked" / "1.sqlite"


def index_files(cache: Path) -> list[Path]:
    """Return the files of the store of a cache, as far as they are this user's own."""
    path = index_path(cache)
    files = (path, path.with_name(f"{path.name}-journal"))
    return [file for file in files if is_regular(file) and _is_safe(path)]


def _begun(path: Path) -> bool:
    """Return whether something was ever written into a store: it is empty until its first transaction ends."""
    try:
        return path.lstat().st_size > 0
    except OSError:
        return False


@contextlib.contextmanager
def _harmless(path: Path) -> Iterator[None]:
    """End what is done inside when the store cannot be used; one that is damaged is removed."""
    try:
        yield
    except OSError:
        return
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter is a message that quotes what is damaged
        number = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, sqlite3.OperationalError) and number != sqlite3.SQLITE_ERROR:
            return  # no room, no right, another process that takes long
        for damaged in index_files(path.parent.parent):
            damaged.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Give the store.

    Raises:
        OSError: The store or its folder is another user's, or no file, or a link.
        sqlite3.Error: It cannot be opened.
    """
    if not _is_safe(path):
        raise PermissionError(path)
    with contextlib.closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as store:
        store.text_factory = bytes  # what is damaged may be called a text
        yield store


def _is_safe(path: Path) -> bool:
    """Return whether a store and its folder are this user's own, and no links; the store may be missing."""
    with contextlib.suppress(FileNotFoundError):
        folder = path.parent.lstat()
        if not stat.S_ISDIR(folder.st_mode) or not is_own(folder):
            return False
        file = path.lstat()
        return stat.S_ISREG(file.st_mode) and is_own(file)
    return True


def _rows(store: sqlite3.Connection, folder: bytes) -> dict[bytes, bytes]:
    """Return the rows of a folder that are as they were written, by the digest of the file's name."""
    rows = store.execute("SELECT name, row, digest FROM files WHERE folder = ?", (folder,))
    return {
        name: row
        for name, row, digest in rows
        if isinstance(name, bytes) and isinstance(row, bytes) and digest == _own_digest(folder, name, row)
    }


def _unchanged(inside: Iterable[tuple[str, bytes]], rows: Mapping[bytes, bytes]) -> Iterator[tuple[str, Verdict]]:
    """Yield the files of a folder that are as they were, with what is known of them."""
    for path, name in inside:
        if name in rows:
            *stamp, digest, short_side, conversions, refusal = json.loads(rows[name])
            if tuple(stamp) == stamp_of(path):
                yield (
                    path,
                    Verdict(digest=digest, short_side=short_side, conversions=tuple(conversions), refusal=refusal),
                )


def _insert(store: sqlite3.Connection, folder: bytes, rows: Mapping[bytes, bytes], there: frozenset[bytes]) -> None:
    """Write rows of a folder, and forget the files that are gone from it.

    Raises:
        sqlite3.DatabaseError: What was written is not found: a damaged key among others misleads every search.
    """
    known = {name for (name,) in store.execute(_NAMES, (folder,))}
    store.executemany("DELETE FROM files WHERE folder = ? AND name = ?", [(folder, name) for name in known - there])
    values = [(folder, name, row, _own_digest(folder, name, row)) for name, row in rows.items()]
    store.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)
    store.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (folder, _today()))
    if {name for (name,) in store.execute(_NAMES, (folder,))} != known & there | rows.keys():
        raise sqlite3.DatabaseError("keys are out of order")


def _note_use(store: sqlite3.Connection, folders: Iterable[bytes]) -> None:
    """Note that folders were used today, where that is not known yet."""
    days = dict(store.execute("SELECT folder, day FROM folders"))
    older = [(_today(), folder) for folder in folders if days.get(folder, _today()) != _today()]
    store.executemany("UPDATE folders SET day = ? WHERE folder = ?", older)


def _forget_unused(store: sqlite3.Connection) -> None:
    last = (_today() - _KEPT_DAYS,)
    store.execute("DELETE FROM files WHERE folder IN (SELECT folder FROM folders WHERE day < ?)", last)
    store.execute("DELETE FROM folders WHERE day < ?", last)


def _row(stamp: Stamp, verdict: Verdict) -> bytes:
    said = (verdict.digest, verdict.short_side, verdict.conversions, verdict.refusal)
    return json.dumps([*stamp, *said], separators=(",", ":")).encode()


def _own_digest(folder: bytes, name: bytes, row: bytes) -> bytes:
    return hashlib.blake2b(folder + name + row, digest_size=8).digest()


def _by_folder(paths: Iterable[str]) -> dict[str, list[tuple[str, bytes]]]:
    """Return the files of each folder: path, and digest of the name."""
    found: defaultdict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for path in paths:
        folder, name = os.path.split(path)
        found[folder].append((path, _name_key(name)))
    return found


def _names(folder: str) -> frozenset[bytes]:
    return frozenset(map(_name_key, os.listdir(folder or os.curdir)))  # noqa: PTH208 - a Path per file is slow


def _name_key(name: str) -> bytes:
    return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()


def _folder_key(folder: str, asked: Decoding) -> bytes:
    place = os.fsencode(os.path.abspath(folder))  # noqa: PTH100 - paths may be no text
    return hashlib.blake2b(place, key=_deciding(asked), digest_size=16).digest()


@functools.cache
def _deciding(asked: Decoding) -> bytes:
    """Return the digest of what decides a check besides the file: settings, decoders and this package's own code."""
    sha = hashlib.sha256(json.dumps([asked.max_pixels, asked.bits, asked.decoder, *decoder_versions()]).encode())
    for name in _DECIDING:
        sha.update((PACKAGE / "data" / f"{name}.py").read_bytes())
    return sha.digest()


def _today() -> int:
    return int(time.time()) // _DAY
