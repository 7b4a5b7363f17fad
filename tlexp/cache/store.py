"""The cache: rows of features by cut key and image digest, on disk or in memory alone.

What is wrong is never read: an entry is verified before its first row is, a bad one is set aside and its rows count as
missing. What cannot be written is kept in memory. Correctness depends on no lock: entries are immutable and only ever
unlinked, so a reader keeps what it has opened.
"""

import contextlib
import hashlib
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tlexp.cache.entry import BadEntryError, Digests, Entry, entry_content, memory_entry, open_entry
from tlexp.cache.key import CutKey, dtype_name
from tlexp.cache.rows import Positions, Rows, Use, locate, sortable
from tlexp.cache.shelf import Shelf, ShelfFile, shelves
from tlexp.models.classifier import CHUNK

Compute = Callable[[Positions], Tensor]
"""Positions among the images asked for -> their rows, (len(positions), *row shape)."""

_PATIENCE_SECONDS = 30.0
"""So long a block may be in another process's hands, after everything else is done, before it is computed here too."""
_POLL_SECONDS = 0.05
_OPEN_CUTS = 32
"""Cuts that a store remembers: the views of a few networks."""


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
class Report:
    """What verifying found: how much was read, and each bad entry as "path: reason"."""

    files: int
    size: int
    bad: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was removed."""

    files: int
    size: int


class Store:
    """All cuts. Keep one for as long as rows are needed: what it has verified once it does not verify again.

    Args:
        folder: Where entries lie; None keeps rows in memory, those of the cuts that were opened last.
        max_bytes: Above this, what was used least recently is removed after every writing.
        warn: Hears of bad entries, and once of a folder that cannot be written; one sentence each.
    """

    def __init__(self, folder: Path | None, *, max_bytes: int, warn: Callable[[str], None] = warnings.warn) -> None:
        self.folder, self.max_bytes, self.warn = folder, max_bytes, warn
        self.writable = folder is not None
        self._opened: dict[Path, Entry] = {}
        self._cuts: OrderedDict[CutKey, CutStore] = OrderedDict()

    @property
    def keeps(self) -> bool:
        """Whether rows can be written where other processes find them."""
        return self.writable and self.max_bytes > 0

    def open(self, key: CutKey) -> "CutStore":
        """Return the rows of one cut; what it keeps in memory is there for whoever opens it next."""
        cut = self._cuts.pop(key, None) or CutStore(self, key)
        self._cuts[key] = cut
        if len(self._cuts) > _OPEN_CUTS:
            self._cuts.popitem(last=False)
        return cut

    def entries(self) -> list[CutInfo]:
        """Return what is stored, a line for each cut, the one used last first."""
        found = []
        for shelf in self._shelves():
            files = [file for file in shelf.files() if not file.bad]
            if files:
                found.append(
                    CutInfo(
                        cut=shelf.cut,
                        about=shelf.about(),
                        files=len(files),
                        rows=sum(_count(file.path, shelf.cut) for file in files),
                        size=sum(file.size for file in files),
                        created=shelf.created(),
                        used=max(file.used for file in files),
                        hits=shelf.hits(),
                    )
                )
        return sorted(found, key=lambda info: info.used, reverse=True)

    def verify(self) -> Report:
        """Read every entry whole; set the bad ones aside."""
        files, size, bad = 0, 0, []
        for shelf in self._shelves():
            for path in shelf.entries():
                try:
                    entry = open_entry(path, shelf.cut)
                    entry.verify()
                except FileNotFoundError:
                    continue
                except (BadEntryError, OSError) as error:
                    shelf.set_aside(path)
                    bad.append(f"{path}: {_reason(error)}")
                else:
                    size += entry.images.nbytes + entry.rows.nbytes
                files += 1
        return Report(files=files, size=size, bad=tuple(bad))

    def prune(self, max_bytes: int) -> Removed:
        """Remove what was set aside, then what was used least recently, until no more bytes than that are left."""
        self._cuts.clear()
        found: list[ShelfFile] = []
        for shelf in self._shelves():
            shelf.sweep()
            found += shelf.files()
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
        self._cuts.clear()
        found = [file for shelf in self._shelves() for file in shelf.files()]
        for shelf in self._shelves():
            shelf.clear()
        return Removed(files=len(found), size=sum(file.size for file in found))

    def _shelves(self) -> list[Shelf]:
        return [] if self.folder is None else shelves(self.folder)

    def _open_entry(self, path: Path, key: CutKey) -> Entry:
        if path not in self._opened:
            self._opened[path] = open_entry(path, key.digest, key)
        return self._opened[path]

    def _forget(self, path: Path | None) -> None:
        if path is not None:
            self._opened.pop(path, None)

    def _give_up(self, error: OSError) -> None:
        """Write no more, and say so once."""
        if self.writable:
            self.writable = False
            self.warn(
                f"the cache folder {self.folder} cannot be written ({_reason(error)}): features are kept in memory "
                "for this run; name another folder with cache.dir, or say cache=off"
            )


class CutStore:
    """The rows of one cut.

    Args:
        store: That it belongs to.
        key: The cut.
    """

    def __init__(self, store: Store, key: CutKey) -> None:
        self.key = key
        self._store = store
        self._shelf = None if store.folder is None else Shelf(store.folder, key.digest)
        self._files: dict[Path, Entry] = {}
        self._memory: list[Entry] = []
        self._refused: set[Path] = set()

    def find(self, images: Digests) -> Rows:
        """Return what is stored of images, verified.

        Args:
            images: Digests, (n, 32) uint8.
        """
        self._reload()
        while True:
            entries = [*self._files.values(), *self._memory]
            entry_of, row_of = locate(images, entries)
            used = [entries[number] for number in np.unique(entry_of[entry_of >= 0])]
            bad = {entry.path: reason for entry in used if (reason := _fault(entry)) and entry.path}
            if not bad:
                break
            self._discard(bad)
        for entry in used:
            _touch(entry)
        dtype = getattr(torch, self.key.dtype)
        return Rows(entries=entries, entry_of=entry_of, row_of=row_of, row_shape=self.key.shape, dtype=dtype)

    def add(self, images: Digests, rows: Tensor, *, seconds: float = 0.0) -> int:
        """Store rows; return the bytes written, 0 if they are kept in memory alone.

        Args:
            images: Digests, (n, 32) uint8.
            rows: (n, *key.shape) of key.dtype.
            seconds: What computing them took.
        """
        rows = rows.detach().cpu()
        assert (tuple(rows.shape), dtype_name(rows.dtype)) == ((len(images), *self.key.shape), self.key.dtype)
        if not len(images):
            return 0
        entry, written = self._write(images, rows, seconds)
        if entry is None:
            self._memory.append(memory_entry(images, rows, seconds))
        return written

    def fill(self, images: Digests, compute: Compute, *, block: int | None = None) -> tuple[Rows, Use]:
        """Return the rows of all images, and what that took; what is missing is computed and stored block by block.

        Processes that fill the same images at once share the work. An exception of `compute` passes through; the blocks
        before are stored then.

        Args:
            images: Digests, (n, 32) uint8; the same may come several times and is computed once.
            compute: Called with ascending positions in `images`.
            block: Rows computed at once; None takes a 16th of the images, 64..4096 in whole chunks.
        """
        rows = self.find(images)
        unique = np.sort(np.unique(sortable(images), return_index=True)[1])
        stored = unique[rows.entry_of[unique] >= 0]
        use = self._hits(rows, stored)
        while len(rows.missing):
            missing = unique[rows.entry_of[unique] < 0]
            use += self._compute(images, missing, compute, block or block_size(len(unique)))
            rows = self.find(images)
        shared = len(unique) - len(stored) - use.misses
        if self._shelf is not None and len(stored):
            self._shelf.count_use(len(stored))
        return rows, use + Use(hits=max(0, shared))

    def _compute(self, images: Digests, missing: Positions, compute: Compute, block: int) -> Use:
        """Compute and store what is missing, except what other processes store meanwhile."""
        use, foreign = Use(), []
        pending = [missing[start : start + block] for start in range(0, len(missing), block)]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while pending:
            skipped = []
            for part in pending:
                with self._locked(images[part]) as mine:
                    foreign += self._reload()
                    left = part[locate(images[part], foreign)[0] < 0]
                    if not len(left):
                        continue
                    if not mine and time.monotonic() < deadline:
                        skipped.append(part)
                        continue
                    use += self._compute_block(images, left, compute)
                    deadline = time.monotonic() + _PATIENCE_SECONDS
            if len(skipped) == len(pending):
                time.sleep(_POLL_SECONDS)
            pending = skipped
        return use

    def _compute_block(self, images: Digests, positions: Positions, compute: Compute) -> Use:
        began = time.perf_counter()
        rows = compute(positions).detach().cpu()
        seconds = time.perf_counter() - began
        written = self.add(images[positions], rows, seconds=seconds)
        return Use(misses=len(positions), written_bytes=written, seconds=seconds)

    def _hits(self, rows: Rows, positions: Positions) -> Use:
        numbers, counts = np.unique(rows.entry_of[positions], return_counts=True)
        held = [(rows.entries[number], int(count)) for number, count in zip(numbers, counts, strict=True)]
        return Use(
            hits=len(positions),
            read_bytes=sum(count * entry.rows.shape[1] for entry, count in held),
            saved_seconds=sum(count * entry.row_seconds for entry, count in held),
        )

    def _write(self, images: Digests, rows: Tensor, seconds: float) -> tuple[Entry | None, int]:
        store = self._store
        if self._shelf is None or not store.writable or rows.nbytes > store.max_bytes:
            return None, 0
        content = entry_content(self.key, images, rows, seconds)
        try:
            path = self._shelf.write(content, self.key.values())
        except OSError as error:
            store._give_up(error)
            return None, 0
        try:
            entry = store._open_entry(path, self.key)
        except (OSError, BadEntryError):  # another process has evicted it already
            return None, len(content)
        entry.verified = True  # these are the bytes that were just hashed
        self._files[path] = entry
        store.prune(store.max_bytes)
        return entry, len(content)

    def _reload(self) -> list[Entry]:
        """Open the entries that were not there before; return them. What was opened stays, evicted or not."""
        new, bad = [], {}
        for path in [] if self._shelf is None else self._shelf.entries():
            if path in self._files or path in self._refused:
                continue
            try:
                self._files[path] = self._store._open_entry(path, self.key)
                new.append(self._files[path])
            except FileNotFoundError:
                continue
            except (BadEntryError, OSError) as error:
                bad[path] = _reason(error)
        if bad:
            self._discard(bad)
        return new

    def _discard(self, bad: dict[Path, str]) -> None:
        """Set bad entries aside, and say which."""
        assert self._shelf is not None
        for path in bad:
            self._files.pop(path, None)
            self._store._forget(path)
            if not self._shelf.set_aside(path):
                self._refused.add(path)
        where = "are ignored" if self._refused & bad.keys() else f"were moved to {self._shelf.quarantine}"
        named = "; ".join(f"{path}: {reason}" for path, reason in bad.items())
        self._store.warn(
            f"{len(bad)} files of the feature cache cannot be used and {where}; their rows are computed again ({named})"
        )

    @contextlib.contextmanager
    def _locked(self, images: Digests) -> Iterator[bool]:
        if self._shelf is None or not self._store.writable:
            yield True
            return
        with self._shelf.locked(hashlib.sha256(images.tobytes()).hexdigest()[:32]) as mine:
            yield mine


def block_size(images: int) -> int:
    """Return how many rows are computed and stored at once: a 16th of the images, 64..4096, in whole chunks."""
    return -(-min(max(images // 16, 64), 4096) // CHUNK) * CHUNK


def stack_digests(digests: Sequence[bytes]) -> Digests:
    """Return digests of 32 bytes each as an array, (n, 32) uint8."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _fault(entry: Entry) -> str | None:
    """Return why an entry cannot be trusted."""
    try:
        entry.verify()
    except (BadEntryError, OSError) as error:
        return _reason(error)
    return None


def _touch(entry: Entry) -> None:
    """Mark an entry as used now."""
    if entry.path is not None:
        with contextlib.suppress(OSError):
            os.utime(entry.path, follow_symlinks=False)


def _count(path: Path, cut: str) -> int:
    """Return the rows of an entry, 0 if it is bad."""
    try:
        return len(open_entry(path, cut).images)
    except (BadEntryError, OSError):
        return 0


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
