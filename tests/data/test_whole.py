import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.faults.pictures import encoded, interlaced, photo
from tlexp.data.whole import load_whole
from tlexp.errors import DataError

BLACK = {"black": Image.new("RGB", (40, 30)), "black bottom": photo(0, (40, 30), bottom=0), "photo": photo(1, (40, 31))}
MODES = ["RGB", "RGBA", "L", "LA", "P", "1"]


def loaded(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    with Image.open(file) as image:
        assert load_whole(image, file) == ()
        return np.asarray(image)


def header(content: bytes, height: int) -> bytes:
    """Return a PNG that claims another height."""
    body = content[12:20] + struct.pack(">I", height) + content[24:29]
    return content[:12] + body + struct.pack(">I", zlib.crc32(body)) + content[33:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", BLACK)
def test_a_png_with_half_its_rows_is_refused_and_black_ones_are_not(name: str, mode: str) -> None:
    content = encoded(BLACK[name].convert(mode), "PNG")
    assert loaded(content).shape[:2] == BLACK[name].size[::-1]
    with pytest.raises(DataError, match=r"image file is truncated: it holds 50% of its rows"):
        loaded(header(content, 2 * BLACK[name].height))


@pytest.mark.parametrize("mode", MODES)
def test_an_interlaced_png_is_whole_or_refused(mode: str) -> None:
    for picture in BLACK.values():
        content = interlaced(picture.convert(mode))
        assert np.array_equal(loaded(content), np.asarray(picture.convert(mode)))
        with pytest.raises(DataError, match=r"it holds .* of its rows"):
            loaded(interlaced(picture.convert(mode), passes=6))


def test_16_bits_are_counted_too() -> None:
    content = encoded(Image.fromarray(np.zeros((8, 9), np.uint16)), "PNG")
    assert loaded(content).shape == (8, 9)
    with pytest.raises(DataError, match="80%"):
        loaded(header(content, 10))


def test_the_checksum_of_a_pngs_pixels_counts() -> None:
    content = encoded(photo(0), "PNG")
    half = len(content) // 2
    zeros = content[:half] + bytes(len(content) - half - 12) + content[-12:]
    with pytest.raises(DataError, match="checksum of its pixels"):
        loaded(zeros)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "I;16"])
def test_a_tiff_without_its_last_strips_is_refused(mode: str) -> None:
    picture = Image.fromarray(np.zeros((60, 64), np.uint16)) if mode == "I;16" else Image.new(mode, (64, 60))
    content = bytearray(encoded(picture, "TIFF"))
    assert loaded(bytes(content)).shape[:2] == (60, 64)
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    for place in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from("<HH", content, place)
        if tag == 257:  # ImageLength
            struct.pack_into("<I" if kind == 4 else "<H", content, place + 8, 120)
    with pytest.raises(DataError, match="it holds 50% of its pixels"):
        loaded(bytes(content))


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", "PPM", "TIFF"])
def test_black_pictures_of_other_formats_are_whole(form: str) -> None:
    assert not loaded(encoded(Image.new("RGB", (50, 40)), form)).any()


def test_a_webp_that_ends_in_zeros_is_doubtful_and_a_flat_one_is_not() -> None:
    for picture in (photo(0, (300, 300), bottom=0), Image.new("RGB", (300, 300), "white")):
        for method in (0, 4):
            loaded(encoded(picture, "WEBP", method=method))
    content = encoded(photo(0, (300, 300)), "WEBP")
    file = io.BytesIO(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with Image.open(file) as image:
        assert load_whole(image, file) == ("end in zeros for 50% of the file, as a copy that stopped does",)
