"""Several cuts filled in one pass over their images."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache.cutstore import CutStore, block_size
from tlexp.cache.entry import Digests
from tlexp.cache.rows import Use, sortable

ComputeAll = Callable[[Positions], Sequence[Tensor]]
"""Positions among the images asked for -> their rows of each cut."""


def fill_together(stores: Sequence[CutStore], images: Digests, compute: ComputeAll, *, block: int | None = None) -> Use:
    """Compute and store the rows of all cuts, block by block; an image is computed once if any cut lacks its row.

    Nothing is locked: processes that fill the same images at once may do the work twice, with equal rows.

    Args:
        stores: The cuts.
        images: Digests, (n, 32) uint8; the same may come several times.
        compute: Called with ascending positions in `images`.
        block: Rows computed at once; None takes a 16th of the images, 64..4096 in whole chunks.
    """
    unique = np.sort(np.unique(sortable(images), return_index=True)[1])
    lacks = np.zeros((len(stores), len(images)), bool)
    for store, row in zip(stores, lacks, strict=True):
        row[unique[store.find(images[unique]).missing]] = True
    missing = np.flatnonzero(lacks.any(axis=0))
    block = block or block_size(len(unique))
    use = Use()
    for start in range(0, len(missing), block):
        places = missing[start : start + block]
        began = time.perf_counter()
        rows = compute(places)
        seconds = time.perf_counter() - began
        written = 0
        for store, row, made in zip(stores, lacks, rows, strict=True):
            chosen = np.flatnonzero(row[places])
            # What one cut alone would take is not known: each is told its share.
            written += store.add(images[places[chosen]], made[chosen], seconds=seconds / len(stores))
        use += Use(misses=len(places), written_bytes=written, seconds=seconds)
    return use
