"""The rows of one cut: found, computed where they are missing, and stored block by block."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache.cut_folder import CutFolder
from tlexp.cache.entry import BadEntryError, CacheEntry, Digests, entry_content, memory_entry
from tlexp.cache.folder import CacheFolder, reason
from tlexp.cache.key import CutKey, dtype_name
from tlexp.cache.rows import Rows, Use, locate, sortable
from tlexp.config.protocol import CHUNK

Compute = Callable[[Positions], Tensor]
"""Positions among the images asked for -> their rows, (len(positions), *row shape)."""
Expect = Callable[[Positions], None]
"""Hears which positions will be computed after those that are computed next."""

_PATIENCE_SECONDS = 30.0
"""So long a block may be in another process's hands, after everything else is done, before it is computed here too."""
_POLL_SECONDS = 0.05


class CutRows:
    """The rows of one cut.

    Args:
        folder: That it lies in.
        key: The cut.
    """

    def __init__(self, folder: CacheFolder, key: CutKey) -> None:
        self.key = key
        self._folder = folder
        self._cut_folder = None if folder.folder is None else CutFolder(folder.folder, key.digest)
        self._files: dict[Path, CacheEntry] = {}
        self._memory: list[CacheEntry] = []
        self._refused: set[Path] = set()
        if self._cut_folder is not None:
            folder.pass_over(self._cut_folder.foreign())

    def find(self, images: Digests) -> Rows:
        """Return what is stored of images, verified.

        Args:
            images: Digests, (n, 32) uint8.
        """
        while True:
            entries = [*self._files.values(), *self._memory]
            entry_of, row_of = locate(images, entries)
            if (entry_of < 0).any() and self._reload():  # what others have stored meanwhile
                continue
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

    def fill(
        self,
        images: Digests,
        compute: Compute,
        *,
        block: int | None = None,
        expect: Expect = lambda positions: None,
    ) -> tuple[Rows, Use]:
        """Return the rows of all images, and what that took; what is missing is computed and stored block by block.

        Processes that fill the same images at once share the work. An exception of `compute` passes through; the blocks
        before are stored then.

        Args:
            images: Digests, (n, 32) uint8; the same may come several times and is computed once.
            compute: Called with ascending positions in `images`.
            block: Rows computed at once; None takes a 16th of the images, 64..4096 in whole chunks.
            expect: Called before each block with the positions of the next; another process may be quicker with them.
        """
        rows = self.find(images)
        unique = np.sort(np.unique(sortable(images), return_index=True)[1])
        stored = unique[rows.entry_of[unique] >= 0]
        use = self._hits(rows, stored)
        while len(rows.missing):
            missing = unique[rows.entry_of[unique] < 0]
            use += self._compute(images, missing, compute, block or block_size(len(unique)), expect)
            rows = self.find(images)
        shared = len(unique) - len(stored) - use.misses
        if self._cut_folder is not None and len(stored):
            self._cut_folder.count_use(len(stored))
        return rows, use + Use(hits=max(0, shared))

    def _compute(self, images: Digests, missing: Positions, compute: Compute, block: int, expect: Expect) -> Use:
        """Compute and store what is missing, except what other processes store meanwhile."""
        use, foreign = Use(), []
        pending = [missing[start : start + block] for start in range(0, len(missing), block)]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while pending:
            skipped = []
            for part, following in zip(pending, [*pending[1:], missing[:0]], strict=True):
                with self._locked(images[part]) as mine:
                    foreign += self._reload()
                    left = part[locate(images[part], foreign)[0] < 0]
                    if not len(left):
                        continue
                    if not mine and time.monotonic() < deadline:
                        skipped.append(part)
                        continue
                    expect(following)
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

    def _write(self, images: Digests, rows: Tensor, seconds: float) -> tuple[CacheEntry | None, int]:
        folder = self._folder
        if self._cut_folder is None or not folder.writable or rows.nbytes > folder.max_bytes:
            return None, 0
        content = entry_content(self.key, images, rows, seconds)
        try:
            path = self._cut_folder.write(content, self.key.values())
        except OSError as error:
            folder.give_up(error)
            return None, 0
        try:
            entry = folder.open_entry(path, self.key)
        except (OSError, BadEntryError):  # another process has evicted it already
            return None, len(content)
        entry.verified = True  # these are the bytes that were just hashed
        self._files[path] = entry
        folder.prune(folder.max_bytes)
        return entry, len(content)

    def _reload(self) -> list[CacheEntry]:
        """Open the entries that were not there before; return them. What was opened stays, evicted or not."""
        new, bad = [], {}
        for path in [] if self._cut_folder is None else self._cut_folder.entries():
            if path in self._files or path in self._refused:
                continue
            try:
                self._files[path] = self._folder.open_entry(path, self.key)
                new.append(self._files[path])
            except FileNotFoundError:
                continue
            except (BadEntryError, OSError) as error:
                bad[path] = reason(error)
        if bad:
            self._discard(bad)
        return new

    def _discard(self, bad: dict[Path, str]) -> None:
        """Set bad entries aside, and say which."""
        assert self._cut_folder is not None
        for path in bad:
            self._files.pop(path, None)
            self._folder.forget(path)
            if not self._cut_folder.set_aside(path):
                self._refused.add(path)
        where = "are ignored" if self._refused & bad.keys() else f"were moved to {self._cut_folder.quarantine}"
        named = "; ".join(f"{path}: {reason}" for path, reason in bad.items())
        self._folder.warn(
            f"{len(bad)} files of the feature cache cannot be used and {where}; their rows are computed again ({named})"
        )

    @contextlib.contextmanager
    def _locked(self, images: Digests) -> Iterator[bool]:
        if self._cut_folder is None or not self._folder.writable:
            yield True
            return
        with self._cut_folder.locked(hashlib.sha256(images.tobytes()).hexdigest()[:32]) as mine:
            yield mine


def block_size(images: int) -> int:
    """Return how many rows are computed and stored at once: a 16th of the images, 64..4096, in whole chunks."""
    return -(-min(max(images // 16, 64), 4096) // CHUNK) * CHUNK


def stack_digests(digests: Sequence[bytes]) -> Digests:
    """Return digests of 32 bytes each as an array, (n, 32) uint8."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _fault(entry: CacheEntry) -> str | None:
    """Return why an entry cannot be trusted."""
    try:
        entry.verify()
    except (BadEntryError, OSError) as error:
        return reason(error)
    return None


def _touch(entry: CacheEntry) -> None:
    """Mark an entry as used now."""
    if entry.path is not None:
        with contextlib.suppress(OSError):
            os.utime(entry.path, follow_symlinks=False)
