"""One image file to upright 8-bit RGB, or the reason why not.

Policy: EXIF orientation is applied; 16-bit grey keeps its upper 8 bits (as Pillow itself does for 16-bit colour);
transparency is put on white; of several frames the first is taken; palette, CMYK and 1-bit become RGB. Floating-point
and 32-bit integer images are refused, because nothing says which value is white.
"""

import contextlib
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from tlexp.errors import DataError

DECODER = 1
"""Raised whenever the same file gives other pixels than before; part of a folder's digest."""

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged files: by its documentation, its sources and random damage."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """An RGB image and what was done to it beyond decoding, in words for a note."""

    image: Image.Image
    conversions: tuple[str, ...]


class PillowGuard:
    """Pillow without warnings and without its own size limit, as long as any thread is inside.

    Both are settings of the whole process, and `warnings.catch_warnings` alone is not safe with threads: the first to
    enter sets them, the last to leave restores them. `decode` keeps the limit itself, by the header's size.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                Image.init()
                self._restore.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore.close()


pillow_guard = PillowGuard()


def decode(file: IO[bytes], *, max_pixels: int) -> Decoded:
    """Decode an image file completely.

    Args:
        file: The open file, at its start.
        max_pixels: Largest width x height that is decoded; the header alone is read for the comparison.

    Raises:
        DataError: The reason why there is no image, without the file's name.
    """
    try:
        with pillow_guard, Image.open(file, formats=_FORMATS) as image:
            return _decode(image, max_pixels)
    except UnidentifiedImageError as error:
        raise DataError("not an image of a supported format") from error
    except UNREADABLE as error:
        raise DataError(f"{printable(str(error))} ({type(error).__name__})".lstrip()) from error


def printable(text: str) -> str:
    r"""Return text that is safe in messages and files: control, undecodable and invisible characters are escaped.

    The backslash is escaped too, so that different texts stay different.

    >>> print(printable("cat\n\x1b[31m"))
    cat\n\x1b[31m
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _decode(image: Image.Image, max_pixels: int) -> Decoded:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise DataError(f"{image.width} x {image.height} pixels exceed data.max_pixels={max_pixels}")
    conversions = []
    if getattr(image, "is_animated", False):
        conversions.append("have several frames, of which the first is taken")
    image.load()
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    result, conversion = _to_rgb(image)
    if turn is not None:
        result = result.transpose(turn)
        conversions.append("are turned upright as their EXIF orientation says")
    return Decoded(image=result, conversions=(*conversions, *conversion))


def _to_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image as RGB with plain 8-bit values."""
    if image.mode == "RGB" and "transparency" not in image.info:
        # The decoder's own image goes away with its file; this one stays.
        return image.copy(), ()
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        kind = "floating-point" if image.mode == "F" else "32-bit integer"
        raise DataError(f"{kind} values have no agreed white: convert the image to 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB"), ("have 16 bits, of which the upper 8 are kept",)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        if layered.getchannel("A").getextrema() == (255, 255):
            return layered.convert("RGB"), ()
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB"), ("have transparent parts, which are put on white",)
    return image.convert("RGB"), (("are CMYK, converted to RGB",) if image.mode == "CMYK" else ())
