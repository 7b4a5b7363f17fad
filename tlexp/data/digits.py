"""The UCI digits that come with scikit-learn."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from tlexp.data.budget import hold_out
from tlexp.data.checked import Reading
from tlexp.data.classes import choose_classes, keep_classes
from tlexp.data.images import Source, digest_lines

_WHERE = "data=digits"
_DIGITS = tuple("0123456789")


class Digits:
    """All digits; a stratified fifth is held out."""

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """Return the digits of the wanted classes."""
        bunch = load_digits()
        pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
        labels = bunch.target.astype(np.int64)
        pool, held_out = (
            DigitImages(pixels=pixels[part], labels=labels[part], names=tuple(f"digits/{i:04d}" for i in part))
            for part in hold_out(labels, seed=source_seed, classes=_DIGITS)
        )
        splits = [[split.names, split.labels.tolist(), split.pixels.tobytes().hex()] for split in (pool, held_out)]
        whole = Source(classes=_DIGITS, pool=pool, held_out=held_out, digest=digest_lines([["digits"], *splits]))
        return keep_classes(whole, classes, where=_WHERE)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the wanted classes."""
        return choose_classes(_DIGITS, classes, where=_WHERE)


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
