"""All images of a source in one row: the training pool first, then the test split, then that of another domain."""

from collections.abc import Callable, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tlexp.arrays import Labels
from tlexp.data import Images, Source
from tlexp.data.checked import CheckedImages
from tlexp.data.images import Joined, Subset
from tlexp.data.splits import TRAIN
from tlexp.doctor.fingerprint import Fingerprints, fingerprint
from tlexp.train import Listener


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What is known of N images of K classes.

    Attributes:
        images: Read when they are asked for.
        classes: Their names, in the order of the labels.
        names: Of the images.
        labels: (N,) int64.
        tested: Which of them the test split holds, (N,) bool.
        shifted: Which of them the split from another domain holds, (N,) bool.
        left: Which of them leave the training pool, as others of their group are held out, (N,) bool.
        sizes: Width and height in pixels, (N, 2) int64.
        file_bytes: Size on the disk, (N,) int64; 0 where there is no file.
        fingerprints: Of each, (N, 32, 32) uint8.
        features: (N, D) float32 of the frozen backbone.
    """

    images: Images
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: Labels
    tested: NDArray[np.bool_]
    shifted: NDArray[np.bool_]
    left: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    file_bytes: NDArray[np.int64]
    fingerprints: Fingerprints
    features: Tensor

    def __len__(self) -> int:
        return len(self.names)

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Which of them are never learned from, but asked about, (N,) bool."""
        return self.tested | self.shifted

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Which of them are learned from, (N,) bool."""
        return ~(self.held_out | self.left)

    @property
    def splits(self) -> dict[str, NDArray[np.bool_]]:
        """Which images are in each split, (N,) bool."""
        more = {"shifted": self.shifted} if self.shifted.any() else {}
        return {TRAIN: self.learned, "test": self.tested, **more}

    def split_of(self, place: int) -> str:
        """Return where an image lies, for people."""
        if self.shifted[place]:
            return "data.shifted"
        return "test" if self.tested[place] else "training"

    def label_of(self, place: int) -> str:
        """Return the name of an image's class."""
        return self.classes[int(self.labels[place])]


class Watched:
    """Images whose fingerprint is taken whenever one is read; several threads may read.

    Args:
        images: All of them.

    Attributes:
        sizes: Width and height, (N, 2) int64; 0 where none was read yet.
        fingerprints: Of each, (32, 32) uint8; None where none was read yet.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self.labels, self.names = images.labels, tuple(images.names)
        self.sizes = np.zeros((len(self.names), 2), np.int64)
        self.fingerprints: list[Fingerprints | None] = [None] * len(self.names)

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright."""
        image = self._images.read(index)
        self.fingerprints[index] = fingerprint(image)
        self.sizes[index] = image.size
        return image

    def digest(self, index: int) -> bytes:
        """Return the digest of one image."""
        return self._images.digest(index)

    def read_rest(self, listener: Listener) -> None:
        """Read those that were not read yet, as their features were known."""
        left = [index for index, known in enumerate(self.fingerprints) if known is None]
        for done, index in enumerate(left, start=1):
            self.read(index)
            listener.images(done, len(left))


def visit(
    source: Source,
    extract: Callable[[Images], Tensor],
    listener: Listener,
    *,
    leaving: Set[str] = frozenset(),
) -> Gallery:
    """Return what there is to know of all images of a source.

    Args:
        source: Opened.
        extract: Images -> features (N, D); it reads those that are not known already.
        listener: Hears of images that are read.
        leaving: Names of images that leave the training pool.

    Raises:
        DataError: An image cannot be read any more.
    """
    parts = (source.pool, *(images for _, images in source.evaluated()))
    joined = Joined(parts=parts)
    watched = Watched(joined)
    features = extract(watched)
    watched.read_rest(listener)
    part = np.repeat(np.arange(len(parts)), [len(images.labels) for images in parts])
    return Gallery(
        images=joined,
        classes=source.classes,
        names=watched.names,
        labels=watched.labels,
        tested=part == 1,
        shifted=part == 2,
        left=np.array([name in leaving for name in watched.names], bool) & (part == 0),
        sizes=watched.sizes,
        file_bytes=file_bytes(joined),
        fingerprints=np.stack([each for each in watched.fingerprints if each is not None]),
        features=features,
    )


def file_bytes(images: Images) -> NDArray[np.int64]:
    """Return the size on the disk of each image, (N,) int64; 0 where images lie in no files."""
    if isinstance(images, Joined):
        return np.concatenate([file_bytes(part) for part in images.parts])
    if isinstance(images, Subset):
        return file_bytes(images.images)[images.places]
    if isinstance(images, CheckedImages):
        return np.array([item.file.file_bytes for item in images.checked], np.int64)
    return np.zeros(len(images.labels), np.int64)
