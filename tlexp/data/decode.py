"""One image file to upright 8-bit RGB, or the reason why not.

Policy: EXIF orientation is applied; 16-bit grey keeps its upper 8 bits (as Pillow itself does for 16-bit colour);
transparency is put on white; of several frames the first is taken; palette, CMYK and 1-bit become RGB. Floating-point
and 32-bit integer images are refused, because nothing says which value is white. HEIC is decoded by pillow-heif where
it is installed, which turns images upright itself, and AVIF by Pillow where it was built so.
"""

import contextlib
import functools
import hashlib
import importlib.util
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features

from tlexp.data.whole import load_whole
from tlexp.errors import DataError

DECODER = 1
"""Raised whenever the same file gives other pixels than before; part of a folder's digest."""

_OPTIONAL = {".heic": "HEIF", ".heif": "HEIF", ".avif": "AVIF"}
"""Extension -> a format that not every installation decodes."""
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", *_OPTIONAL})
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_NEEDS = {"HEIF": "pillow-heif: pip install 'tlexp[heif]'", "AVIF": "Pillow 11.3 or later, built with AVIF"}
_BRANDS = {b"heic": "HEIF", b"heix": "HEIF", b"heim": "HEIF", b"heis": "HEIF", b"mif1": "HEIF", b"avif": "AVIF"}
"""What stands at byte 8 of such a file."""

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
    """An RGB image.

    Attributes:
        image: Its pixels.
        conversions: What was done to it beyond decoding, in words for a note.
        decoder: Name and version of what decoded it, where that is a package of its own; empty for Pillow.
    """

    image: Image.Image
    conversions: tuple[str, ...]
    decoder: str = ""

    def content(self, digest: str) -> str:
        """Return what names the pixels, given the sha256 of the file, 64 hexadecimal digits.

        Cached rows know Pillow's version by their key; that of another decoder concerns its files alone.
        """
        return hashlib.sha256(f"{digest} {self.decoder}".encode()).hexdigest() if self.decoder else digest


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
        with pillow_guard, Image.open(file, formats=(*_FORMATS, *_optional())) as image:
            return _decode(image, file, max_pixels)
    except UnidentifiedImageError as error:
        raise DataError(_unknown(file)) from error
    except UNREADABLE as error:
        raise DataError(f"{printable(str(error))} ({type(error).__name__})".lstrip()) from error


@functools.cache
def _optional() -> dict[str, str]:
    """Return the formats beyond Pillow's usual ones that can be decoded here, with their decoders."""
    Image.init()
    found = {"AVIF": ""} if "AVIF" in Image.OPEN and features.check("avif") else {}
    if importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif  # lazy: an extra

        pillow_heif.register_heif_opener()
        found["HEIF"] = f"pillow-heif {pillow_heif.__version__}, libheif {pillow_heif.libheif_version()}"
    return found


def doubtful(name: str) -> bool:
    """Return whether an image file's name is that of a format which cannot be decoded here."""
    form = _OPTIONAL.get(f".{name.rpartition('.')[2].lower()}")
    return form is not None and form not in _optional()


def _shown(form: str) -> str:
    return "HEIC" if form == "HEIF" else form


def _unknown(file: IO[bytes]) -> str:
    """Return why a file is no image: a photograph of a phone is named by what it needs, whatever its extension."""
    file.seek(0)
    head = file.read(12)
    form = _BRANDS.get(head[8:]) if head[4:8] == b"ftyp" else None
    if form is None or form in _optional():
        return "not an image of a supported format"
    return f"{_shown(form)}, which needs {_NEEDS[form]}"


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


def _decode(image: ImageFile.ImageFile, file: IO[bytes], max_pixels: int) -> Decoded:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise DataError(f"{image.width} x {image.height} pixels exceed data.max_pixels={max_pixels}")
    conversions = []
    if getattr(image, "is_animated", False):
        conversions.append("have several frames, of which the first is taken")
    load_whole(image, file)
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    result, conversion = _to_rgb(image)
    if turn is not None:
        result = result.transpose(turn)
        conversions.append("are turned upright as their EXIF orientation says")
    decoder = _optional().get(image.format or "", "")
    return Decoded(image=result, conversions=(*conversions, *conversion), decoder=decoder)


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
