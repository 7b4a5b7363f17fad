import numpy as np
import pytest
from PIL import Image

from tests.faults.pictures import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    Primaries,
    cmyk_profile,
    grey_profile,
    photo,
    rgb_profile,
    srgb_light,
)
from tlexp.data import colour
from tlexp.data.colour import to_srgb


def expected(pixels: np.ndarray, primaries: Primaries, gamma: float | None) -> np.ndarray:
    """Return the same colours in sRGB, by its definition."""
    values = pixels / 255
    light = srgb_light(values) if gamma is None else values**gamma
    light = np.clip(light @ np.array(primaries) @ np.linalg.inv(np.array(SRGB)), 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("primaries", "name", "gamma"),
    [(DISPLAY_P3, "Display P3", None), (ADOBE_RGB, "Adobe RGB (1998)", 2.2), (SRGB, "linear", 1.0)],
)
def test_another_colour_space_is_converted_by_its_definition(
    primaries: Primaries, name: str, gamma: float | None
) -> None:
    image = photo(0)
    found = to_srgb(image, rgb_profile(primaries, name, gamma))
    assert found.told == (f"are converted from {name} to sRGB",)
    assert [part.split()[0] for part in found.by] == ["littlecms"]
    difference = np.abs(np.asarray(found.image) - expected(np.asarray(image), primaries, gamma))
    assert difference.max() < 2.5
    assert np.abs(np.asarray(found.image).astype(int) - np.asarray(image)).max() > 10


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", None),
        ("RGB", b""),
        ("RGB", rgb_profile(SRGB, "sRGB IEC61966-2.1")),
        ("L", rgb_profile(SRGB, "sRGB")),
        ("L", grey_profile("sGray")),
    ],
)
def test_srgb_stays_as_it_is_to_the_bit(mode: str, profile: bytes | None) -> None:
    image = photo(1).convert(mode)
    found = to_srgb(image, profile)
    assert (found.image, found.told, found.by) == (image, (), ())


def test_grey_stays_grey() -> None:
    image = photo(2).convert("L")
    found = to_srgb(image, grey_profile("Linear Gray", 1.0))
    assert found.told == ("are converted from Linear Gray to sRGB",)
    pixels = np.asarray(found.image.convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1
    assert pixels.mean() > np.asarray(image).mean() + 10
    wide = to_srgb(image, rgb_profile(DISPLAY_P3, "Display P3"))
    assert np.abs(np.asarray(wide.image)[..., 1].astype(int) - np.asarray(image)).max() <= 1


def test_the_inks_of_a_printer_are_converted() -> None:
    found = to_srgb(photo(3).convert("CMYK"), cmyk_profile("News print"))
    assert (found.image.mode, found.told) == ("RGB", ("are converted from News print to sRGB",))
    paper = to_srgb(Image.new("CMYK", (2, 2)), cmyk_profile("News print")).image
    assert paper.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile at all"),
        ("RGB", rgb_profile(DISPLAY_P3, "cut")[:200]),
        ("RGB", bytes(3000)),
        ("RGB", grey_profile("grey")),
        ("RGB", cmyk_profile("inks")),
        ("L", cmyk_profile("inks")),
        ("CMYK", rgb_profile(SRGB, "sRGB")),
    ],
)
def test_a_profile_that_cannot_be_used_is_ignored_and_told(mode: str, profile: bytes) -> None:
    image = photo(4).convert(mode)
    found = to_srgb(image, profile)
    assert found.image is image
    assert found.told == ("have a colour profile that cannot be used, which is ignored",)
    assert found.by == ()


def test_a_profile_is_read_once_for_all_images_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = colour.ImageCms.buildTransform
    monkeypatch.setattr(colour.ImageCms, "buildTransform", lambda *a, **k: reads.append(1) or real(*a, **k))
    colour._read.cache_clear()
    for seed in range(5):
        to_srgb(photo(seed), bytes(bytearray(rgb_profile(DISPLAY_P3, "Display P3"))))
    assert len(reads) == 1


def test_a_long_or_missing_name_is_no_matter() -> None:
    assert len(to_srgb(photo(0), rgb_profile(DISPLAY_P3, "x" * 500)).told[0]) < 100
    assert to_srgb(photo(0), rgb_profile(DISPLAY_P3, "")).told == (
        "are converted from a profile without a name to sRGB",
    )
