"""Small copies of images, as they stand within pages."""

import base64
import io

from PIL import Image

SIDE = 144
"""Of the square that a thumbnail fits into, in pixels."""


def thumbnail(image: Image.Image, side: int = SIDE) -> bytes:
    """Return an image as a small JPEG, without what its file says of camera and place.

    Args:
        image: RGB, upright.
        side: Of the square that it fits into.
    """
    small, file = image.copy(), io.BytesIO()
    small.thumbnail((side, side))
    small.save(file, "JPEG", quality=80, comment="")  # else its own is kept
    return file.getvalue()


def data_address(jpeg: bytes) -> str:
    """Return a JPEG as an address within a page, which then loads nothing.

    >>> data_address(b"...")
    'data:image/jpeg;base64,Li4u'
    """
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
