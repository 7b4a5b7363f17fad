"""What somebody sends to a served model -> images: a table or a list of base64, or arrays of numbers.

images (B, H, W, 3), whole numbers from 0 to 255.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.data.decode import Decoding, decode
from tlexp.errors import DataError

COLUMN = "image"
"""Of a table."""
_ASKED = (
    f"send a table with the column {COLUMN} of base64 photographs, or one array of images (B, H, W, 3) of whole "
    "numbers from 0 to 255"
)
_SHOWN = 5


def payload_images(content: Any, asked: Decoding) -> list[NDArray[np.uint8]]:
    """Return the images of a request, (H, W, 3) and upright: arrays, which nobody turns once more by their EXIF.

    Args:
        content: A data frame or a mapping with the column `image`, a list of base64, or an array.
        asked: How photographs are decoded.

    Raises:
        DataError: It is neither, or rows cannot be read; each is named, counted from 0.
    """
    if isinstance(content, Mapping) or hasattr(content, "columns"):
        if list(content.keys()) != [COLUMN]:
            raise DataError(f"the table has the columns {', '.join(map(str, content.keys()))}: {_ASKED}")
        return _decoded(list(content[COLUMN]), asked)
    try:
        values = np.asarray(content)
    except ValueError as error:  # images of several sizes
        raise DataError(f"not one array ({error}): {_ASKED}") from error
    if values.ndim == 1 and values.dtype.kind in "OUS":
        return _decoded(values.tolist(), asked)
    return list(_pixels(values))


def _pixels(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.ndim != 4 or values.shape[3] != 3 or not all(values.shape[1:]):
        raise DataError(f"an array {values.shape}: {_ASKED}")
    if values.dtype.kind not in "iu" or (values.size and (values.min() < 0 or values.max() > 255)):
        raise DataError(f"an array of {values.dtype} that holds other numbers: {_ASKED}")
    return values.astype(np.uint8)


def _decoded(rows: Sequence[object], asked: Decoding) -> list[NDArray[np.uint8]]:
    images, bad = [], []
    for number, row in enumerate(rows):
        try:
            images.append(_photograph(row, asked))
        except DataError as error:
            bad.append(f"row {number}: {error}")
    if bad:
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise DataError(f"{len(bad)} of {len(rows)} images cannot be read: {'; '.join(bad[:_SHOWN])}{more}")
    return images


def _photograph(row: object, asked: Decoding) -> NDArray[np.uint8]:
    if isinstance(row, str):
        text = row.partition(",")[2] if row.startswith("data:") else row
        try:
            row = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise DataError(f"not base64 ({error})") from error
    if not isinstance(row, bytes):
        raise DataError(f"of type {type(row).__name__}, not a text of base64")
    return np.asarray(decode(io.BytesIO(row), asked).image)
