import io
import os
import random
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.faults.pictures import photo
from tlexp.config import Preprocessing
from tlexp.config.data import Decoder
from tlexp.data.decode import Decoded, Decoding, decode, doubtful, pillow_guard, printable
from tlexp.errors import DataError

LIMIT = 10**6


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def decoded(content: bytes, limit: int = LIMIT) -> np.ndarray:
    return np.asarray(decode(io.BytesIO(content), Decoding(max_pixels=limit)).image)


def refused(content: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(DataError) as error:
        decode(io.BytesIO(content), Decoding(max_pixels=limit))
    return str(error.value)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def test_lossless_formats_keep_every_pixel() -> None:
    pixels = noise(7, 11, 3)
    for form in ("PNG", "BMP", "TIFF", "PPM"):
        assert np.array_equal(decoded(encoded(Image.fromarray(pixels), form)), pixels), form
    assert np.array_equal(decoded(encoded(Image.fromarray(pixels), "WEBP", lossless=True)), pixels)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(form: str, orientation: int) -> None:
    quarters = np.zeros((16, 24, 3), np.uint8)
    quarters[:8, :12, 0] = 255
    quarters[:8, 12:, 1] = 255
    quarters[8:, :12, 2] = 255
    upright = {
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.transpose(1, 0, 2),
        6: quarters[::-1].transpose(1, 0, 2),
        7: quarters[::-1, ::-1].transpose(1, 0, 2),
        8: quarters[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    result = decoded(encoded(Image.fromarray(quarters), form, exif=exif, **options))
    assert result.shape == upright.shape
    assert np.abs(result.astype(int) - upright).max() < 16


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_to_8(form: str) -> None:
    values = np.array([[0, 255, 256, 1000], [32767, 32768, 65279, 65535]], dtype=np.uint16)
    result = decode(io.BytesIO(encoded(Image.fromarray(values), form)), Decoding(max_pixels=LIMIT))
    assert np.array_equal(np.asarray(result.image)[..., 0], values >> 8)
    assert result.conversions == ("have 16 bits, of which the upper 8 are kept",)


def test_big_endian_16_bits_are_scaled_too() -> None:
    values = np.array([[0, 300], [40000, 65535]], dtype=np.uint16)
    assert np.array_equal(
        decoded(encoded(Image.frombytes("I;16B", (2, 2), values.astype(">u2").tobytes()), "TIFF"))[..., 0], values >> 8
    )


def test_transparency_is_put_on_white() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 3] = [[0, 255], [128, 0]]
    result = decode(io.BytesIO(encoded(Image.fromarray(pixels))), Decoding(max_pixels=LIMIT))
    assert np.asarray(result.image)[..., 0].tolist() == [[255, 0], [127, 255]]
    assert result.conversions == ("have transparent parts, which are put on white",)


def test_a_transparent_colour_is_put_on_white() -> None:
    for mode, key, transparent in (("RGB", (10, 20, 30), (10, 20, 30)), ("P", 0, 0), ("L", 0, 0)):
        image = Image.new(mode, (2, 1), key)
        if mode == "P":
            image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((1, 0), (1, 2, 3) if mode == "RGB" else 1)
        result = decoded(encoded(image, transparency=transparent))
        assert result[0, 0].tolist() == [255, 255, 255], mode
        assert result[0, 1].tolist() != [255, 255, 255], mode


def test_full_opacity_is_no_conversion() -> None:
    image = Image.fromarray(noise(4, 4, 3)).convert("RGBA")
    result = decode(io.BytesIO(encoded(image)), Decoding(max_pixels=LIMIT))
    assert result.conversions == ()
    assert np.array_equal(np.asarray(result.image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_taken_and_noted(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    content = encoded(
        frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {})
    )
    result = decode(io.BytesIO(content), Decoding(max_pixels=LIMIT))
    assert np.asarray(result.image)[4, 4].tolist() == [255, 0, 0]
    assert result.conversions == ("have several frames, of which the first is taken",)


def test_palette_cmyk_bilevel_and_grey_become_rgb() -> None:
    base = Image.fromarray(noise(16, 16, 3))
    for mode, form in (("P", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("1", "PNG"), ("L", "PNG"), ("LA", "PNG")):
        image = base.convert(mode)
        result = decode(io.BytesIO(encoded(image, form)), Decoding(max_pixels=LIMIT)).image
        assert (result.mode, result.size) == ("RGB", (16, 16))
    assert decoded(encoded(base.convert("1")))[..., 0].max() == 255


def test_floating_point_and_32_bit_integers_are_refused() -> None:
    assert "floating-point" in refused(encoded(Image.new("F", (4, 4), 0.5), "TIFF"))
    assert "32-bit" in refused(encoded(Image.new("I", (4, 4), 70000), "TIFF"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"hello, I am no image\n" * 20, "not an image"),
        (b"<!DOCTYPE html><html></html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:-200], "truncated"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:10], "truncated"),
        (encoded(Image.fromarray(noise(64, 64, 3)))[:3000], "truncated"),
        (png_header(4, 4) + chunk(b"IDAT", b"no zlib at all") + chunk(b"IEND", b""), "broken"),
    ],
)
def test_damaged_files_have_a_reason(content: bytes, reason: str) -> None:
    assert reason in refused(content).lower()


def test_a_text_bomb_is_a_reason() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    assert "too large" in refused(encoded(Image.new("RGB", (2, 2)), pnginfo=info))


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    # There is no pixel data: anything but a look at the header would say so.
    assert (
        refused(png_header(100_000, 100_000) + chunk(b"IDAT", b""))
        == "100000 x 100000 pixels exceed data.max_pixels=1000000"
    )
    assert "exceed" in refused(encoded(Image.new("1", (1001, 1000))))
    assert decoded(encoded(Image.new("1", (1000, 1000)))).shape == (1000, 1000, 3)


def test_max_pixels_may_exceed_pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decoded(encoded(Image.new("RGB", (30, 30)))).shape == (30, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pillows_warnings_neither_leak_nor_stay_off() -> None:
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded(encoded(palette, transparency=bytes([0, 255])))
    with pillow_guard, pillow_guard:
        pass
    assert (list(warnings.filters), limit) == (filters, Image.MAX_IMAGE_PIXELS)


def test_printable_names_stay_different() -> None:
    names = ["a\nb", "a\\nb", "a\x1b[31mb", os.fsdecode(b"a\xff"), "a\u202eb", "ä b"]
    shown = [printable(name) for name in names]
    assert all(name.isprintable() for name in shown)
    assert len(set(shown)) == len(names)
    assert shown[-1] == "ä b"


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_a_file_cut_anywhere_decodes_or_has_a_reason(form: str) -> None:
    frames = [Image.new("L", (4, 4), grey) for grey in (0, 99)]
    whole = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    for length in range(len(whole)):
        try:
            decoded(whole[:length])
        except DataError:
            continue


def _fuzz(mutations: int) -> None:
    base = Image.fromarray(noise(24, 24, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "words"
    seeds = [
        encoded(base, "JPEG", exif=exif),
        encoded(base, "JPEG", progressive=True),
        encoded(base, "PNG", exif=exif),
        encoded(base.convert("P"), "PNG", transparency=0),
        encoded(base, "GIF", save_all=True, append_images=[base.rotate(90)]),
        encoded(base, "BMP"),
        encoded(base, "WEBP", exif=exif),
        encoded(base, "TIFF", compression="tiff_lzw", exif=exif),
        encoded(base, "PPM"),
        encoded(base, "PNG", save_all=True, append_images=[base.rotate(90)]),
    ]
    rng = random.Random(7)
    outcomes = {True: 0, False: 0}
    for _ in range(mutations):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 8, 40))):
            content[rng.randrange(min(len(content), rng.choice((64, 400, 10**6))))] = rng.randrange(256)
        if rng.random() < 0.2:
            del content[rng.randrange(len(content)) :]
        decodes, reason = True, ""
        try:
            decoded(bytes(content))
        except DataError as error:
            decodes, reason = False, str(error)
        assert decodes or (reason and reason.isprintable())
        outcomes[decodes] += 1
    assert min(outcomes.values()) > mutations / 20


def test_random_damage_decodes_or_has_a_reason() -> None:
    _fuzz(200)


@pytest.mark.slow
def test_much_random_damage_decodes_or_has_a_reason() -> None:
    _fuzz(3000)


def test_the_file_stays_open_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGB", (3, 3))))
    with path.open("rb") as file:
        assert decode(file, Decoding(max_pixels=LIMIT)).image.size == (3, 3)
        assert not file.closed


# --- JPEGs that are decoded in part


def in_part(content: bytes, least_side: int | None, limit: int = LIMIT) -> Decoded:
    return decode(io.BytesIO(content), Decoding(max_pixels=limit, least_side=least_side))


@pytest.mark.parametrize(("image_size", "crop_pct", "least"), [(224, 0.875, 512), (64, 1.0, 128), (65, 0.9, 144)])
def test_a_fast_decoder_keeps_twice_the_side_that_images_are_resized_to(
    image_size: int, crop_pct: float, least: int
) -> None:
    plain = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
    expected = Preprocessing(image_size=image_size, crop_pct=crop_pct, **plain)
    made = [Decoding.of(decoder, expected, max_pixels=9, bits=12) for decoder in Decoder]
    assert made == [Decoding(max_pixels=9, bits=12), Decoding(max_pixels=9, bits=12, least_side=least)]
    assert [asked.decoder for asked in made] == [*Decoder]


@pytest.mark.parametrize(
    ("least", "scale"), [(None, 1), (151, 1), (76, 1), (75, 2), (38, 2), (37, 4), (19, 4), (18, 8)]
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(least: int | None, scale: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = photo(0, (200, 150))
    found = in_part(encoded(whole, "JPEG", quality=95, exif=exif), least)
    assert found.image.size == (-(-150 // scale), 200 // scale), "upright"
    assert (found.short_side, found.content("0" * 64)) == (150, "0" * 64), "of the file"
    assert least is None or min(found.image.size) >= min(least, 150)
    expected = whole.transpose(Image.Transpose.ROTATE_270).resize(found.image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(found.image).astype(int) - np.asarray(expected)).mean() < 6, "colour is coded coarsely"


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_decoded_as_a_whole(form: str) -> None:
    content = encoded(photo(0, (200, 150)), form)
    assert in_part(content, 10).image.tobytes() == in_part(content, None).image.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}], ids=str)
@pytest.mark.parametrize("least", [75, 37, 18])
def test_a_jpeg_that_was_cut_is_refused_at_every_scale(mode: str, options: dict[str, Any], least: int) -> None:
    content = encoded(photo(0, (200, 150)).convert(mode), "JPEG", **options)
    assert in_part(content, least).image.width < 200
    start = content.index(b"\xff\xda")
    for share in (0.2, 0.5, 0.8, 0.95):
        cut = content[: int(start + share * (len(content) - start))]
        for damaged in (cut, cut + b"\xff\xd9", cut + bytes(4000)):
            with pytest.raises(DataError) as whole:
                in_part(damaged, None)
            with pytest.raises(DataError, match=re.escape(str(whole.value))):
                in_part(damaged, least)


def test_a_jpeg_of_too_many_pixels_is_refused_however_few_are_decoded() -> None:
    with pytest.raises(DataError, match=r"200 x 150 pixels exceed data\.max_pixels=29999"):
        in_part(encoded(photo(0, (200, 150)), "JPEG"), 18, limit=29_999)


# --- formats that not every installation decodes

pillow_heif = pytest.importorskip("pillow_heif")


def quarters(width: int = 48, height: int = 32) -> np.ndarray:
    """Return an image whose quarters are red, green, blue and black."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[: height // 2, width // 2 :, 1] = 255
    pixels[height // 2 :, : width // 2, 2] = 255
    return pixels


def optional(form: str, **options: Any) -> bytes:
    if form == "HEIF":
        pillow_heif.register_heif_opener()
    return encoded(Image.fromarray(quarters()), form, quality=100, **options)


TURNS = {1: lambda pixels: pixels, 3: lambda pixels: pixels[::-1, ::-1], 6: lambda pixels: np.rot90(pixels, -1)}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_photographs_of_phones_are_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    result, upright = decoded(optional(form, exif=exif.tobytes())), TURNS[orientation](quarters())
    assert result.shape == upright.shape
    rows, columns = (np.array([0.25, 0.75]) * np.array(upright.shape[:2])[:, None]).astype(int)
    middles = np.ix_(rows, columns)
    assert np.abs(result[middles].astype(int) - upright[middles]).max() < 40


def test_another_decoder_gives_its_files_alone_other_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "0" * 64
    names = [
        decode(io.BytesIO(optional(form)), Decoding(max_pixels=LIMIT)).content(digest)
        for form in ("HEIF", "AVIF", "PNG")
    ]
    assert names[0] != digest == names[1] == names[2]
    assert len(bytes.fromhex(names[0])) == 32
    monkeypatch.setattr("tlexp.data.decode._optional", lambda: {"HEIF": "pillow-heif 99", "AVIF": ""})
    assert decode(io.BytesIO(optional("HEIF")), Decoding(max_pixels=LIMIT)).content(digest) not in names


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("HEIF", "HEIC, which needs pillow-heif: pip install 'tlexp[heif]'"),
        ("AVIF", "AVIF, which needs Pillow 11.3 or later, built with AVIF"),
    ],
)
def test_what_cannot_be_decoded_here_says_what_it_needs(form: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = optional(form)
    monkeypatch.setattr("tlexp.data.decode._optional", dict)
    assert refused(content) == told


def test_a_large_photograph_is_refused_by_its_header() -> None:
    assert "48 x 32 pixels exceed data.max_pixels=1500" in refused(optional("HEIF"), 1500)


def test_damaged_photographs_are_refused() -> None:
    for form in ("HEIF", "AVIF"):
        content = optional(form)
        for cut in (20, len(content) // 2, len(content) - 20):
            with pytest.raises(DataError):
                decode(io.BytesIO(content[:cut]), Decoding(max_pixels=LIMIT))


def test_a_name_is_doubted_where_its_format_cannot_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a/1.HEIC", "a/2.heif", "b/3.jpg", "b/heic", "b/4.avif"]
    assert not any(map(doubtful, names))
    monkeypatch.setattr("tlexp.data.decode._optional", lambda: {"AVIF": ""})
    assert [name for name in names if doubtful(name)] == names[:2]
