"""A frozen network that sees every image once: its features come from the cache, or are computed and kept there."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache import POOLED, CutKey, CutStore, Rows, Store, Use, compute_rows, stack_digests
from tlexp.cache.entry import Digests
from tlexp.data import ImageBank, Images
from tlexp.feeds import Regime, normalised, stored_views
from tlexp.models import Classifier
from tlexp.train import within_memory

Decode = Callable[[Images, Positions], ImageBank]


class FrozenNetwork:
    """Features of images, each computed once.

    Args:
        classifier: With every unit frozen, on its device.
        regime: How images are fed.
        key: Number of a view, None for the clean images -> the key of its rows.
        store: Where rows are kept.
        decode: Reads images.

    Attributes:
        use: What the cache has done so far.
    """

    def __init__(
        self,
        classifier: Classifier,
        regime: Regime,
        *,
        key: Callable[[int | None], CutKey],
        store: Store,
        decode: Decode,
    ) -> None:
        if regime.plan.channels_last:
            classifier.to(memory_format=torch.channels_last)
        self._classifier, self._regime, self._key, self._store, self._decode = classifier, regime, key, store, decode
        self._cuts: dict[int | None, CutStore] = {}
        self.use = Use()

    @property
    def keeps(self) -> bool:
        """Whether rows are kept for other runs."""
        return self._store.keeps

    def rows(self, images: Images, positions: Positions, *, view: int | None = None) -> Rows:
        """Return the features (n, D) of images, or of a stored view of them.

        Raises:
            DataError: An image cannot be read any more.
            OutOfMemoryError: A chunk does not fit into the device's memory.
        """
        digests = digests_of(images, positions)

        def compute(places: Positions) -> Tensor:
            return self._compute(images, positions[places], digests[places], view)

        if view not in self._cuts:
            self._cuts[view] = self._store.open(self._key(view))
        rows, use = self._cuts[view].fill(digests, compute)
        self.use += use
        return rows

    def prepare(self, images: Images, positions: Positions) -> None:
        """Compute what other runs will ask for; rows that are there already do not count as used."""
        before = self.use
        self.rows(images, positions)
        self.use = dataclasses.replace(
            self.use, hits=before.hits, read_bytes=before.read_bytes, saved_seconds=before.saved_seconds
        )

    def _compute(self, images: Images, positions: Positions, digests: Digests, view: int | None) -> Tensor:
        bank = self._decode(images, positions)
        if view is not None:
            drawn = stored_views(self._regime, digests)(bank.pixels, np.arange(len(bank)), view)
            bank = ImageBank(pixels=drawn, labels=bank.labels)
        chunks = (chunk for chunk, _ in normalised(bank, np.arange(len(bank)), self._regime))
        return within_memory(
            lambda: compute_rows(self._classifier, chunks, autocast=self._regime.plan.autocast)[POOLED],
            "computing features: use a smaller backbone.image_size, or train.device=cpu",
        )


def digests_of(images: Images, positions: Positions) -> Digests:
    """Return the digests of images, (n, 32) uint8."""
    return stack_digests([images.digest(int(position)) for position in positions])
