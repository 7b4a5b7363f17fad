from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.faults.pictures import photo, wide
from tlexp.data.decode import Decoding
from tlexp.data.reader import ReaderImage
from tlexp.errors import DataError


class Fetched:
    """Images that a library made, without files."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image

    def fetch(self, index: int) -> Image.Image:
        return self._image


def loaded(image: Image.Image, **asked: Any) -> tuple[str, np.ndarray, tuple[str, ...]]:
    images: Any = Fetched(image)
    digest, decoded = ReaderImage(images=images, index=0, name="0", label=0).load(Decoding(max_pixels=10**6, **asked))
    return digest, np.asarray(decoded.image), decoded.conversions


def test_16_bits_are_read_as_those_of_files() -> None:
    image = wide(photo(0), 12)
    dark, bright = loaded(image), loaded(image, bits=12)
    assert np.array_equal(dark[1][..., 0], np.asarray(image) >> 8)
    assert np.array_equal(bright[1][..., 0], np.asarray(image) >> 4)
    assert dark[0] != bright[0]
    assert "data.bits=12 takes them so" in dark[2][0]


def test_transparency_is_put_on_white_and_plain_colours_stay() -> None:
    clear = photo(0).convert("RGBA")
    clear.putalpha(0)
    assert loaded(clear)[1].min() == 255
    assert np.array_equal(loaded(photo(0))[1], np.asarray(photo(0)))
    assert loaded(photo(0))[2] == ()


def test_values_without_a_white_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point"):
        loaded(Image.new("F", (4, 4), 0.5))
