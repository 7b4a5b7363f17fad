"""Several cuts in one pass: each image computed once, and every row where its own cut looks for it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.cache.conftest import Computer, a_key, some_images, true_rows
from tlexp.arrays import Positions
from tlexp.cache import Store, fill_together

WIDTHS = (6, 40, 3)


def keys() -> list[object]:
    return [a_key(cut=f"cut {width}", shape=(width,)) for width in WIDTHS]


class Together(Computer):
    """Computes true rows of all cuts."""

    def __call__(self, positions: Positions) -> list[torch.Tensor]:
        self.calls.append(positions.tolist())
        return [true_rows(self.images[positions], width) for width in WIDTHS]


def test_every_image_is_computed_once_for_all_cuts(store: Store, again: Callable[[], Store]) -> None:
    images = some_images(75)
    images = np.concatenate([images, images[3:5]])  # two come twice
    cuts = [store.open(key) for key in keys()]
    cuts[1].add(images[10:20], true_rows(images[10:20], WIDTHS[1]))
    compute = Together(images)
    use = fill_together(cuts, images, compute, block=32)
    assert compute.computed == list(range(75))
    assert (use.hits, use.misses) == (0, 75)
    assert use.written_bytes > 75 * sum(WIDTHS) * 4 - 10 * WIDTHS[1] * 4
    for key, width in zip(keys(), WIDTHS, strict=True):
        rows = again().open(key).find(images)
        assert not len(rows.missing)
        assert torch.equal(rows.take(np.arange(77)), true_rows(images, width))
        held = sum(len(entry.images) for entry in rows.entries)
        assert held == 75  # nothing twice


def test_nothing_is_computed_where_nothing_is_missing(store: Store) -> None:
    images = some_images(40)
    cuts = [store.open(key) for key in keys()]
    fill_together(cuts, images, Together(images))
    compute = Together(images)
    assert fill_together(cuts, images, compute).misses == 0
    assert compute.calls == []


def test_what_only_a_later_cut_lacks_is_computed_for_it(store: Store) -> None:
    images = some_images(40)
    cuts = [store.open(key) for key in keys()]
    cuts[0].add(images, true_rows(images, WIDTHS[0]))
    compute = Together(images)
    fill_together(cuts, images, compute)
    assert compute.computed == list(range(40))
    assert torch.equal(cuts[2].find(images).take(np.arange(40)), true_rows(images, WIDTHS[2]))


def test_blocks_before_an_error_stay(store: Store) -> None:
    images = some_images(96)
    cuts = [store.open(key) for key in keys()]

    def failing(positions: Positions) -> list[torch.Tensor]:
        if 64 in positions:
            raise RuntimeError("no more")
        return Together(images)(positions)

    with pytest.raises(RuntimeError, match="no more"):
        fill_together(cuts, images, failing, block=32)
    assert [len(cut.find(images).missing) for cut in cuts] == [32, 32, 32]
