"""What a learner is fed with: images that pass the whole network, or features that are known already.

pixels (B, 3, S, S) uint8; features (B, D) float32; labels (N,) int64; positions (n,) int64 into the N images of a set.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tlexp.arrays import Labels as Labels  # learners know them from here
from tlexp.arrays import Positions as Positions
from tlexp.cache import Rows, draw_view
from tlexp.cache.entry import Digests
from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.config.train import ClassWeights
from tlexp.data import ImageBank, ImageBatches, Order, Views, build_augment, chunks, view_batch
from tlexp.data.placement import room_bytes, to_device
from tlexp.data.transforms import IMAGE_BY_IMAGE
from tlexp.train import FitPlan, PerClass, weigh_classes, within_memory

EVALUATED = 4096
"""Features that are read at once."""


@dataclass(frozen=True, kw_only=True)
class FitSetup:
    """How a learner is fed and trained; what a candidate changes is its learning rate and weight decay.

    Attributes:
        plan: Of every fit.
        batch_size: Images per batch.
        augment: How training images are varied.
        views: Stored views of each training image; 0 varies them anew at every step.
        view_seed: Draws the views.
        expected: What the backbone expects of images.
        device: Where it is trained.
        class_weights: Whether rare classes count more in the loss.
    """

    plan: FitPlan
    batch_size: int
    augment: AugmentKind
    views: int
    view_seed: int
    expected: Preprocessing
    device: torch.device
    class_weights: ClassWeights = ClassWeights.none

    def weights_of(self, labels: Labels) -> PerClass:
        """Return the weight of each class where images of these labels are trained on; none where all are the same."""
        return weigh_classes(self.class_weights, labels, self.plan.num_classes)


class Batches(Protocol):
    """Training batches."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return what the learner takes, and labels, of a step from 0, on the device."""
        ...

    def raw(self, step: int) -> Tensor:
        """Return the images of the same batch as they were varied, (B, 3, S, S) uint8."""
        ...

    def positions(self, step: int) -> Positions:
        """Return which of the batches's positions make up a batch."""
        ...


class LabelledSet(Protocol):
    """Labelled images in the shape in which a learner takes them."""

    @property
    def labels(self) -> Labels:
        """The label of each image, (N,)."""
        ...

    def batches(self, positions: Positions) -> Batches:
        """Return training batches over positions."""
        ...

    def chunks(self, positions: Positions) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what the learner takes, not varied, and labels, in order, on the device."""
        ...

    def pixels(self, positions: Positions) -> Tensor:
        """Return images as they were decoded, (n, 3, S, S) uint8."""
        ...


class ImageSet:
    """Decoded images.

    Args:
        bank: The images.
        setup: How they are fed.
        digests: Of the images, (N, 32) uint8, by which stored views are drawn; none are needed without views.
    """

    def __init__(self, bank: ImageBank, setup: FitSetup, digests: Digests | None = None) -> None:
        self._bank, self._setup, self._digests = bank, setup, digests

    @property
    def labels(self) -> Labels:
        """The label of each image, (N,)."""
        return self._bank.labels.numpy()

    def batches(self, positions: Positions) -> ImageBatches:
        """Return training batches over positions."""
        setup = self._setup
        return ImageBatches(
            self._bank,
            positions,
            batch_size=setup.batch_size,
            seed=setup.plan.seed,
            augment=build_augment(setup.augment),
            mean=setup.expected.mean,
            std=setup.expected.std,
            device=setup.device,
            channels_last=setup.plan.channels_last,
            views=None if self._digests is None else stored_views(setup, self._digests),
            count=setup.views,
            on_host=setup.augment in IMAGE_BY_IMAGE,
        )

    def chunks(self, positions: Positions) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images and labels."""
        return normalised(self._bank, positions, self._setup)

    def pixels(self, positions: Positions) -> Tensor:
        """Return images as they were decoded."""
        return self._bank.pixels[torch.from_numpy(positions)]


class FeatureSet:
    """Features of images that a frozen network has seen once: of each stored view, and of the clean images.

    Row v * N + i holds view v of image i; the clean images come last.

    Args:
        parts: Rows of each view, and of the clean images, N each.
        labels: Of the images, (N,).
        setup: How they are fed.
        decode: Positions -> images, (n, 3, S, S) uint8, for those who want to see them.
        digests: Of the images, (N, 32) uint8.
        memory_bytes: Features of more bytes are read from where they lie, batch by batch; a GPU goes by its own memory.
        made_by: Names what made them: rows of equal names and equal image digests are equal.
        size: Rows that are evaluated at once.
    """

    def __init__(
        self,
        parts: Sequence[Rows],
        labels: Labels,
        setup: FitSetup,
        *,
        decode: Callable[[Positions], Tensor],
        digests: Digests,
        memory_bytes: int,
        made_by: str = "",
        size: int = EVALUATED,
    ) -> None:
        self._size = size
        self._labels, self._setup, self._decode, self._digests = labels, setup, decode, digests
        self._made_by = made_by
        self.device, self.views = setup.device, len(parts) - 1
        self.shape = (len(labels) * len(parts), parts[0].shape[1])
        self.row_labels = torch.from_numpy(np.tile(labels, len(parts))).to(self.device)
        self._parts = parts
        self._held: Tensor | None = None
        if self.shape[0] * self.shape[1] * 4 <= room_bytes(self.device, memory_bytes):
            told = f"features of {self.shape[0]} images: use train.device=cpu"
            self._held = within_memory(self._hold, told)

    @property
    def labels(self) -> Labels:
        """The label of each image, (N,)."""
        return self._labels

    @property
    def held_bytes(self) -> int:
        """Bytes of the features that lie in memory."""
        return 0 if self._held is None else self._held.nbytes

    def take(self, rows: Tensor) -> Tensor:
        """Return features (n, D) on the device, of rows (n,) int64 on the CPU."""
        if self._held is not None:
            return self._held.index_select(0, to_device(rows, self.device))
        return self._read(rows)

    def labelled(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, D) and labels (n,) on the device, of rows (n,) int64 on the CPU."""
        placed = to_device(rows, self.device)
        features = self._read(rows) if self._held is None else self._held.index_select(0, placed)
        return features, self.row_labels.index_select(0, placed)

    def _hold(self) -> Tensor:
        """Return all rows on the device, copied there view by view."""
        held, whole = torch.empty(*self.shape, device=self.device), np.arange(len(self._labels))
        for place, part in zip(torch.split(held, len(whole)), self._parts, strict=True):
            place.copy_(part.take(whole))
        return held

    def _read(self, rows: Tensor) -> Tensor:
        """Return features from where they lie."""
        taken = torch.empty(len(rows), self.shape[1])
        part, places = (found.numpy() for found in (rows // len(self._labels), rows % len(self._labels)))
        for number in np.unique(part):
            chosen = np.flatnonzero(part == number)
            taken[torch.from_numpy(chosen)] = self._parts[number].take(places[chosen]).float()
        return to_device(taken, self.device)

    def varied(self, positions: Positions) -> Positions:
        """Return the rows to train on for images: all their views, or the clean images where there are none."""
        count = len(self._labels)
        return np.concatenate([positions + view * count for view in range(max(1, self.views))])

    def clean(self, positions: Positions) -> Positions:
        """Return the rows of the images themselves."""
        return positions + self.views * len(self._labels)

    def batches(self, positions: Positions) -> "FeatureBatches":
        """Return training batches over positions."""
        return FeatureBatches(self, positions, self._setup)

    def chunks(self, positions: Positions) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features of the clean images, and labels."""
        for rows in torch.split(torch.from_numpy(self.clean(positions)), self._size):
            yield self.labelled(rows)

    def identity(self, positions: Positions) -> bytes:
        """Return what names the rows and labels of images: of other runs as well, wherever they lie there."""
        content = self._digests[positions].tobytes() + self._labels[positions].tobytes()
        return hashlib.sha256(self._made_by.encode() + content).digest()

    def pixels(self, positions: Positions) -> Tensor:
        """Return images, decoded now."""
        return self._decode(positions)

    def shown(self, positions: Positions, epochs: Positions) -> Tensor:
        """Return images as the views that are their turn."""
        images = self._decode(positions)
        if not self.views:
            return images
        return view_batch(images, positions, epochs, stored_views(self._setup, self._digests), self.views)


class FeatureBatches:
    """Training batches of features, in the order and the views in which the images would come.

    Args:
        features: What is yielded.
        positions: Images to train on, (n,), at least one.
        setup: How they are fed.
    """

    def __init__(self, features: FeatureSet, positions: Positions, setup: FitSetup) -> None:
        self._features, self._positions = features, positions
        self._order = Order(len(positions), batch_size=setup.batch_size, seed=setup.plan.seed)
        self._rows = torch.from_numpy(features.varied(positions))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return features (B, D) and labels (B,) of a step."""
        return self._features.labelled(self._rows[torch.from_numpy(self.rows(step))])

    def raw(self, step: int) -> Tensor:
        """Return the images of the same batch, (B, 3, S, S) uint8."""
        return self._features.shown(self._positions[self.positions(step)], self._order.epochs(step))

    def positions(self, step: int) -> Positions:
        """Return which of the positions make up a batch, (B,)."""
        return self._order.positions(step)

    def rows(self, step: int) -> Positions:
        """Return which of `FeatureSet.varied` make up a batch, (B,)."""
        turns = self._order.epochs(step) % max(1, self._features.views)
        return self.positions(step) + turns * len(self._positions)


def stored_views(setup: FitSetup, digests: Digests) -> Views:
    """Return what draws the stored views of images, by their digests (N, 32)."""
    augment = build_augment(setup.augment)

    def views(pixels: Tensor, positions: Positions, view: int) -> Tensor:
        return draw_view(pixels, digests[positions], augment, view=view, seed=setup.view_seed)

    return views


def normalised(bank: ImageBank, positions: Positions, setup: FitSetup) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images as the network takes them, and labels, in chunks that fit the device."""
    return chunks(
        bank,
        positions,
        mean=setup.expected.mean,
        std=setup.expected.std,
        device=setup.device,
        channels_last=setup.plan.channels_last,
        size=chunk_size(setup),
    )


def chunk_size(setup: FitSetup) -> int:
    """Return how many images pass the network at once where nothing trains.

    Memory on the CPU is that of a training batch; accelerators are quicker with more.
    """
    return 32 if setup.device.type == "cpu" else 256
