"""A fingerprint is what small changes of an image leave as it is, and mirroring changes in a known way."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.doctor.pictures import picture
from tlexp.doctor.fingerprint import distances, fingerprint, signs


def differing(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    plain, mirrored = distances(*(signs(fingerprint(image)[None]) for image in (one, other)))
    return float(plain[0, 0]), float(mirrored[0, 0])


def test_size_and_shape_change_little() -> None:
    image = picture(0)
    assert differing(image, image.resize((50, 90)))[0] <= 4
    assert differing(image, picture(1))[0] > 13


def test_a_mirrored_image_has_the_hash_that_the_image_tells() -> None:
    image = picture(0)
    plain, mirrored = differing(image, ImageOps.mirror(image))
    assert mirrored <= 1 < 13 < plain


def test_an_image_of_one_colour_is_half_different_from_everything() -> None:
    grey, black = (Image.new("RGB", (40, 30), colour) for colour in ("grey", "black"))
    assert differing(grey, black) == differing(grey, picture(0)) == (32, 32)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK"])
def test_every_mode_has_one(mode: str) -> None:
    found = fingerprint(picture(0).convert(mode))
    assert (found.shape, found.dtype) == ((32, 32), np.uint8)


def test_an_array_is_an_image() -> None:
    image = picture(0)
    assert np.array_equal(fingerprint(np.asarray(image)), fingerprint(image))


def test_large_photographs_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    averaged, real = [], Image.Image.resize

    def counting(self, size, resample=None, *rest, **more):  # type: ignore[no-untyped-def]
        averaged.append(self.size if resample == Image.Resampling.BOX else (0, 0))
        return real(self, size, resample, *rest, **more)

    large = picture(0).resize((3000, 2000))
    monkeypatch.setattr(Image.Image, "resize", counting)
    found = fingerprint(large)
    assert max(averaged) == (512, 512)
    assert np.abs(found.astype(int) - fingerprint(picture(0))).max() <= 12


def test_memory_for_signs_is_bounded_by_blocks() -> None:
    fingerprints = np.zeros((20_000, 32, 32), np.uint8)
    tracemalloc.start()
    found = signs(fingerprints)
    peak = tracemalloc.get_traced_memory()[1] - found.nbytes
    tracemalloc.stop()
    assert peak < 64_000_000, "in float64 all of them take 164 MB"
