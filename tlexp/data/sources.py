"""Open the images that a configuration names: rendered shapes, scikit-learn's digits or the user's folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from tlexp.config.data import SHAPES, DataSource, OnBad
from tlexp.data.budget import hold_out
from tlexp.data.folder import open_folder
from tlexp.data.images import Images, Progress, Source, digest_lines
from tlexp.data.listing import find_layout
from tlexp.data.shapes import open_shapes
from tlexp.errors import DataError

__all__ = ["Images", "Progress", "Source", "open_source", "source_classes"]

_DIGITS = tuple("0123456789")


def open_source(
    kind: DataSource,
    *,
    root: Path | None,
    source_seed: int,
    on_bad: OnBad,
    follow_links: bool,
    max_pixels: int,
    per_class: int,
    test_per_class: int,
    num_classes: int,
    size: int,
    noise: float,
    clutter: int,
    progress: Progress,
) -> Source:
    """Return the images of a source in two splits, checked.

    Args:
        kind: The source.
        root: folder: where the images lie.
        source_seed: Renders shapes, and splits off a held-out fifth where none is given.
        on_bad: folder: refuse unreadable images (all named at once) or skip them.
        follow_links: folder: follow links out of the root.
        max_pixels: folder: largest image that is decoded.
        per_class: shapes: images per class in the pool.
        test_per_class: shapes: held-out images per class.
        num_classes: shapes: how many classes.
        size: shapes: side in pixels.
        noise: shapes: standard deviation of the pixel noise.
        clutter: shapes: strokes per image.
        progress: Called while files are read.

    Raises:
        DataError: The images do not allow a run; see `folder` and `listing`.
    """
    if kind is DataSource.folder:
        return open_folder(
            _folder(root),
            source_seed=source_seed,
            on_bad=on_bad,
            follow_links=follow_links,
            max_pixels=max_pixels,
            progress=progress,
        )
    if kind is DataSource.digits:
        return _open_digits(source_seed)
    return open_shapes(
        source_seed=source_seed,
        per_class=per_class,
        test_per_class=test_per_class,
        num_classes=num_classes,
        size=size,
        noise=noise,
        clutter=clutter,
    )


def source_classes(kind: DataSource, *, root: Path | None, follow_links: bool, num_classes: int) -> tuple[str, ...]:
    """Return the class names of a source without reading an image.

    Raises:
        DataError: The folder is missing or has no usable form.
    """
    if kind is DataSource.folder:
        return find_layout(_folder(root), follow_links=follow_links).classes
    return _DIGITS if kind is DataSource.digits else SHAPES[:num_classes]


@dataclass(frozen=True, kw_only=True)
class DigitImages:
    """Handwritten digits: pixels (N, 8, 8) uint8 and their places in scikit-learn's order."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def read(self, index: int) -> Image.Image:
        """Return one digit as RGB, 8 x 8."""
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def digest(self, index: int) -> bytes:
        """Return the sha256 of one digit's pixels."""
        return hashlib.sha256(b"digits" + self.pixels[index].tobytes()).digest()


def _open_digits(source_seed: int) -> Source:
    """Return the UCI digits that come with scikit-learn; a stratified fifth is held out."""
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    pool, held_out = (
        DigitImages(pixels=pixels[part], labels=labels[part], names=tuple(f"digits/{i:04d}" for i in part))
        for part in hold_out(labels, seed=source_seed, classes=_DIGITS)
    )
    splits = [[split.names, split.labels.tolist(), split.pixels.tobytes().hex()] for split in (pool, held_out)]
    return Source(classes=_DIGITS, pool=pool, held_out=held_out, digest=digest_lines([["digits"], *splits]))


def _folder(root: Path | None) -> Path:
    if root is None:
        raise DataError("data.root is missing: data=folder needs it, e.g. data=folder data.root=photos")
    return root
