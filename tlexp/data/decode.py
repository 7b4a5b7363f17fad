"""One image file to upright 8-bit RGB, or the reason why not.

Policy: a file of which rows are missing is refused (`whole`); EXIF orientation is applied; of several frames the first
is taken; values and colours become those of 8-bit sRGB (`rgb`, `colour`). HEIC is decoded by pillow-heif where it is
installed, which turns images upright itself, and AVIF by Pillow where it was built so.
"""

import contextlib
import functools
import hashlib
import importlib.util
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from PIL import Image, ImageFile, UnidentifiedImageError, features

from tlexp.config import Preprocessing
from tlexp.config.data import Decoder
from tlexp.data.rgb import to_rgb
from tlexp.data.whole import load_whole
from tlexp.errors import DataError
from tlexp.terminal import one_line

DECODER = 1
"""Raised whenever files give other pixels than before under the same `Decoded.content`; see `decoder_name`."""

FINER = 2
"""Times the side that an image is resized to: so long are the sides of a JPEG at least that is decoded in part."""

_OPTIONAL = {".heic": "HEIF", ".heif": "HEIF", ".avif": "AVIF"}
"""Extension -> a format that not every installation decodes."""
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", *_OPTIONAL})
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_NEEDS = {"HEIF": "pillow-heif: pip install 'tlexp[heif]'", "AVIF": "Pillow 11.3 or later, built with AVIF"}
_BRANDS = {b"heic": "HEIF", b"heix": "HEIF", b"heim": "HEIF", b"heis": "HEIF", b"mif1": "HEIF", b"avif": "AVIF"}
"""What stands at byte 8 of such a file."""

_LIBRARIES = ("jpg", "libjpeg_turbo", "zlib", "libtiff", "webp", "avif", "littlecms2")
"""What Pillow was built with."""

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
        short_side: Of the image as it lies, in pixels.
        conversions: What was done to it beyond decoding, in words for a note.
        decoder: What made these pixels besides Pillow: packages with their versions, a number of bits that was stated.
    """

    image: Image.Image
    short_side: int
    conversions: tuple[str, ...]
    decoder: str = ""

    def content(self, digest: str) -> str:
        """Return what names the pixels, given the sha256 of the file, 64 hexadecimal digits.

        Cached rows know Pillow's version by their key; what else made pixels concerns its files alone.
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


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How files become pixels.

    Attributes:
        max_pixels: Largest width x height that is decoded; the header alone is read for the comparison.
        bits: How many the values of 16-bit grey use, 8..16; None where nobody said.
        least_side: JPEGs are decoded at the smallest scale at which their sides are so long, in pixels; None for all of
            their pixels.
    """

    max_pixels: int
    bits: int | None = None
    least_side: int | None = None

    @property
    def decoder(self) -> Decoder:
        """Whether JPEGs may be decoded in part."""
        return Decoder.exact if self.least_side is None else Decoder.fast

    @classmethod
    def of(cls, decoder: Decoder, expected: Preprocessing, *, max_pixels: int, bits: int | None) -> Self:
        """Return how files become pixels for a network.

        Args:
            decoder: Whether JPEGs may be decoded in part.
            expected: What the network expects of images.
            max_pixels: Largest image that is decoded.
            bits: How many the values of 16-bit grey use; None where nobody said.
        """
        fast = decoder is Decoder.fast
        return cls(max_pixels=max_pixels, bits=bits, least_side=FINER * expected.resized_side if fast else None)


def decode(file: IO[bytes], asked: Decoding) -> Decoded:
    """Decode an image file completely.

    Args:
        file: The open file, at its start.
        asked: How.

    Raises:
        DataError: The reason why there is no image, without the file's name.
    """
    try:
        with pillow_guard, Image.open(file, formats=(*_FORMATS, *_optional())) as image:
            return _decode(image, file, asked)
    except UnidentifiedImageError as error:
        raise DataError(_unknown(file)) from error
    except UNREADABLE as error:
        raise DataError(f"{printable(str(error))} ({type(error).__name__})".lstrip()) from error


def decode_image(image: Image.Image, asked: Decoding) -> Decoded:
    """Return an image in memory as a file of it would be decoded: upright, in 8-bit sRGB.

    Args:
        image: Of any mode; loaded if that was not done.
        asked: How.

    Raises:
        DataError: The reason why there is no image.
    """
    try:
        with pillow_guard:
            require_size(*image.size, asked)
            two_bytes = _two_bytes(image)
            image.load()
            return _upright(image, asked, short_side=min(image.size), two_bytes=two_bytes)
    except UNREADABLE as error:
        raise DataError(f"{printable(str(error))} ({type(error).__name__})".lstrip()) from error


def decoder_name(decoder: Decoder) -> int | str:
    """Return what names the way from files to pixels in digests of folders and in keys of rows.

    >>> decoder_name(Decoder.exact), decoder_name(Decoder.fast)
    (1, '1 fast')
    """
    return DECODER if decoder is Decoder.exact else f"{DECODER} {decoder}"


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


def decoder_versions() -> tuple[str, ...]:
    """Return what files are decoded with here, each with its version."""
    own = (f"{name} {features.version(name)}" for name in ("pil", *_LIBRARIES))
    return (*own, *(f"{form} {by}" for form, by in sorted(_optional().items())))


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
    return one_line(text.replace("\\", "\\\\"))


def _decode(image: ImageFile.ImageFile, file: IO[bytes], asked: Decoding) -> Decoded:
    require_size(*image.size, asked)
    short_side = min(image.size)
    if asked.least_side is not None:
        image.draft(None, (asked.least_side, asked.least_side))  # of JPEGs; others stay as they are
    several = ["have several frames, of which the first is taken"] if getattr(image, "is_animated", False) else []
    two_bytes = _two_bytes(image)
    found = [*several, *load_whole(image, file)]
    return _upright(image, asked, short_side=short_side, two_bytes=two_bytes, conversions=found)


def require_size(width: int, height: int, asked: Decoding) -> None:
    """Refuse an image of more pixels than are wanted.

    Raises:
        DataError: As said.
    """
    if width * height > asked.max_pixels:
        raise DataError(f"{width} x {height} pixels exceed data.max_pixels={asked.max_pixels}")


def _two_bytes(image: Image.Image) -> bool:
    """Return whether a file that was not loaded yet holds two bytes for each value of a colour."""
    return any(";16" in str(part[3]) for part in getattr(image, "tile", ()))


def _upright(
    image: Image.Image, asked: Decoding, *, short_side: int, two_bytes: bool, conversions: Sequence[str] = ()
) -> Decoded:
    done = [*conversions]
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    rgb = to_rgb(image, bits=asked.bits, two_bytes=two_bytes)
    result = rgb.image
    if turn is not None:
        result = result.transpose(turn)
        done.append("are turned upright as their EXIF orientation says")
    decoder = ", ".join(part for part in (_optional().get(image.format or "", ""), *rgb.by) if part)
    told = (*done, *map(printable, rgb.conversions))
    return Decoded(image=result, short_side=short_side, conversions=told, decoder=decoder)
