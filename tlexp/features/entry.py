"""The frozen prefix of a network whose other units train: where it is cut, and where what crosses is kept."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.config.cache import CacheMode
from tlexp.features.batches import Batches, FeatureSet, FitSetup
from tlexp.models import Classifier
from tlexp.models.classifier import CHUNK, in_chunks
from tlexp.models.cut import Cut, Cutter
from tlexp.models.tracing import CutError
from tlexp.train import within_memory

_READ_BYTES_PER_SECOND = 300e6
"""Of a modest disk, the checksum that is verified counted in."""


class Storage(StrEnum):
    """Where what crosses is kept: on disk for other runs, in memory for this one, or nowhere: computed at each step."""

    disk = "disk"
    memory = "memory"
    nowhere = "nowhere"


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The frozen prefix, up to one cut or several.

    Attributes:
        cuts: Where it ends.
        cutter: What made them.
    """

    cuts: tuple[Cut, ...]
    cutter: Cutter

    @functools.cached_property
    def passing(self) -> Callable[[Tensor], list[Tensor]]:
        """Images -> rows of all cuts in one pass, in chunks."""
        prefix = self.cutter.prefix(self.cuts)
        return lambda images: in_chunks(prefix, images)

    def up_to(self, cuts: Sequence[Cut]) -> "Prefix":
        """Return the prefix up to some of the cuts."""
        return Prefix(cuts=tuple(cuts), cutter=self.cutter)

    def seconds(self, setup: FitSetup) -> float:
        """Return what one image takes, from one chunk."""
        images = _images(setup, CHUNK)
        took = []
        for _ in range(2):  # the first warms up
            began = time.perf_counter()
            with torch.no_grad(), _autocast(setup):
                [rows.cpu() for rows in self.passing(images)]
            took.append(time.perf_counter() - began)
        return min(took) / len(images)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where training enters the network in a phase that freezes units in front.

    Attributes:
        prefix: Up to the cut behind them; None where all are frozen, and the head takes their features.
        feed: What crosses, or the features, of the label budget; None where images pass the prefix at every step.
    """

    prefix: Prefix | None
    feed: FeatureSet | None

    def enter(self, classifier: Classifier, images: Batches, positions: Positions) -> tuple[Classifier, Batches]:
        """Return the network that is trained, and its batches.

        Args:
            classifier: The whole network, frozen as in the phase.
            images: ImageBatches of images.
            positions: Of the label budget, to train on.
        """
        if self.prefix is not None:
            classifier.split(self.prefix.cuts[0], self.prefix.passing)
        return (classifier, images) if self.feed is None else (classifier.behind_cut(), self.feed.batches(positions))


def build_prefix(classifier: Classifier, depths: Sequence[int], setup: FitSetup, *, strict: bool = True) -> Prefix:
    """Return the frozen prefix up to cuts behind so many units each; the classifier is in evaluation mode afterwards.

    Args:
        classifier: On its device, frozen as deep as the deepest cut.
        depths: Where it is cut; all units for the features.
        setup: How it is fed.
        strict: Whether a depth at which it cannot be cut is an error; else it is left out.

    Raises:
        CutError: The backbone cannot be cut at one of them; says why.
        OutOfMemoryError: Three images do not fit into the device's memory.
    """
    assert max(depths) <= classifier.depth
    if setup.plan.channels_last:
        classifier.to(memory_format=torch.channels_last)

    def build() -> Prefix:
        cuts: list[Cut] = []
        with _autocast(setup):
            cutter = Cutter(classifier.backbone, classifier.units, _images(setup, 3))
            for depth in depths:
                try:
                    whole = depth == len(classifier.units)
                    cuts.append(cutter.whole() if whole else cutter.cut(depth, still=still))
                except CutError:
                    if strict:
                        raise
        return Prefix(cuts=tuple(cuts), cutter=cutter)

    still = None
    if classifier.depth < len(classifier.units):  # the others train, in modes of which the policy knows more than a cut
        still = {name for name, module in classifier.train().backbone.named_modules() if not module.training}
    classifier.eval()
    return within_memory(build, "cutting the backbone: use a smaller backbone.image_size, or train.device=cpu")


def choose_storage(
    mode: CacheMode,
    row_bytes: int,
    *,
    rows: int,
    seconds: Callable[[], float],
    keeps: bool,
    max_bytes: int,
    memory_bytes: int,
) -> Storage:
    """Return where rows are kept; what is computed does not depend on it.

    Args:
        mode: Of the cache.
        row_bytes: Size of one row.
        rows: All that the run needs.
        seconds: What computing a row takes; asked for only where it matters.
        keeps: Whether the cache has a folder to keep rows in.
        max_bytes: The cache's limit.
        memory_bytes: Rows, and a copy of them to train on, may fill so much memory.
    """
    size = rows * row_bytes
    if mode is CacheMode.on:
        return Storage.disk
    if mode is CacheMode.auto and keeps and size <= max_bytes and row_bytes < _READ_BYTES_PER_SECOND * seconds():
        return Storage.disk
    return Storage.memory if 2 * size <= memory_bytes else Storage.nowhere


def _images(setup: FitSetup, count: int) -> Tensor:
    """Return noise in the shape of images, on the device."""
    side = setup.expected.image_size
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    layout = torch.channels_last if setup.plan.channels_last else torch.contiguous_format
    return images.to(setup.device).contiguous(memory_format=layout)


def _autocast(setup: FitSetup) -> torch.autocast:
    dtype = setup.plan.autocast
    return torch.autocast(setup.device.type, dtype=dtype, enabled=dtype is not None)
