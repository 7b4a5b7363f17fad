"""The cache: rows of features by cut key and image digest, on disk or in memory alone.

What is wrong is never read: an entry is verified before its first row is, a bad one is set aside and its rows count as
missing. What cannot be written is kept in memory. Correctness depends on no lock: entries are immutable and only ever
unlinked, so a reader keeps what it has opened.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from tlexp.cache.cut_rows import CutRows
from tlexp.cache.folder import CacheFolder, Removed
from tlexp.cache.key import CutKey

_OPEN_CUTS = 32
"""Cuts that a store remembers: the views of a few networks."""


class Store(CacheFolder):
    """All cuts. Keep one for as long as rows are needed: what it has verified once it does not verify again.

    Args:
        folder: Where entries lie; None keeps rows in memory, those of the cuts that were opened last.
        max_bytes: Above this, what was used least recently is removed after every writing.
        warn: Hears of bad entries, and once of a folder that cannot be written; one sentence each.
    """

    def __init__(self, folder: Path | None, *, max_bytes: int, warn: Callable[[str], None] = warnings.warn) -> None:
        super().__init__(folder, max_bytes=max_bytes, warn=warn)
        self._cuts: OrderedDict[CutKey, CutRows] = OrderedDict()

    def open(self, key: CutKey) -> CutRows:
        """Return the rows of one cut; what it keeps in memory is there for whoever opens it next."""
        cut = self._cuts.pop(key, None) or CutRows(self, key)
        self._cuts[key] = cut
        if len(self._cuts) > _OPEN_CUTS:
            self._cuts.popitem(last=False)
        return cut

    def prune(self, max_bytes: int) -> Removed:
        """Remove what was set aside, then what was used least recently, until no more bytes than that are left."""
        self._cuts.clear()
        return super().prune(max_bytes)

    def clear(self) -> Removed:
        """Remove everything that the cache wrote."""
        self._cuts.clear()
        return super().clear()
