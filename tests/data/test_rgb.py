import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.faults.pictures import DISPLAY_P3, SRGB, encoded, photo, png_rgb16, rgb_profile, tiff_grey, wide
from tlexp.data.decode import Decoded, Decoding, decode
from tlexp.data.rgb import to_rgb
from tlexp.errors import DataError

P3 = rgb_profile(DISPLAY_P3, "Display P3")


def decoded(content: bytes, bits: int | None = None) -> Decoded:
    return decode(io.BytesIO(content), Decoding(max_pixels=10**6, bits=bits))


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[..., 0]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_values_of_fewer_bits_are_told_and_read_when_stated(bits: int, form: str) -> None:
    image = wide(photo(0), bits)
    content = encoded(image, form)
    found = decoded(content)
    assert found.conversions == (
        f"have 16 bits but use {bits} at most, so that they are nearly black; data.bits={bits} takes them so, "
        "data.bits=16 as they are",
    )
    assert np.array_equal(grey(found.image), np.asarray(image) >> 8)
    stated = decoded(content, bits)
    assert np.array_equal(grey(stated.image), np.asarray(image) >> bits - 8)
    assert stated.conversions == (() if bits == 8 else (f"have {bits} bits, of which the upper 8 are kept",))
    assert decoded(content, 16).conversions == ("have 16 bits, of which the upper 8 are kept",)


def test_stated_bits_are_part_of_the_digests_that_they_change() -> None:
    narrow, digest = encoded(wide(photo(0), 12), "PNG"), "0" * 64
    names = [decoded(narrow, bits).content(digest) for bits in (None, 12, 14, 16)]
    assert names[0] == names[3] == digest
    assert len(set(names)) == 3
    assert decoded(encoded(photo(0), "PNG"), 12).content(digest) == digest


def test_a_value_above_the_stated_bits_is_refused() -> None:
    with pytest.raises(DataError, match=r"a value of 65535 needs more than 12 bits: data.bits=12 does not hold here"):
        decoded(encoded(wide(photo(0), 16), "PNG"), 12)


def test_bright_and_black_images_are_told_nothing_new() -> None:
    for values in (np.zeros((4, 5), np.uint16), np.full((4, 5), 16384, np.uint16)):
        found = decoded(encoded(Image.fromarray(values), "PNG"))
        assert found.conversions == ("have 16 bits, of which the upper 8 are kept",)


def test_a_tiff_says_its_bits_itself() -> None:
    values = np.asarray(wide(photo(0, (32, 20)), 12))
    found = decoded(tiff_grey(values, bits=12))
    assert np.array_equal(grey(found.image), values >> 4)
    assert found.conversions == ("have 12 bits, of which the upper 8 are kept",)
    assert found.content("0" * 64) != "0" * 64, "it was decoded in another way before"


def test_colours_of_two_bytes_lose_the_lower_one_and_dark_ones_are_told() -> None:
    values = np.asarray(photo(1)).astype(np.uint16)
    bright, dark = png_rgb16(values * 257), png_rgb16(values * 257 >> 4)
    assert np.array_equal(np.asarray(decoded(bright).image), values)
    assert decoded(bright).conversions == ()
    (told,) = decoded(dark).conversions
    assert told == "have 16 bits a colour but use 12 at most, so that they are nearly black: convert them to 8 bits"
    assert decoded(dark, 16).conversions == ()
    with pytest.raises(DataError, match=r"whatever data.bits=12 says: convert them to 8 bits"):
        decoded(dark, 12)


@pytest.mark.parametrize(
    ("form", "options"),
    [("JPEG", {"quality": 100, "subsampling": 0}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})],
)
def test_profiles_are_applied_in_every_format(form: str, options: dict[str, Any]) -> None:
    image = photo(2)
    plain, tagged = encoded(image, form, **options), encoded(image, form, icc_profile=P3, **options)
    found, before = decoded(tagged), decoded(plain)
    assert found.conversions == ("are converted from Display P3 to sRGB",)
    assert np.abs(np.asarray(found.image).astype(int) - np.asarray(before.image)).max() > 5
    assert found.content("0" * 64) != before.content("0" * 64) == "0" * 64
    same = decoded(encoded(image, form, icc_profile=rgb_profile(SRGB, "sRGB"), **options))
    assert np.array_equal(np.asarray(same.image), np.asarray(before.image))
    assert (same.conversions, same.decoder) == ((), "")


@pytest.mark.parametrize(("profile", "copies"), [(None, 1), (rgb_profile(SRGB, "sRGB"), 1), (P3, 0)])
def test_colours_are_copied_only_where_nothing_else_makes_new_ones(
    profile: bytes | None, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, plain, copied = photo(2), Image.Image.copy, []

    def copy(one: Image.Image) -> Image.Image:
        copied.append(one.size)  # profiles are looked at by images of their own
        return plain(one)

    image.info["icc_profile"] = profile
    before = np.array(image)
    monkeypatch.setattr(Image.Image, "copy", copy)
    found = to_rgb(image, bits=None, two_bytes=False).image
    assert copied.count(image.size) == copies
    found.paste(0, (0, 0, *found.size))
    assert np.array_equal(np.asarray(image), before)


def test_photographs_of_phones_are_converted_too() -> None:
    for form in ("HEIF", "AVIF"):
        found = decoded(encoded(photo(2), form, icc_profile=P3))
        assert found.conversions == ("are converted from Display P3 to sRGB",), form


def test_palettes_transparency_and_16_bits_have_profiles_too() -> None:
    layered = photo(3).convert("RGBA")
    layered.putalpha(128)
    for image, more in (
        (layered, ("have transparent parts, which are put on white",)),
        (photo(3).convert("P"), ()),
        (photo(3).convert("RGBA"), ()),
    ):
        found = decoded(encoded(image, "PNG", icc_profile=P3))
        assert found.conversions == (*more, "are converted from Display P3 to sRGB")
        assert not np.array_equal(np.asarray(found.image), np.asarray(decoded(encoded(image, "PNG")).image))
    linear = rgb_profile(SRGB, "linear", 1.0)
    found = decoded(encoded(wide(photo(3)), "PNG", icc_profile=linear))
    assert found.conversions == ("have 16 bits, of which the upper 8 are kept", "are converted from linear to sRGB")


def test_a_name_of_a_profile_cannot_move_the_cursor() -> None:
    found = decoded(encoded(photo(0), "PNG", icc_profile=rgb_profile(DISPLAY_P3, "P3\x1b[31m\n")))
    assert found.conversions == ("are converted from P3\\x1b[31m to sRGB",)
