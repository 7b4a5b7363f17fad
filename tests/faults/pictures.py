"""Files of pictures: good ones in every form that people have, and the same ones damaged or disguised. All are made."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, features

pillow_heif.register_heif_opener()

SIZES = [(96, 64), (61, 97), (33, 32), (200, 150)]
"""Widths and heights in pixels; some are no multiples of a block."""


def photo(seed: int, size: tuple[int, int] = (96, 64), bottom: int | None = None) -> Image.Image:
    """Return a picture with areas, edges and grain, without a constant row; `bottom` paints its lower half."""
    rng, (width, height) = np.random.default_rng(seed), size
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)).astype(int)
    pixels = pixels + rng.integers(-12, 13, (height, width, 3))
    pixels[height // 4 : height // 2, width // 3 : width // 2] = rng.integers(0, 256, 3)
    if bottom is not None:
        pixels[height // 2 :] = bottom
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def wide(image: Image.Image, bits: int = 16) -> Image.Image:
    """Return the image as 16-bit grey with values of so many bits."""
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    grey = grey * 257 >> 16 - bits
    grey[0, 0] = (1 << bits) - 1
    return Image.fromarray(grey)


# --- how each form is written


@dataclass(frozen=True)
class Form:
    """A way to write a picture: its format with options, in a mode.

    Attributes:
        name: What people call it.
        form: Pillow's name of the format.
        ending: Of the file's name.
        mode: Of the picture.
        options: For Pillow.
        checked: Whether a missing part can be seen: where every byte string is a picture, nothing is wrong with one.
    """

    name: str
    form: str
    ending: str
    mode: str = "RGB"
    options: tuple[tuple[str, Any], ...] = ()
    checked: bool = True

    def write(self, image: Image.Image) -> bytes:
        """Return a file of the picture."""
        made = wide(image) if self.mode == "I;16" else image.convert(self.mode)
        return encoded(made, self.form, **dict(self.options))


def _form(name: str, form: str, ending: str, mode: str = "RGB", *, checked: bool = True, **options: Any) -> Form:
    return Form(name, form, ending, mode, tuple(options.items()), checked)


FORMS = [
    _form("JPEG", "JPEG", "jpg"),
    _form("JPEG, best", "JPEG", "jpg", quality=100, subsampling=0),
    _form("JPEG, worst", "JPEG", "jpg", quality=1),
    _form("JPEG, 4:2:2", "JPEG", "jpeg", subsampling=1),
    _form("JPEG, own tables", "JPEG", "jpg", optimize=True),
    _form("JPEG, progressive", "JPEG", "jpg", progressive=True),
    _form("JPEG, progressive grey", "JPEG", "jpg", "L", progressive=True),
    _form("JPEG, restart markers", "JPEG", "jpg", restart_marker_rows=1),
    _form("JPEG, many restart markers", "JPEG", "jpg", restart_marker_blocks=3),
    _form("JPEG, progressive with restart markers", "JPEG", "jpg", progressive=True, restart_marker_rows=1),
    _form("JPEG, grey", "JPEG", "jpg", "L"),
    _form("JPEG, CMYK", "JPEG", "jpg", "CMYK"),
    _form("PNG", "PNG", "png"),
    _form("PNG, grey", "PNG", "png", "L"),
    _form("PNG, alpha", "PNG", "png", "RGBA"),
    _form("PNG, grey and alpha", "PNG", "png", "LA"),
    _form("PNG, palette", "PNG", "png", "P"),
    _form("PNG, 4 bits", "PNG", "png", "P", bits=4),
    _form("PNG, 1 bit", "PNG", "png", "1"),
    _form("PNG, 16 bits", "PNG", "png", "I;16"),
    _form("GIF", "GIF", "gif", "P"),
    _form("GIF, interlaced", "GIF", "gif", "P", interlace=1),
    _form("GIF, grey", "GIF", "gif", "L", interlace=0),
    _form("BMP", "BMP", "bmp", checked=False),
    _form("BMP, 8 bits", "BMP", "bmp", "P", checked=False),
    _form("BMP, 1 bit", "BMP", "bmp", "1", checked=False),
    _form("WebP", "WEBP", "webp"),
    _form("WebP, lossless", "WEBP", "webp", lossless=True),
    _form("WebP, alpha", "WEBP", "webp", "RGBA"),
    _form("TIFF", "TIFF", "tif", checked=False),
    _form("TIFF, LZW", "TIFF", "tif", compression="tiff_lzw"),
    _form("TIFF, deflate", "TIFF", "tiff", compression="tiff_adobe_deflate"),
    _form("TIFF, PackBits", "TIFF", "tif", compression="packbits"),
    _form("TIFF, JPEG", "TIFF", "tif", compression="jpeg"),
    _form("TIFF, fax", "TIFF", "tif", "1", compression="group4"),
    _form("TIFF, 16 bits", "TIFF", "tif", "I;16", checked=False),
    _form("TIFF, CMYK", "TIFF", "tif", "CMYK", checked=False),
    _form("PPM", "PPM", "ppm", checked=False),
    _form("PGM", "PPM", "pgm", "L", checked=False),
    _form("HEIC", "HEIF", "heic"),
    *([_form("AVIF", "AVIF", "avif")] if features.check("avif") else []),
]


# --- what Pillow cannot write

_PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
_COLOURS = {"1": 0, "L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def interlaced(image: Image.Image, passes: int = 7) -> bytes:
    """Return an interlaced PNG of the first so many passes, with a proper end."""
    pixels, rows = np.asarray(image), []
    for left, upper, across, down in _PASSES[:passes]:
        part = pixels[upper::down, left::across]
        if part.size:
            part = np.packbits(part, axis=1) if image.mode == "1" else part.reshape(part.shape[0], -1)
            rows += [b"\0" + row.astype(np.uint8).tobytes() for row in part]
    depth = 1 if image.mode == "1" else 8
    head = struct.pack(">IIBBBBB", *image.size, depth, _COLOURS[image.mode], 0, 0, 1)
    palette = png_chunk(b"PLTE", bytes(image.getpalette() or ())) if image.mode == "P" else b""
    data = png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + palette + data + png_chunk(b"IEND", b"")
