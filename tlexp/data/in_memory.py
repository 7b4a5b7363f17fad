"""Images that a library holds, or that code makes, as arrays: one function for each such source.

pixels (N, H, W) grey or (N, H, W, 3) RGB, uint8; labels (N,) int64.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlexp.config.data import DataSource
from tlexp.data.budget import hold_out, split_counts
from tlexp.data.checked import Reading
from tlexp.data.classes import choose_classes, keep_classes
from tlexp.data.copies import find_copies, remaining
from tlexp.data.counts import Counts
from tlexp.data.groups import Grouper
from tlexp.data.images import Source, describe, digest_lines
from tlexp.data.splits import TRAIN

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Pixels and labels of all images of a source."""


@dataclass(frozen=True, kw_only=True)
class InMemory:
    """All images of a source; a stratified fifth is held out.

    Attributes:
        name: Of the source; begins the names of its images.
        labelled: Names of all classes, in the order of the labels.
        load: Returns pixels and labels, the same ones each time.
    """

    name: DataSource
    labelled: tuple[str, ...]
    load: Callable[[], Arrays]

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """Return the images of the wanted classes."""
        pixels, labels = self.load()
        names = tuple(f"{self.name}/{place:04d}" for place in range(len(labels)))
        loaded = ArrayImages(source=self.name, pixels=pixels, labels=labels, names=names)
        copies = find_copies({TRAIN: describe(loaded)})
        left = loaded.take(remaining(names, copies))
        pool, held_out = (left.take(part) for part in hold_out(left.labels, seed=source_seed, classes=self.labelled))
        splits = [[split.names, split.labels.tolist(), split.pixels.tobytes().hex()] for split in (pool, held_out)]
        digest = digest_lines([[self.name], *splits])
        whole = Source(
            classes=self.labelled,
            pool=pool,
            held_out=held_out,
            digest=digest,
            copies=copies,
            pool_from=f"data={self.name}",
        )
        return keep_classes(whole, classes, where=f"data={self.name}", at_least=at_least)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the wanted classes."""
        return choose_classes(self.labelled, classes, where=f"data={self.name}", at_least=at_least)

    def counts(self, *, classes: Sequence[str] | None, at_least: int, grouper: Grouper | None = None) -> Counts:
        """Return how many images of the wanted classes the library holds."""
        chosen = self.class_names(classes=classes, at_least=at_least)
        labels = self.load()[1].tolist()
        given = [labels.count(self.labelled.index(name)) for name in chosen]
        pool, held_out = split_counts(given, classes=chosen)
        return Counts(classes=chosen, pool=pool, held_out=held_out, split_off=True)


@dataclass(frozen=True, kw_only=True)
class ArrayImages:
    """Images of a source, named by their places in its order."""

    source: DataSource
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def take(self, places: NDArray[np.int64]) -> "ArrayImages":
        """Return some of the images, by their positions among these."""
        return dataclasses.replace(
            self,
            pixels=self.pixels[places],
            labels=self.labels[places],
            names=tuple(self.names[place] for place in places),
        )

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB."""
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def digest(self, index: int) -> bytes:
        """Return the sha256 of one image's pixels."""
        return hashlib.sha256(self.source.encode() + self.pixels[index].tobytes()).digest()


def _digits() -> Arrays:
    from sklearn.datasets import load_digits  # lazy: a second, which no other source waits for

    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


_SOURCES = [
    InMemory(name=DataSource.digits, labelled=tuple("0123456789"), load=_digits),
]
IN_MEMORY = {source.name: source for source in _SOURCES}
"""Every source whose `in_memory` is true."""
