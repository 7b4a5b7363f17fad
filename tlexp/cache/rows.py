"""Rows in the order that was asked for, read from their entries when they are taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache.entry import CacheEntry, Digests


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

    entries: list[CacheEntry]
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
        """Return rows in a tensor of their own, (len(positions), *row_shape); none of them may be missing.

        The resident memory grows by the tensor and one entry, for pages that were read are released again.
        """
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
            self.entries[number].release()
        return taken


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


def locate(images: Digests, entries: Sequence[CacheEntry]) -> tuple[Positions, Positions]:
    """Return for each image the index of the first entry that holds it, -1 if none does, and its place there."""
    entry_of, row_of = np.full(len(images), -1), np.zeros(len(images), np.int64)
    if not entries or not len(images):
        return entry_of, row_of
    held = np.concatenate([entry.images for entry in entries])
    # Eight bytes find nearly everything, and are four times as fast to sort and search as all of them.
    found = _search(_begins(held), _begins(images))
    there = (held[found] == images).all(axis=1)
    doubtful = np.flatnonzero(~there & (_begins(held)[found] == _begins(images)))
    if len(doubtful):
        found[doubtful] = _search(sortable(held), sortable(images[doubtful]))
        there[doubtful] = (held[found[doubtful]] == images[doubtful]).all(axis=1)
    starts = np.cumsum([0, *(len(entry.images) for entry in entries[:-1])])
    owner = np.searchsorted(starts, found, side="right") - 1
    entry_of[there], row_of[there] = owner[there], (found - starts[owner])[there]
    return entry_of, row_of


def sortable(images: Digests) -> NDArray[np.bytes_]:
    """Return digests as bytes of one length, which numpy can compare."""
    return np.ascontiguousarray(images).view("S32").ravel()


def _begins(images: Digests) -> NDArray[np.uint64]:
    """Return the first eight bytes of digests."""
    return np.ascontiguousarray(images[:, :8]).view(np.uint64).ravel()


def _search(held: NDArray[Any], wanted: NDArray[Any]) -> Positions:
    """Return the first place in `held` of each value, or some other place if it is not there."""
    order = np.argsort(held, kind="stable")
    return order[np.minimum(np.searchsorted(held[order], wanted), len(held) - 1)]
