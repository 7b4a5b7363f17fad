"""Files of pictures: good ones in every form that people have, and the same ones damaged or disguised. All are made."""

import io
import itertools
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


# --- colour profiles (ICC.1:2001-04)

Primaries = tuple[tuple[float, float, float], ...]
SRGB: Primaries = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
DISPLAY_P3: Primaries = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB: Primaries = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""X, Y, Z of red, green and blue, for the white of ICC's connection space."""


def srgb_light(values: np.ndarray) -> np.ndarray:
    """Return the light (0..1) of sRGB's values (0..1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _curve(gamma: float | None) -> bytes:
    """Return a power, or sRGB's own curve."""
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    table = np.round(srgb_light(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(table)) + table.tobytes()


def _profile(kind: bytes, space: bytes, connection: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(0.9642, 1, 0.8249),
        **tags,
    }
    place, table, bodies = 128 + 4 + 12 * len(tags), b"", b""
    for tag, body in tags.items():
        table += tag + struct.pack(">II", place + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    white = _xyz(0.9642, 1, 0.8249)[8:]
    head = struct.pack(">I4xI4s4s4s12x4s28x", place + len(bodies), 0x02400000, kind, space, connection, b"acsp") + white
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def rgb_profile(primaries: Primaries, name: str, gamma: float | None = None) -> bytes:
    """Return a profile of a display."""
    tags = {tag: _xyz(*colour) for tag, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    return _profile(b"mntr", b"RGB ", b"XYZ ", name, tags)


def grey_profile(name: str, gamma: float | None = None) -> bytes:
    """Return a profile of grey."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", name, {b"kTRC": _curve(gamma)})


def cmyk_profile(name: str) -> bytes:
    """Return a profile of a printer whose inks take lightness alone."""
    inks = np.array(list(itertools.product((0, 1), repeat=4)))
    lightness = np.round(255 * np.prod(1 - inks * (0.3, 0.3, 0.1, 0.9), axis=1)).astype(np.uint8)
    grid = np.stack([lightness, np.full(16, 128, np.uint8), np.full(16, 128, np.uint8)], axis=1)
    identity = b"".join(struct.pack(">i", 65536 * (row == column)) for row in range(3) for column in range(3))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * ramp + grid.tobytes() + 3 * ramp
    return _profile(b"prtr", b"CMYK", b"Lab ", name, {b"A2B0": table})


# --- two bytes a value


def png_rgb16(values: np.ndarray) -> bytes:
    """Return a PNG of colours (H, W, 3) uint16."""
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def tiff_grey(values: np.ndarray, bits: int) -> bytes:
    """Return a TIFF of grey (H, W) with so many bits a value, packed."""
    height, width = values.shape
    spread = (values[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(height, -1)
    data = np.packbits(spread, axis=1).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data += bytes(len(data) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)
