"""Rows in the order that was asked for, read from their entries when they are taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tlexp.cache.entry import Digests, Entry

Positions = NDArray[np.int64]


@dataclass(eq=False, kw_only=True)
class Rows:
    """A view of n rows, of which some may be missing; positions are those of the digests that were asked for.

    Attributes:
        entries: Where the rows are.
        entry_of: Index of each row's entry, (n,) int64, -1 for what is missing.
        row_of: Place of each row in its entry, (n,) int64.
        row_shape: Shape of one row.
        dtype: Of the rows.
    """

    entries: list[Entry]
    entry_of: Positions
    row_of: Positions
    row_shape: tuple[int, ...]
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.entry_of)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape that all rows have together, (n, *row_shape)."""
        return (len(self), *self.row_shape)

    @property
    def missing(self) -> Positions:
        """Return the positions that are not stored, ascending."""
        return np.flatnonzero(self.entry_of < 0)

    def take(self, positions: Positions) -> Tensor:
        """Return rows in a tensor of their own, (len(positions), *row_shape); none of them may be missing."""
        chosen, places = self.entry_of[positions], self.row_of[positions]
        assert not (chosen < 0).any(), "missing rows cannot be taken"
        taken = torch.empty((len(chosen), *self.row_shape), dtype=self.dtype)
        if not len(chosen):
            return taken
        raw = taken.view(len(chosen), -1).view(torch.uint8).numpy()
        order = np.argsort(chosen, kind="stable")
        numbers, starts = np.unique(chosen[order], return_index=True)
        for number, part in zip(numbers, np.split(order, starts[1:]), strict=True):
            raw[part] = self.entries[number].rows[places[part]]
        return taken

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yield all rows in order, so many at a time; the resident memory stays that of one chunk."""
        for start in range(0, len(self), size):
            chunk = np.arange(start, min(start + size, len(self)))
            yield self.take(chunk)
            for number in np.unique(self.entry_of[chunk]):
                self.entries[number].release()


@dataclass(frozen=True, kw_only=True)
class Use:
    """What the cache did for some images.

    Attributes:
        hits: Images of which the row was stored, or was stored by another process meanwhile.
        misses: Images of which the row was computed.
        read_bytes: Size of the rows that were stored.
        written_bytes: Size of the files that were written.
        seconds: What computing took.
        saved_seconds: What computing the hits had taken.
    """

    hits: int = 0
    misses: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    seconds: float = 0.0
    saved_seconds: float = 0.0

    def __add__(self, other: "Use") -> "Use":
        return Use(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __str__(self) -> str:
        parts = []
        if self.hits:
            megabytes = self.read_bytes / 1e6
            parts.append(f"hit {self.hits:,} rows ({megabytes:.3g} MB), saved about {self.saved_seconds:.2g} s")
        if self.misses:
            stored = f", stored {self.written_bytes / 1e6:.3g} MB" if self.written_bytes else ""
            parts.append(f"computed {self.misses:,} rows in {self.seconds:.2g} s{stored}")
        return "; ".join(parts) or "nothing asked"


def locate(images: Digests, entries: Sequence[Entry]) -> tuple[Positions, Positions]:
    """Return for each image the index of the first entry that holds it, -1 if none does, and its place there."""
    entry_of, row_of = np.full(len(images), -1), np.zeros(len(images), np.int64)
    if not entries or not len(images):
        return entry_of, row_of
    held = sortable(np.concatenate([entry.images for entry in entries]))
    lengths = [len(entry.images) for entry in entries]
    order = np.argsort(held, kind="stable")
    wanted = sortable(images)
    found = order[np.minimum(np.searchsorted(held, wanted, sorter=order), len(held) - 1)]
    there = held[found] == wanted
    starts = np.cumsum([0, *lengths[:-1]])
    owner = np.searchsorted(starts, found, side="right") - 1
    entry_of[there], row_of[there] = owner[there], (found - starts[owner])[there]
    return entry_of, row_of


def sortable(images: Digests) -> NDArray[np.bytes_]:
    """Return digests as bytes of one length, which numpy can compare."""
    return np.ascontiguousarray(images).view("S32").ravel()
