import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

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
    for share, told in ((50, 50), (60, 40)):
        assert doubts(stopped(content, share)) == (
            f"end in zeros for {told}% of the file, as a copy that stopped does",
        )


def stopped(content: bytes, share: int) -> bytes:
    """Return a file with zeros behind so many hundredths of it."""
    kept = len(content) * share // 100
    return content[:kept] + bytes(len(content) - kept)


def doubts(content: bytes) -> tuple[str, ...]:
    file = io.BytesIO(content)
    with Image.open(file) as image:
        return load_whole(image, file)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
@pytest.mark.parametrize("form", ["BMP", "PPM", "TIFF"])
def test_uncompressed_pixels_that_stop_inside_a_row_are_doubtful(form: str, mode: str) -> None:
    if (form, mode) == ("PPM", "P"):
        return
    content = encoded(photo(0, (150, 101)).convert(mode), form)
    assert doubts(content) == ()
    told = doubts(stopped(content, 60))
    assert [re.sub(r"4\d%", "4_%", each) for each in told] == [
        "end in zeros for 4_% of the picture, as a copy that stopped does"
    ]


@pytest.mark.parametrize("form", ["BMP", "PPM", "TIFF"])
def test_black_areas_of_uncompressed_pictures_are_not_doubtful(form: str) -> None:
    disc = Image.new("L", (120, 120))
    ImageDraw.Draw(disc).ellipse((30, 10, 90, 70), fill=200)
    for picture in (photo(0, (150, 101), bottom=0), disc, disc.transpose(Image.Transpose.FLIP_TOP_BOTTOM)):
        assert doubts(encoded(picture, form)) == ()


def test_a_gif_whose_first_frame_does_not_fill_it_is_doubtful() -> None:
    content = bytearray(encoded(photo(0).convert("P"), "GIF"))
    assert doubts(bytes(content)) == ()
    content[6:8] = (2 * 96).to_bytes(2, "little")
    assert doubts(bytes(content)) == ("have a first frame that is smaller than the picture, whose rest is empty",)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_a_tiff_whose_strips_all_lie_in_one_place_is_refused(options: dict[str, str]) -> None:
    content = encoded(photo(0), "TIFF", tiffinfo={278: 8}, **options)
    assert doubts(content) == ()
    with Image.open(io.BytesIO(content)) as image:
        offsets = image.tag_v2[273]  # type: ignore[attr-defined]
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    assert table in content
    with pytest.raises(DataError, match="its 8 parts all lie in one place"):
        doubts(content.replace(table, struct.pack("<I", offsets[0]) * len(offsets)))
