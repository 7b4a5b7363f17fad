"""A frozen network that sees every image once: its features come from the cache, or are computed and kept there."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache import CutKey, CutRows, Rows, Store, Use, compute_rows, fill_together, stack_digests
from tlexp.cache.cut_rows import block_size
from tlexp.cache.entry import Digests
from tlexp.config.protocol import CHUNK
from tlexp.data import ImageBank, Images, OnProgress
from tlexp.data.decode import pillow_guard
from tlexp.features.batches import FitSetup, chunk_size, normalised, stored_views
from tlexp.features.read_ahead import ReadAhead
from tlexp.models import Classifier
from tlexp.train import spared, within_memory

Decode = Callable[[Images, Positions], ImageBank]
Key = Callable[[int | None], CutKey]
"""Number of a view, None for the clean images -> the key of its rows."""

_BLOCK_BYTES = 128 << 20
"""Rows of one block, before and while they are written."""


class FeatureExtractor:
    """What the frozen layers make of images, each computed once: features, or what crosses cuts further in front.

    Args:
        classifier: On its device, every unit in front of the cuts frozen.
        setup: How images are fed.
        keys: Of each cut.
        store: Where rows are kept.
        decode: Reads images; called by a thread that reads the next ones while the network is at work.
        progress: Called by the caller's thread as images have passed the network.
        passing: Images -> their rows of each cut; None for the features, the only cut then.

    Attributes:
        use: What the cache has done so far.
    """

    def __init__(
        self,
        classifier: Classifier,
        setup: FitSetup,
        *,
        keys: Sequence[Key],
        store: Store,
        decode: Decode,
        progress: OnProgress = lambda done, count: None,
        passing: Callable[[Tensor], Sequence[Tensor]] | None = None,
    ) -> None:
        if setup.plan.channels_last:
            classifier.to(memory_format=torch.channels_last)
        self._classifier, self._setup, self._keys, self._store, self._decode = classifier, setup, keys, store, decode
        self._progress = progress
        self._passing = spared(passing or (lambda images: [classifier.features(images)]))
        self._cuts: dict[int | None, list[CutRows]] = {}
        self.use = Use()

    @functools.cached_property
    def made_by(self) -> str:
        """What names the maker of the rows of the only cut, those of views included."""
        [name] = self.makers
        return name

    @functools.cached_property
    def makers(self) -> tuple[str, ...]:
        """What names the maker of the rows of each cut, those of views included."""
        views = (*range(self._setup.views), None)
        return tuple(" ".join(key(view).digest for view in views) for key in self._keys)

    @property
    def keeps(self) -> bool:
        """Whether rows are kept for other runs."""
        return self._store.keeps

    def rows(self, images: Images, positions: Positions, *, view: int | None = None) -> Rows:
        """Return the rows (n, D) of the only cut, of images or of a stored view of them.

        Raises:
            DataError: An image cannot be read any more.
            OutOfMemoryError: An image does not fit into the device's memory, or a chunk into that of the CPU.
        """
        [cut] = self._open(view)
        digests = digests_of(images, positions)
        with self._reading(images, positions, digests, view) as reading:
            rows, use = cut.fill(
                digests,
                lambda places: self._compute(reading, places)[0],
                block=self._block(cut.key, count=len(digests)),
                expect=reading.expect,
            )
        self.use += use
        return rows

    def fill(self, images: Images, positions: Positions, *, view: int | None = None) -> None:
        """Store the rows of all cuts, in one pass over those images of which any cut lacks them.

        Raises:
            DataError: An image cannot be read any more.
            OutOfMemoryError: An image does not fit into the device's memory, or a chunk into that of the CPU.
        """
        cuts, digests = self._open(view), digests_of(images, positions)
        with self._reading(images, positions, digests, view) as reading:
            self.use += fill_together(
                cuts,
                digests,
                lambda places: self._compute(reading, places),
                block=self._block(*(cut.key for cut in cuts), count=len(digests)),
                expect=reading.expect,
            )

    def prepare(self, images: Images, positions: Positions) -> None:
        """Compute what other runs will ask for; rows that are there already do not count as used."""
        before = self.use
        self.rows(images, positions)
        self.use = dataclasses.replace(
            self.use, hits=before.hits, read_bytes=before.read_bytes, saved_seconds=before.saved_seconds
        )

    def _open(self, view: int | None) -> list[CutRows]:
        if view not in self._cuts:
            self._cuts[view] = [self._store.open(key(view)) for key in self._keys]
        return self._cuts[view]

    def _block(self, *keys: CutKey, count: int) -> int:
        """Return how many rows are computed and stored at once: fewer where they are large."""
        row_bytes: int = sum(math.prod(key.shape) * getattr(torch, key.dtype).itemsize for key in keys)
        return min(block_size(count), max(1, _BLOCK_BYTES // row_bytes // CHUNK) * CHUNK)

    @contextlib.contextmanager
    def _reading(
        self, images: Images, positions: Positions, digests: Digests, view: int | None
    ) -> Iterator[ReadAhead[Tensor]]:
        """Give what reads images, by their places among the positions, as the network takes them."""

        def read(places: Positions) -> Tensor:
            bank = self._decode(images, positions[places])
            if view is not None:
                drawn = stored_views(self._setup, digests[places])(bank.pixels, np.arange(len(bank)), view)
                bank = ImageBank(pixels=drawn, labels=bank.labels)
            [(chunk, _)] = normalised(bank, np.arange(len(bank)), self._setup)
            return chunk

        # The guard changes settings of the process, which this thread is to set and to restore, not the one that reads.
        with pillow_guard, ReadAhead(read, size=chunk_size(self._setup)) as reading:
            yield reading

    def _compute(self, reading: ReadAhead[Tensor], places: Positions) -> list[Tensor]:
        return within_memory(
            lambda: compute_rows(
                self._classifier,
                self._told(reading.parts(places), len(places)),
                passing=self._passing,
                autocast=self._setup.plan.autocast,
            ),
            "computing features: use a smaller backbone.image_size, or train.device=cpu",
        )

    def _told(self, chunks: Iterator[Tensor], count: int) -> Iterator[Tensor]:
        """Yield chunks, and tell how many images have passed."""
        done = 0
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            self._progress(done, count)


def digests_of(images: Images, positions: Positions) -> Digests:
    """Return the digests of images, (n, 32) uint8."""
    return stack_digests([images.digest(int(position)) for position in positions])
