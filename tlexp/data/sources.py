"""Open the images that a configuration names: rendered shapes, scikit-learn's digits, or the user's own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from tlexp.config.data import SHAPES, DataSource
from tlexp.data.budget import hold_out
from tlexp.data.checked import Reading
from tlexp.data.classes import choose_classes
from tlexp.data.folder import open_folder
from tlexp.data.images import Images, Part, Progress, Source, digest_lines
from tlexp.data.listing import find_layout
from tlexp.data.shapes import open_shapes
from tlexp.data.table import open_table, read_table
from tlexp.errors import DataError

__all__ = ["Images", "Progress", "Source", "open_source", "source_classes"]

_DIGITS = tuple("0123456789")


def open_source(
    kind: DataSource,
    *,
    root: Path | None,
    columns: Sequence[str] | None,
    classes: Sequence[str] | None,
    at_least: int,
    source_seed: int,
    reading: Reading,
    per_class: int,
    test_per_class: int,
    num_classes: int,
    size: int,
    noise: float,
    clutter: int,
) -> Source:
    """Return the images of a source in two splits, checked.

    Args:
        kind: The source.
        root: folder: where the images lie; csv: the table.
        columns: csv: names of the columns.
        classes: Those to use, in any order; all when None.
        at_least: So many classes are needed.
        source_seed: Renders shapes, and splits off a held-out fifth where none is given.
        reading: How files are read.
        per_class: shapes: images per class in the pool.
        test_per_class: shapes: held-out images per class.
        num_classes: shapes: how many classes.
        size: shapes: side in pixels.
        noise: shapes: standard deviation of the pixel noise.
        clutter: shapes: strokes per image.

    Raises:
        DataError: The images do not allow a run; see `folder`, `listing` and `table`.
    """
    if kind is DataSource.folder:
        return open_folder(
            _root(kind, root), classes=classes, at_least=at_least, source_seed=source_seed, reading=reading
        )
    if kind is DataSource.csv:
        return open_table(
            _root(kind, root),
            columns=columns,
            classes=classes,
            at_least=at_least,
            source_seed=source_seed,
            reading=reading,
        )
    if kind is DataSource.digits:
        return _only(_open_digits(source_seed), classes, kind)
    shapes = open_shapes(
        source_seed=source_seed,
        per_class=per_class,
        test_per_class=test_per_class,
        num_classes=num_classes,
        size=size,
        noise=noise,
        clutter=clutter,
    )
    return _only(shapes, classes, kind)


def source_classes(
    kind: DataSource,
    *,
    root: Path | None,
    columns: Sequence[str] | None,
    classes: Sequence[str] | None,
    at_least: int,
    follow_links: bool,
    num_classes: int,
) -> tuple[str, ...]:
    """Return the class names of a source without reading an image.

    Raises:
        DataError: The folder or table is missing or has no usable form, or a class is not there.
    """
    if kind is DataSource.folder:
        return find_layout(_root(kind, root), follow_links=follow_links, classes=classes, at_least=at_least).classes
    if kind is DataSource.csv:
        return read_table(_root(kind, root), columns=columns, classes=classes, at_least=at_least).classes
    found = _DIGITS if kind is DataSource.digits else SHAPES[:num_classes]
    return choose_classes(found, classes, where=f"data={kind}")


def _only(source: Source, classes: Sequence[str] | None, kind: DataSource) -> Source:
    """Return the source with the wanted classes alone."""
    chosen = choose_classes(source.classes, classes, where=f"data={kind}")
    if chosen == source.classes:
        return source
    number = {source.classes.index(name): label for label, name in enumerate(chosen)}

    def part(images: Images) -> Part:
        places = np.flatnonzero(np.isin(images.labels, list(number)))
        labels = np.array([number[int(label)] for label in images.labels[places]], np.int64)
        return Part(images=images, places=places, labels=labels)

    return Source(
        classes=chosen,
        pool=part(source.pool),
        held_out=part(source.held_out),
        digest=digest_lines([["classes", list(chosen)], source.digest]),
        skipped=source.skipped,
        notes=source.notes,
    )


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


def _root(kind: DataSource, root: Path | None) -> Path:
    if root is None:
        raise DataError(f"data.root is missing: data={kind} needs it, e.g. {kind.example}")
    return root
