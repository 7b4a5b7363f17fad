"""Where training enters the network: at the images, behind a cut after the frozen units, or at the features.

images (B, 3, S, S) float32 normalised; rows (B, D), what crosses a cut or the features; positions (n,) int64.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import torch
from torch import Tensor, nn

from tlexp.arrays import Positions
from tlexp.config.cache import CacheMode
from tlexp.config.entry import EntryKind, EntryRule
from tlexp.features.batches import Batches, FeatureSet, FitSetup, ImageSet, LabelledSet, chunk_size
from tlexp.models import Classifier, feature_width
from tlexp.models.backbone import read_otherwise
from tlexp.models.classifier import in_chunks
from tlexp.models.cut import Cut, Cutter
from tlexp.models.tracing import CutError
from tlexp.train import FitPhase, spared, within_memory

_T = TypeVar("_T")
_READ_BYTES_PER_SECOND = 300e6
"""Of a modest disk, the checksum that is verified counted in."""


class Storage(StrEnum):
    """Where what crosses is kept: on disk for other runs, in memory for this one, or nowhere: computed at each step."""

    disk = "disk"
    memory = "memory"
    nowhere = "nowhere"


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much may be kept, and where.

    Attributes:
        mode: Of the cache.
        disk_bytes: The limit of the cache's folder; None where there is none, or it cannot be written.
        memory_bytes: Rows, and a copy of them to train on, may fill so much memory.
    """

    mode: CacheMode
    disk_bytes: int | None
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The frozen prefix of a network, up to a cut.

    Attributes:
        cut: Where it ends.
        cutter: What made it.
    """

    cut: Cut
    cutter: Cutter

    @functools.cached_property
    def passing(self) -> Callable[[Tensor], list[Tensor]]:
        """Images -> rows of the cut, in chunks."""
        return pass_through(self.cutter, [self.cut])

    def seconds(self, setup: FitSetup) -> float:
        """Return what one image takes, from one chunk as they pass."""
        images, passing = _noise(setup, chunk_size(setup)), spared(self.passing)
        took = []
        for _ in range(2):  # the first warms up
            began = time.perf_counter()
            with torch.no_grad(), _autocast(setup):
                [rows.cpu() for rows in passing(images)]
            took.append(time.perf_counter() - began)
        return min(took) / len(images)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where one phase of a fit enters the network.

    Attributes:
        depth: Leading units that none of its steps runs; 0 where images pass the whole network at every step.
        prefix: Up to the cut behind the frozen units; None for images and for features.
        storage: Where what crosses is kept.
        width: D, numbers of a row; 0 for images.
        reason: Why training does not enter behind what is frozen; None where it does, or could.
        memory_bytes: How much memory what is kept may fill.
        rows: What crosses of the label budget; None until it is computed, and where images pass at every step.
        images: The images of the label budget; None until they are read, and where rows are kept.
    """

    depth: int = 0
    prefix: Prefix | None = None
    storage: Storage = Storage.nowhere
    width: int = 0
    reason: str | None = None
    memory_bytes: int = 0
    rows: FeatureSet | None = None
    images: ImageSet | None = None

    @property
    def keeps_rows(self) -> bool:
        """Whether what crosses is computed once."""
        return self.storage is not Storage.nowhere

    @property
    def budget(self) -> LabelledSet:
        """The label budget as the steps take it."""
        budget = self.images if self.rows is None else self.rows
        assert budget is not None
        return budget

    def network(self, classifier: Classifier) -> Classifier:
        """Return what trains: the classifier, or the same one entered behind its frozen units, with the same weights.

        Args:
            classifier: The whole network, frozen as in the phase, or one that was entered here already.
        """
        if self.prefix is not None:
            classifier.split(self.prefix.cut, self.prefix.passing)
        elif self.keeps_rows:
            classifier = Classifier(nn.Identity(), classifier.head, (), 0)  # the same head
        return classifier.behind_cut() if self.keeps_rows else classifier

    def begin(self, classifier: Classifier, positions: Positions) -> tuple[Classifier, Batches]:
        """Return the network that trains, and its batches over positions of the label budget."""
        return self.network(classifier), self.budget.batches(positions)

    def cross(self, classifier: Classifier, images: Tensor) -> Tensor:
        """Return what the network is given of images."""
        if not self.keeps_rows:
            return images
        with torch.no_grad():
            return classifier.features(images) if self.prefix is None else self.prefix.passing(images)[0]


def open_entries(
    rule: EntryRule,
    classifier: Classifier,
    setup: FitSetup,
    room: Callable[[], Room],
    *,
    images: int,
    tested: int,
) -> Iterator[Entry]:
    """Yield where each phase of a fit enters; the classifier is frozen as in that phase until the next is asked for.

    What a phase freezes was frozen in those before it, so it is as it started whenever the phase begins.

    Args:
        rule: How deep the configuration lets it enter.
        classifier: The whole network, on its device.
        setup: Of the fit.
        room: For the rows of all phases together, asked anew for each: a folder may prove not to be writable.
        images: Size of the label budget.
        tested: Images that the trained network is evaluated on.
    """
    held = 0
    for number, phase in enumerate(setup.plan.phases, start=1):
        last = number == len(setup.plan.phases)
        asked = room()
        left = dataclasses.replace(asked, memory_bytes=asked.memory_bytes - held)
        rows = row_count(images, views=setup.views, tested=tested if last else 0)
        entry = open_entry(rule, classifier, phase, setup, left, rows=rows)
        yield entry
        on_disk = entry.storage is Storage.disk and room().disk_bytes is not None
        held += _held_bytes(entry, row_count(images, views=setup.views)) * (1 if on_disk else 2)


def open_entry(
    rule: EntryRule,
    classifier: Classifier,
    phase: FitPhase,
    setup: FitSetup,
    room: Room,
    *,
    rows: int,
    cutter: Cutter | None = None,
) -> Entry:
    """Return where one phase of a fit enters the network: the one place where that is decided.

    In this order:
    - images, where the rule says so;
    - features, where the phase freezes all units, if the rule lets it enter there; they are always kept;
    - images, where it freezes all of them otherwise, or none;
    - else behind the cut after its frozen units, if the network can be cut there; if not, images;
    - what crosses the cut is kept on disk if the cache must (mode on) or if it has room and reading beats computing,
      else in memory if it fits there twice, else nowhere: images then pass the prefix at every step.
    What is computed does not depend on where it is kept. Afterwards the classifier is frozen as in the phase.

    Args:
        rule: How deep the configuration lets it enter.
        classifier: The whole network, on its device.
        phase: What it freezes.
        setup: Of the fit.
        room: Where rows may be kept.
        rows: How many would be kept, of `row_count`.
        cutter: Of the classifier's backbone, if there is one already.
    """
    if classifier.depth != phase.depth:  # else it was built so, and knows better what trains behind the depth
        classifier.refreeze(phase.depth)
    units = classifier.units
    if rule.kind is EntryKind.images:
        return Entry(reason=rule.reason)
    if phase.depth == len(units) and rule.kind is EntryKind.features:
        storage = Storage.memory if room.disk_bytes is None else Storage.disk  # reading always beats computing again
        width = feature_width(classifier.backbone)
        return Entry(depth=len(units), storage=storage, width=width, memory_bytes=room.memory_bytes)
    if phase.depth in (0, len(units)):
        return Entry(reason=rule.reason if phase.depth else "none")
    if rule.uncut is not None:
        return Entry(reason=f"cannot be cut behind {units[phase.depth - 1].name}: {rule.uncut}")
    try:
        cutter = cutter or build_cutter(classifier, setup)
        prefix = Prefix(cut=_cut(cutter, classifier, setup), cutter=cutter)
    except CutError as error:
        return Entry(reason=f"cannot be cut behind {units[phase.depth - 1].name}: {error}")
    storage = choose_storage(room, prefix.cut.row_bytes, rows=rows, seconds=lambda: prefix.seconds(setup))
    return Entry(
        depth=0 if storage is Storage.nowhere else phase.depth,
        prefix=prefix,
        storage=storage,
        width=prefix.cut.width,
        memory_bytes=room.memory_bytes,
    )


def row_count(images: int, *, views: int, tested: int = 0) -> int:
    """Return how many rows an entry keeps: each view of the label budget, its clean images, and what is evaluated.

    >>> row_count(20, views=2, tested=8)
    68
    """
    return images * (views + 1) + tested


def choose_storage(room: Room, row_bytes: int, *, rows: int, seconds: Callable[[], float]) -> Storage:
    """Return where rows that cross a cut are kept.

    Args:
        room: Where they may be.
        row_bytes: Size of one.
        rows: All that the run needs.
        seconds: What computing one takes; asked for only where it matters.
    """
    size = rows * row_bytes
    if room.mode is CacheMode.on:
        return Storage.disk
    fits = room.disk_bytes is not None and size <= room.disk_bytes
    if room.mode is CacheMode.auto and fits and row_bytes < _READ_BYTES_PER_SECOND * seconds():
        return Storage.disk
    return Storage.memory if 2 * size <= room.memory_bytes else Storage.nowhere


def build_cutter(classifier: Classifier, setup: FitSetup) -> Cutter:
    """Return what cuts the backbone between its units.

    Raises:
        CutError: The backbone cannot be followed.
        OutOfMemoryError: Three images do not fit into the device's memory.
    """
    if setup.plan.channels_last:
        classifier.to(memory_format=torch.channels_last)
    classifier.eval()
    with _autocast(setup):
        return _within_memory(lambda: Cutter(classifier.backbone, classifier.units, _noise(setup, 3)))


def pass_through(cutter: Cutter, cuts: Sequence[Cut]) -> Callable[[Tensor], list[Tensor]]:
    """Return what gives images' rows of all cuts in one pass, in chunks."""
    prefix = cutter.prefix(cuts)
    return lambda images: in_chunks(prefix, images)


def read_together(classifier: Classifier, poolings: Sequence[str], *, name: str) -> Callable[[Tensor], list[Tensor]]:
    """Return what gives images' features by the backbone's own pooling and by others, in one pass, in chunks.

    Args:
        classifier: The whole network, in evaluation, all units frozen.
        poolings: timm's, beside its own.
        name: timm's of the backbone.
    """
    own = classifier.backbone
    readings = [own, *(read_otherwise(own, name, pooling) for pooling in poolings)]

    def read(images: Tensor) -> list[Tensor]:
        last = own.forward_features(images)  # type: ignore[operator]
        return [reading.forward_head(last).float() for reading in readings]  # type: ignore[operator]

    return lambda images: in_chunks(read, images)


def _cut(cutter: Cutter, classifier: Classifier, setup: FitSetup) -> Cut:
    """Return the cut behind the frozen units."""
    # The others train, in modes of which the policy knows more than a cut.
    still = {name for name, module in classifier.train().backbone.named_modules() if not module.training}
    classifier.eval()
    with _autocast(setup):
        return _within_memory(lambda: cutter.cut(classifier.depth, still=still))


def _held_bytes(entry: Entry, rows: int) -> int:
    """Return the memory of the rows that train, which lie there where they fit; twice where they are kept there too."""
    size = rows * entry.width * 4
    return size if entry.keeps_rows and size <= entry.memory_bytes else 0


def _within_memory(build: Callable[[], _T]) -> _T:
    return within_memory(build, "cutting the backbone: use a smaller backbone.image_size, or train.device=cpu")


def _noise(setup: FitSetup, count: int) -> Tensor:
    """Return noise in the shape of images, on the device."""
    side = setup.expected.image_size
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    layout = torch.channels_last if setup.plan.channels_last else torch.contiguous_format
    return images.to(setup.device).contiguous(memory_format=layout)


def _autocast(setup: FitSetup) -> torch.autocast:
    dtype = setup.plan.autocast
    return torch.autocast(setup.device.type, dtype=dtype, enabled=dtype is not None)
