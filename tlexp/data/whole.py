"""Images of which every row stands in their file.

Pillow leaves rows of a PNG or a TIFF black that the file does not give, as long as what it gives has a proper end.
Black rows are cheap to find, and only then what a PNG holds is counted.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from tlexp.data.jpeg import load_jpeg
from tlexp.errors import DataError

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG's colour types: values of a pixel."""
_PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""Adam7: first column and row of each pass, and steps between its columns and rows (PNG specification, 8.2)."""
_PIECE = 1 << 20


_UNCHECKED = ("WEBP", "HEIF", "AVIF")
"""Formats whose data decode to something whatever they are, and have no checksum."""
_MOST_ZEROS = 1 / 3
"""Of a file. WebP ends in zeros where the end of a picture has one colour: up to 0.22 among 144 that were tried."""

_PLACES = (273, 324)
"""Tags of a TIFF: where its strips, or its tiles, stand in the file."""
_SHORTEST, _FILLED = 16, 0.9
"""Zeros that begin in the last sixteenth of a row, or below others, may be those of a picture."""


def load_whole(image: ImageFile.ImageFile, file: IO[bytes]) -> tuple[str, ...]:
    """Decode an opened image, and return what makes it doubtful, in words.

    Args:
        image: What Pillow made of the file.
        file: The file.

    Raises:
        DataError: Rows are missing, or a checksum is wrong.
    """
    if image.format in ("JPEG", "MPO"):
        load_jpeg(image, _content(file))
    elif image.format == "PNG":
        packed = _packed(_content(file))
        image.load()
        if not _last_rows(image).any(axis=1).all():
            _require_rows(_inflated(packed), _png_bytes(file), "its rows")
    else:
        if image.format == "TIFF":
            _require_tiles(image)
        tiles = image.tile
        image.load()
        return tuple(_doubts(image, file, tiles))
    return ()


def _doubts(image: ImageFile.ImageFile, file: IO[bytes], tiles: list[Any]) -> Iterator[str]:
    """Yield what makes a loaded image doubtful whose file has no checksum, by the parts that it was read from."""
    if image.format == "GIF" and tiles and tiles[0][1] != (0, 0, *image.size):
        yield "have a first frame that is smaller than the picture, whose rest is empty"
    if image.format in _UNCHECKED:
        share, whole = _zeros(_content(file)), "file"
    elif tiles and tiles[0][0] == "raw":
        share, whole = _zeros_inside(image, upwards=tiles[0][3][-1] == -1), "picture"
    else:
        return
    if share > _MOST_ZEROS:
        yield f"end in zeros for {share:.0%} of the {whole}, as a copy that stopped does"


def _zeros_inside(image: ImageFile.ImageFile, *, upwards: bool) -> float:
    """Return how much of uncompressed pixels is zeros at their end; 0 where these may be a black area.

    An area ends where rows do, or where it also ends a row above; a copy stops anywhere.
    """
    pixels = np.asarray(image)[:: -1 if upwards else 1]
    rows = np.any(pixels.reshape(image.height, image.width, -1), axis=2)
    filled = np.flatnonzero(rows.any(axis=1))
    if len(filled) == 0 or filled[-1] == 0:
        return 0.0
    last, width = int(filled[-1]), rows.shape[1]
    begin = int(np.flatnonzero(rows[last])[-1]) + 1
    above = rows[last - 1, begin:]
    stopped = width - begin >= width / _SHORTEST and above.mean() > _FILLED
    return 1 - (last + begin / width) / image.height if stopped else 0.0


def _zeros(content: bytes) -> float:
    """Return how much of a file is zeros at its end."""
    return 1 - len(content.rstrip(b"\0")) / len(content)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _last_rows(image: ImageFile.ImageFile) -> NDArray[np.generic]:
    """Return the last two rows: of what is interlaced, one of them is the last to be given."""
    rows = np.asarray(image.crop((0, max(0, image.height - 2), image.width, image.height)))
    return rows.reshape(len(rows), -1)


def _require_rows(given: int, wanted: int, what: str) -> None:
    if given < wanted:
        raise DataError(f"image file is truncated: it holds {given / wanted:.0%} of {what}")


def _require_tiles(image: ImageFile.ImageFile) -> None:
    """Refuse files whose parts do not cover the picture, such as a TIFF without its last strips."""
    assert isinstance(image, TiffImageFile)
    parts = {tile[1] for tile in image.tile if tile[1] is not None}
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in parts)
    _require_rows(covered, image.width * image.height, "its pixels")
    for tag in _PLACES:
        places = image.tag_v2.get(tag, ())
        if len(places) > 1 and len(set(places)) == 1:
            raise DataError(f"broken TIFF file: its {len(places)} parts all lie in one place")


def _packed(content: bytes) -> list[bytes]:
    """Return the compressed data of a PNG.

    Raises:
        DataError: Their checksum is wrong, which Pillow leaves unseen behind the last row.
    """
    packed = []
    for kind, body, checksum in _chunks(content):
        if kind == b"IDAT":
            if zlib.crc32(body, zlib.crc32(kind)) != checksum:
                raise DataError("broken PNG file: the checksum of its pixels is wrong")
            packed.append(body)
    return packed


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the kind, the body and the checksum of every whole chunk of a PNG."""
    place = 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        body, place = content[place + 8 : place + 8 + length], place + 12 + length
        if place > len(content):
            return
        yield kind, body, int.from_bytes(content[place - 4 : place], "big")


def _inflated(packed: list[bytes]) -> int:
    """Return how many bytes compressed data hold, in little memory."""
    unpack, count = zlib.decompressobj(), 0
    for body in packed:
        while body:
            count += len(unpack.decompress(body, _PIECE))
            body = unpack.unconsumed_tail
    return count + len(unpack.flush())


def _png_bytes(file: IO[bytes]) -> int:
    """Return how many bytes the rows of a PNG are, each with that of its filter."""
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", _content(file)[16:29])
    bits = depth * _CHANNELS[colours]
    count = 0
    for left, upper, across, down in _PASSES if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -((left - width) // across), -((upper - height) // down)
        count += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return count
