"""What every source of images gives: lazily read pictures with labels and names, and the two splits made of them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Progress = Callable[[int, int], None]
"""Called with (images done, images in all) from the calling thread."""


class Images(Protocol):
    """A sequence of labelled images, each read when it is asked for."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the class index of every image, (N,) int64."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Return the name of every image: unique, printable, the same on every machine."""
        ...

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright.

        Raises:
            DataError: The image cannot be read, or is another one than when the source was opened.
        """
        ...

    def digest(self, index: int) -> bytes:
        """Return 32 bytes that name the content of one image: images of equal digests have equal pixels."""
        ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some images of a split, with labels of their own: places (N,) in it and class indices (N,), int64."""

    images: Images
    places: NDArray[np.int64]
    labels: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of every image."""
        known = self.images.names
        return tuple(known[int(place)] for place in self.places)

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright."""
        return self.images.read(int(self.places[index]))

    def digest(self, index: int) -> bytes:
        """Return the digest of one image."""
        return self.images.digest(int(self.places[index]))


@dataclass(frozen=True, kw_only=True)
class Source:
    """Labelled images in two splits that share no image.

    Attributes:
        classes: Class names in the order of the labels, printable.
        pool: What label budgets are drawn from.
        held_out: The test split.
        digest: sha256 of classes, names, labels and content, 64 hexadecimal digits; does not depend on where it lies.
        skipped: Images that were left out, each as "name: reason".
        notes: Remarks for the user, one sentence each.
    """

    classes: tuple[str, ...]
    pool: Images
    held_out: Images
    digest: str
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def digest_lines(lines: Iterable[Any]) -> str:
    """Return the sha256 of JSON values, one a line, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for line in lines:
        sha.update(json.dumps(line, sort_keys=True).encode())
        sha.update(b"\n")
    return sha.hexdigest()
