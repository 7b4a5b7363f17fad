"""Several cuts filled in one pass over their images."""

import functools
import time
from collections.abc import Callable, Sequence

from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache.cut_rows import CutRows, Expect
from tlexp.cache.entry import Digests
from tlexp.cache.rows import Use

ComputeAll = Callable[[Positions], Sequence[Tensor]]
"""Positions among the images asked for -> their rows of each cut."""


def fill_together(
    stores: Sequence[CutRows],
    images: Digests,
    compute: ComputeAll,
    *,
    block: int | None = None,
    expect: Expect = lambda positions: None,
) -> Use:
    """Compute and store the rows of all cuts, block by block; return what that took.

    Images of which no cut has a row are computed once for all of them. Processes that fill the same images at once
    share the work: a block's rows of the first cut are stored last.

    Args:
        stores: The cuts.
        images: Digests, (n, 32) uint8; the same may come several times.
        compute: Called with ascending positions in `images`.
        block: Rows computed at once; None takes a 16th of the images, 64..4096 in whole chunks.
        expect: Called before each block with the positions of the next.
    """
    use = Use()
    for place, store in enumerate(stores):
        if not len(store.find(images).missing):
            continue
        written = [0]
        computed = functools.partial(_compute, stores, place, images, compute, written)
        _, took = store.fill(images, computed, block=block, expect=expect)
        use += Use(misses=took.misses, written_bytes=took.written_bytes + sum(written), seconds=took.seconds)
    return use


def _compute(
    stores: Sequence[CutRows],
    place: int,
    images: Digests,
    compute: ComputeAll,
    written: list[int],
    positions: Positions,
) -> Tensor:
    """Return the rows of one cut, after storing those of the later ones that lack them."""
    began = time.perf_counter()
    rows = compute(positions)
    share = (time.perf_counter() - began) / len(stores)  # what a cut alone would have taken is not known
    for store, made in zip(stores[place + 1 :], rows[place + 1 :], strict=True):
        lacking = store.find(images[positions]).missing
        written.append(store.add(images[positions[lacking]], made[lacking], seconds=share))
    return rows[place]
