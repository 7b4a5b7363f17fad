"""Decoded images in memory, and the batches taken from them.

Every image is decoded and resized once and kept as uint8; batches are gathered, augmented and normalised on the device
that trains. A batch is a function of (seed, step), so a resumed fit sees what an uninterrupted one sees.
Shapes: images (B, 3, S, S), labels (B,) int64.
"""

import functools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tlexp.config import Preprocessing
from tlexp.data.decode import pillow_guard
from tlexp.data.images import Images, OnProgress
from tlexp.data.placement import room_bytes, to_device
from tlexp.data.transforms import Augment, fit_image, normalise
from tlexp.errors import DataError

_ORDER, _AUGMENT = 1, 2
"""Streams: the order of the images and their augmentation are drawn independently from one seed."""
_SHARED_BYTES = 4 << 30
"""Images of more bytes are not copied as a whole to an accelerator that shares the host's memory."""


@dataclass(frozen=True, kw_only=True)
class ImageBank:
    """Decoded images: pixels (N, 3, S, S) uint8 and labels (N,) int64, on the CPU."""

    pixels: Tensor
    labels: Tensor
    _copies: "dict[torch.device, ImageBank | None]" = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    def on(self, device: torch.device) -> "ImageBank":
        """Return the images on a device, copied once for all who ask; as they lie where they would crowd it."""
        if device.type == "cpu":
            return self
        if device not in self._copies:
            fits = self.pixels.nbytes <= room_bytes(device, _SHARED_BYTES)
            copied = ImageBank(pixels=self.pixels.to(device), labels=self.labels.to(device)) if fits else None
            self._copies[device] = copied
        there = self._copies[device]
        return self if there is None else there


def load_bank(
    images: Images,
    indices: NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    memory_bytes: int,
    progress: OnProgress,
) -> ImageBank:
    """Decode images, each once, into one array in the order of `indices`.

    Args:
        images: What to read from.
        indices: Positions in `images`, (N,) int64.
        preprocessing: How they are resized and cropped.
        memory_bytes: An array of more bytes is mapped from a temporary file instead of kept in memory.
        progress: Called as images are done.

    Raises:
        DataError: An image cannot be read any more, or the temporary folder has no room for the map.
    """
    side = preprocessing.image_size
    shape = (len(indices), 3, side, side)
    pixels = np.empty(shape, np.uint8) if math.prod(shape) <= memory_bytes else _mapped(shape)

    def fill(position: int) -> None:
        image = images.read(int(indices[position]))
        pixels[position] = fit_image(image, preprocessing).transpose(2, 0, 1)

    with pillow_guard, ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(indices))), start=1):
            progress(done, len(indices))
    return ImageBank(pixels=torch.from_numpy(pixels), labels=torch.from_numpy(images.labels[indices]))


Views = Callable[[Tensor, NDArray[np.int64], int], Tensor]
"""(images (B, 3, S, S) uint8, their positions in the bank (B,), number of the view) to that stored view of each."""


class Order:
    """An endless stream of positions, cut into batches.

    The stream is one random order of all images after another, cut into full batches: every image comes once per order,
    and no batch is smaller than the others. A batch at the seam of two orders may show an image twice.

    Args:
        count: Images, at least one.
        batch_size: Images per batch; min(batch_size, count) is used, so that little data still makes batches.
        seed: Draws the orders, from 0.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int) -> None:
        if count == 0:
            raise DataError("no image to train on: use a larger label budget")
        self.count, self.batch_size = count, min(batch_size, count)
        self._order = functools.lru_cache(maxsize=2)(functools.partial(_permutation, count, seed))

    def positions(self, step: int) -> NDArray[np.int64]:
        """Return which images make up the batch of a step, from 0, (B,) int64."""
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        epochs = range(start // self.count, (stop - 1) // self.count + 1)
        stream = np.concatenate([self._order(epoch) for epoch in epochs])
        return cast("NDArray[np.int64]", stream[start - epochs[0] * self.count : stop - epochs[0] * self.count])

    def epochs(self, step: int) -> NDArray[np.int64]:
        """Return how many times each image of a batch has come before, (B,) int64."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size) // self.count


class ImageBatches:
    """An endless stream of training batches, in an `Order`.

    Args:
        bank: The decoded images.
        indices: Positions in the bank to train on, (n,) int64, at least one.
        batch_size: Images per batch; min(batch_size, n) is used.
        seed: Draws orders and augmentation, from 0.
        augment: What varies the images.
        views: Takes the place of `augment` with stored views, of which an image shows the next one each time it comes.
        count: Number of views.
        mean: Mean of the normalisation, three values.
        std: Standard deviation of the normalisation, three values.
        device: Where batches are made.
        channels_last: Memory format of the images.
        on_host: Whether images are varied before they are copied to the device; views are.
    """

    def __init__(
        self,
        bank: ImageBank,
        indices: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        augment: Augment,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        channels_last: bool,
        views: Views | None = None,
        count: int = 0,
        on_host: bool = False,
    ) -> None:
        self.order = Order(len(indices), batch_size=batch_size, seed=seed)
        self.batch_size = self.order.batch_size
        self._indices, self._views, self._count = indices, views, count
        self._on_host = on_host or views is not None
        self._bank, self._places = bank if self._on_host else bank.on(device), torch.from_numpy(indices.copy())
        self._seed, self._augment, self._device = seed, augment, device
        self._normalise = functools.partial(_prepare, mean=mean, std=std, device=device, channels_last=channels_last)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step, from 0: images float32 normalised and labels, on the device."""
        places = self._placed(step)
        labels = to_device(self._bank.labels.index_select(0, places), self._device)
        return self._normalise(self._varied(places, step)), labels

    def raw(self, step: int) -> Tensor:
        """Return the images of the same batch augmented but not normalised, uint8, on the device."""
        return self._varied(self._placed(step), step)

    def positions(self, step: int) -> NDArray[np.int64]:
        """Return which of the `indices` make up a batch, (B,) int64."""
        return self.order.positions(step)

    def _placed(self, step: int) -> Tensor:
        """Return the places in the bank of a batch, (B,) int64, where the bank lies."""
        return to_device(self._places[torch.from_numpy(self.positions(step))], self._bank.labels.device)

    def _varied(self, places: Tensor, step: int) -> Tensor:
        images = self._bank.pixels.index_select(0, places)  # ten times as fast on the CPU as pixels[places]
        if not self._on_host:
            images = to_device(images, self._device)
        if self._views is None:
            seed = np.random.SeedSequence([_AUGMENT, self._seed, step]).generate_state(1)[0]
            varied = self._augment(images, int(seed))
        else:
            positions, epochs = self._indices[self.positions(step)], self.order.epochs(step)
            varied = view_batch(images, positions, epochs, self._views, self._count)
        return to_device(varied, self._device)


def view_batch(
    images: Tensor, positions: NDArray[np.int64], epochs: NDArray[np.int64], views: Views, count: int
) -> Tensor:
    """Return images (B, 3, S, S) uint8, each as the view that is its turn."""
    varied = torch.empty_like(images)
    for view in np.unique(epochs % count):
        chosen = np.flatnonzero(epochs % count == view)
        varied[torch.from_numpy(chosen)] = views(images[torch.from_numpy(chosen)], positions[chosen], int(view))
    return varied


def chunks(
    bank: ImageBank,
    indices: NDArray[np.int64],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    channels_last: bool,
    size: int = 256,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (B, 3, S, S) float32 normalised and labels (B,) int64 in order; the last chunk may be smaller."""
    for places in torch.split(torch.from_numpy(indices.copy()), size):
        pixels, labels = bank.pixels.index_select(0, places), bank.labels[places]
        yield (
            _prepare(pixels, mean=mean, std=std, device=device, channels_last=channels_last),
            to_device(labels, device),
        )


def _prepare(
    images: Tensor, *, mean: Sequence[float], std: Sequence[float], device: torch.device, channels_last: bool
) -> Tensor:
    """Normalise on the device in the stored memory format and change it afterwards, which is faster than before."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return normalise(to_device(images, device), mean, std).contiguous(memory_format=layout)


def _permutation(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(size)


def _mapped(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an array over a nameless file in the temporary folder; it is gone with the process, however that ends.

    The room is taken at once, because a map that outgrows its disk kills the process with a signal instead of an error.

    Raises:
        DataError: The disk has no room.
    """
    needed = math.prod(shape)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
            else:
                file.truncate(needed)
            return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise DataError(
            f"the decoded images need {needed:,} bytes in {folder}, {free:,} are free ({error.strerror}); point "
            f"TMPDIR to a larger disk, or keep them in memory with data.memory_bytes={needed}"
        ) from error
