"""What a request may hold, and how what is wrong with it is told."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tlexp.data.decode import Decoding
from tlexp.data.payload import payload_images
from tlexp.errors import DataError
from tlexp.predictor.photos import find_photos

ASKED = Decoding(max_pixels=100)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 7, 5, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", **options)
    return base64.b64encode(file.getvalue()).decode()


TEXTS = [encoded(pixels) for pixels in PIXELS]


@pytest.mark.parametrize(
    "content",
    [
        PIXELS,
        PIXELS.tolist(),
        PIXELS.astype(np.int64),
        TEXTS,
        np.array(TEXTS),
        {"image": TEXTS},
        {"image": np.array([f"data:image/png;base64,{text}" for text in TEXTS])},
        pd.DataFrame({"image": TEXTS}),
        pd.DataFrame({"image": [base64.b64decode(text) for text in TEXTS]}),
    ],
    ids=range(9),
)
def test_arrays_and_tables_of_base64_are_the_same_images(content: Any) -> None:
    images = payload_images(content, ASKED)
    assert len(images) == 2
    for image, pixels in zip(images, PIXELS, strict=True):
        assert np.array_equal(image, pixels)


def test_photographs_are_turned_upright_once() -> None:
    """What takes them next finds no EXIF to turn them by again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    [image] = payload_images([encoded(PIXELS[0], exif=exif)], ASKED)
    [taken] = find_photos([image])
    _, loaded = taken.load(ASKED)
    assert np.array_equal(np.asarray(loaded), np.rot90(PIXELS[0], -1))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([TEXTS[0], "aGVsbG8="], r"1 of 2 images cannot be read: row 1: not an image of a supported format$"),
        (
            {"image": ["?", TEXTS[0], 3]},
            r"2 of 3 .*: row 0: not base64 \(.*\); row 2: of type int, not a text of base64",
        ),
        (["?"] * 9, r"9 of 9 images .*row 4: .*; and 4 more$"),
        ([encoded(np.zeros((9, 12, 3), np.uint8))], r"row 0: 12 x 9 pixels exceed"),
        (pd.DataFrame({"photo": TEXTS}), r"the table has the columns photo: send a table with the column image of b"),
        (np.zeros((2, 4, 4)), r"an array \(2, 4, 4\): send a table"),
        (np.zeros((2, 4, 4, 3)), r"an array of float64 that holds other numbers"),
        (np.full((2, 4, 4, 3), 256), r"an array of int64 that holds other numbers"),
        (np.zeros((2, 0, 4, 3), np.uint8), r"an array \(2, 0, 4, 3\)"),
        ([[[[1, 2, 3]]], [[[1, 2]]]], r"not one array \(.*\): send a table"),
        (None, r"an array \(\): send"),
    ],
)
def test_what_is_wrong_is_told_row_by_row(content: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        payload_images(content, ASKED)
