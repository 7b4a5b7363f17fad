"""Files of pictures: good ones in every form that people have, and the same ones damaged or disguised. All are made."""

import io
import itertools
import re
import struct
import zlib
from collections.abc import Iterator
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


# --- the same files, damaged

WHERE_NOTHING_SHOWS = ("WEBP", "HEIF", "AVIF")
"""Formats whose data decode to something whatever they are: they are told of, not refused."""


def half(content: bytes, form: Form) -> bytes:
    """Return the first half, as after a download that stopped."""
    return content[: len(content) // 2]


def head(content: bytes, form: Form) -> bytes:
    """Return the signature and nothing else."""
    return content[:10]


def zeros(content: bytes, form: Form) -> bytes | None:
    """Return the file with zeros in place of its second half, as after a copy that stopped."""
    if not form.checked or form.form in WHERE_NOTHING_SHOWS:
        return None
    return half(content, form) + bytes(len(content) - len(content) // 2)


def ended(content: bytes, form: Form) -> bytes | None:
    """Return the first half with the proper end of its format."""
    if form.form == "JPEG":
        start = content.index(b"\xff\xda")
        return content[: (start + len(content)) // 2] + b"\xff\xd9"
    if form.form == "GIF":
        return half(content, form) + b"\0;"
    if form.form == "WEBP":
        part = content[: len(content) // 4 * 2]
        return part[:4] + struct.pack("<I", len(part) - 8) + part[8:]
    if form.form == "PNG":
        start, stop = content.index(b"IDAT"), content.rindex(b"IEND") - 4
        rows = zlib.decompressobj().decompress(_pixels(content))
        data = png_chunk(b"IDAT", zlib.compress(rows[: len(rows) // 2]))
        return content[: start - 4] + data + content[stop:]
    return None


def _pixels(content: bytes) -> bytes:
    """Return the compressed data of a PNG."""
    place, parts = 8, []
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        parts += [content[place + 8 : place + 8 + length]] if kind == b"IDAT" else []
        place += length + 12
    return b"".join(parts)


def taller(content: bytes, form: Form) -> bytes | None:
    """Return the file with twice its height in its header."""
    data = bytearray(content)
    if form.form == "PNG":
        height = int.from_bytes(data[20:24], "big")
        data[20:24] = (2 * height).to_bytes(4, "big")
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif form.form == "JPEG":
        place = re.search(rb"\xff[\xc0\xc2]\x00", content).start() + 5  # type: ignore[union-attr]
        data[place : place + 2] = (2 * int.from_bytes(data[place : place + 2], "big")).to_bytes(2, "big")
    elif form.form == "BMP":
        data[22:26] = (2 * int.from_bytes(data[22:26], "little")).to_bytes(4, "little")
    elif form.form == "TIFF":
        (start,) = struct.unpack_from("<I", data, 4)
        for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
            tag, kind, _ = struct.unpack_from("<HHI", data, place)
            if tag == 257:
                code = "<I" if kind == 4 else "<H"
                struct.pack_into(code, data, place + 8, 2 * struct.unpack_from(code, data, place + 8)[0])
    elif form.form == "GIF":
        place = content.index(b",", 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0))
        data[place + 7 : place + 9] = (2 * int.from_bytes(data[place + 7 : place + 9], "little")).to_bytes(2, "little")
    elif form.form == "PPM":
        width, height = content.split(b"\n", 2)[1].split()
        return content.replace(width + b" " + height, width + b" %d" % (2 * int(height)), 1)
    else:
        return None
    return bytes(data)


DAMAGES = {"half": half, "head": head, "zeros": zeros, "half with an end": ended, "twice as tall": taller}
"""What becomes of files; None where it would leave a picture like any other."""


def damaged() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, ending and content of every kind of file that is no picture any more."""
    for number, form in enumerate(FORMS):
        whole = form.write(photo(number, (120, 90)))
        for damage, do in DAMAGES.items():
            if (content := do(whole, form)) is not None:
                yield f"{form.name}: {damage}", form.ending, content
    for ending in ("jpg", "png", "gif", "webp", "tif", "bmp"):
        yield f"empty {ending}", ending, b""
        yield f"a page in place of a {ending}", ending, b"<!DOCTYPE html><html><title>404</title></html>\n" * 9
    scratch = np.random.default_rng(0).bytes(4000)
    yield "noise", "jpg", scratch
    yield "32 bits of integers", "tif", encoded(Image.new("I", (9, 9), 70000), "TIFF")
    yield "floating point", "tif", encoded(Image.new("F", (9, 9), 0.5), "TIFF")
    small = encoded(photo(0, (32, 32)), "JPEG", quality=30, subsampling=2)
    yield "a small JPEG short of a unit", "jpg", small[:-36] + small[-2:]
    passes = encoded(photo(0), "JPEG", progressive=True)
    scans = [found.start() for found in re.finditer(b"\xff\xda", passes)]
    stop = re.compile(rb"\xff[\xc4\xda]").search(passes, scans[4] + 2).start()  # type: ignore[union-attr]
    yield "a progressive JPEG with a scan cut", "jpg", passes[: (scans[4] + stop) // 2] + passes[stop:]
    restarts = encoded(photo(0), "JPEG", restart_marker_rows=1)
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", restarts)]
    yield "a JPEG without one interval", "jpg", restarts[: marks[0]] + restarts[marks[1] :]
    strips = encoded(photo(0), "TIFF", tiffinfo={278: 8})
    places = struct.pack("<8I", *(Image.open(io.BytesIO(strips)).tag_v2[273]))  # type: ignore[attr-defined]
    yield "a TIFF with all strips in one place", "tif", strips.replace(places, 8 * places[:4])
    claim = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    yield "a bomb", "png", b"\x89PNG\r\n\x1a\n" + claim + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def misread() -> Iterator[tuple[str, bytes, str]]:
    """Yield name and content of kinds that most readers take for other pictures, and what has to be told of them."""
    for form in FORMS:
        if form.form in WHERE_NOTHING_SHOWS:
            whole = form.write(photo(0, (120, 90)))
            told = "end in zeros for 50% of the file"
            yield f"{form.name}: zeros", half(whole, form) + bytes(len(whole) - len(whole) // 2), told
        elif form.form in ("BMP", "PPM", "TIFF") and not form.checked and form.mode != "1":
            whole = form.write(photo(0, (120, 97)))
            kept = len(whole) * 3 // 5 + 80  # inside a row, for each of them
            yield (
                f"{form.name}: zeros",
                whole[:kept] + bytes(len(whole) - kept),
                "of the picture, as a copy that stopped",
            )
    canvas = bytearray(encoded(photo(0).convert("P"), "GIF"))
    canvas[6:8] = struct.pack("<H", 192)
    yield "a GIF larger than its frame", bytes(canvas), "first frame that is smaller"
    p3, adobe = rgb_profile(DISPLAY_P3, "Display P3"), rgb_profile(ADOBE_RGB, "Adobe RGB", 2.2)
    wider = "converted from Display P3"
    for bits, form in itertools.product((8, 10, 12, 14), ("PNG", "TIFF")):
        yield f"{bits} bits in a {form} of 16", encoded(wide(photo(bits), bits), form), f"use {bits} at most"
    yield "12-bit colours of 16", png_rgb16(np.asarray(photo(0)).astype(np.uint16) << 4), "use 12 at most"
    yield "a TIFF of 12 bits", tiff_grey(np.asarray(wide(photo(0), 12)), 12), "have 12 bits"
    yield "16 bits", encoded(wide(photo(0)), "PNG"), "have 16 bits"
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", *(["AVIF"] if features.check("avif") else [])):
        yield f"Display P3 in {form}", encoded(photo(1), form, icc_profile=p3), wider
    yield "Display P3 with a palette", encoded(photo(1).convert("P"), "PNG", icc_profile=p3), wider
    yield "Adobe RGB", encoded(photo(1), "JPEG", icc_profile=adobe), "converted from Adobe RGB"
    yield "linear grey", encoded(photo(1).convert("L"), "PNG", icc_profile=grey_profile("linear", 1.0)), "from linear"
    inks = photo(1).convert("CMYK")
    yield "inks with a profile", encoded(inks, "JPEG", icc_profile=cmyk_profile("print")), "converted from print"
    yield "inks", encoded(inks, "JPEG"), "CMYK"
    yield "a broken profile", encoded(photo(1), "JPEG", icc_profile=p3[:99]), "profile that cannot be used"
    yield "a profile of other images", encoded(photo(1), "PNG", icc_profile=cmyk_profile("print")), "cannot be used"
    clear = photo(2).convert("RGBA")
    clear.putalpha(photo(3).convert("L"))
    for form in ("PNG", "WEBP", "TIFF"):
        yield f"transparent {form}", encoded(clear, form), "transparent"
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        frames = [photo(seed).convert("RGB") for seed in (4, 5)]
        yield f"animated {form}", encoded(frames[0], form, save_all=True, append_images=frames[1:]), "several frames"
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation {orientation}", encoded(photo(6), "JPEG", exif=exif), "turned upright"


@dataclass(frozen=True)
class Good:
    """A file with nothing wrong: its form, and the picture that was written."""

    name: str
    form: Form
    content: bytes


SHAPES = [(96, 64), (61, 97), (33, 32), (1, 1), (17, 5), (200, 150), (8, 16)]
BOTTOMS = [None, 0, 128, 255]
QUALITIES = [{}, {"quality": 30}, {"quality": 100}]


def good(count: int, start: int = 0) -> Iterator[Good]:
    """Yield so many good files, of all forms, sizes, qualities and bottoms of one colour."""
    for number in range(start, start + count):
        form = FORMS[number % len(FORMS)]
        turn = number // len(FORMS)
        size, bottom = SHAPES[turn % len(SHAPES)], BOTTOMS[turn % len(BOTTOMS)]
        picture = Image.new("RGB", size, (bottom or 0,) * 3) if turn % 9 == 8 else photo(number, size, bottom)
        made = wide(picture) if form.mode == "I;16" else picture.convert(form.mode)
        options = dict(form.options)
        if form.form in ("JPEG", "WEBP") and "quality" not in options:
            options |= QUALITIES[turn % len(QUALITIES)]
        content = interlaced(made) if form.form == "PNG" and turn % 3 == 2 and made.mode in _COLOURS else None
        if content is not None and "bits" in options:
            content = None
        yield Good(f"{number} {form.name} {size} {bottom}", form, content or encoded(made, form.form, **options))
