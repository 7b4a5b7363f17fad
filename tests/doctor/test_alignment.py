"""A part of a picture is found in it at its place and size, mirrored or not; what is in no other picture is not."""

import tracemalloc

import numpy as np
import pytest
from PIL import ImageOps

from tests.doctor.pictures import picture
from tlexp.doctor import alignment
from tlexp.doctor.alignment import Floats, correlations
from tlexp.doctor.fingerprint import Fingerprints, fingerprint

IMAGES = np.stack([fingerprint(picture(seed)) for seed in range(20)])
CROPS = {
    "corner": (0, 0, 96, 72),
    "middle": (20, 10, 116, 90),
    "of another shape": (26, 0, 122, 96),
    "hardly any": (3, 2, 124, 95),
}


def aligned(first: Fingerprints, second: Fingerprints, *, at_least: float) -> Floats:
    """Return the correlation of each of the first with its own of the second."""
    places = np.arange(len(first))
    pairs = np.stack([places, len(first) + places], axis=1)
    return correlations(np.concatenate([first, second]), pairs, at_least=at_least)


@pytest.mark.parametrize("box", CROPS.values(), ids=CROPS.keys())
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_crop_is_a_part(box: tuple[int, int, int, int], mirrored: bool) -> None:
    crops = [picture(seed).crop(box) for seed in range(20)]
    parts = np.stack([fingerprint(ImageOps.mirror(crop) if mirrored else crop) for crop in crops])
    assert aligned(IMAGES, parts, at_least=0.95).min() > 0.95
    assert np.array_equal(aligned(IMAGES, parts, at_least=0.5), aligned(parts, IMAGES, at_least=0.5))


def test_other_pictures_are_no_parts() -> None:
    assert aligned(IMAGES, np.roll(IMAGES, 1, 0), at_least=-1).max() < 0.85


def test_what_is_far_off_is_not_looked_at_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, real = [], alignment._either_way
    monkeypatch.setattr(alignment, "_either_way", lambda one, other: seen.append(one.shape) or real(one, other))
    aligned(IMAGES, np.roll(IMAGES, 1, 0), at_least=0.99)
    assert seen == [(20, 16, 16)]


def test_pictures_of_one_colour_are_unlike_each_other() -> None:
    flat = np.stack([np.full((32, 32), grey, np.uint8) for grey in (0, 100, 255)])
    noise = np.random.default_rng(0).integers(0, 2, flat.shape, dtype=np.uint8)
    assert aligned(flat, np.roll(flat, 1, 0), at_least=0.5).max() < 0.1
    assert aligned(flat // 2 + noise, flat // 2 + noise, at_least=0.5).max() < 0.5


def test_there_may_be_no_pairs() -> None:
    assert aligned(IMAGES[:0], IMAGES[:0], at_least=0.9).shape == (0,)


def test_memory_does_not_grow_with_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for costly in ("_blurred", "_halved"):
        monkeypatch.setattr(alignment, costly, lambda pictures: pictures)
    monkeypatch.setattr(alignment, "_either_way", lambda one, _: np.zeros(len(one), np.float32))
    tracemalloc.start()
    correlations(IMAGES, np.zeros((20_000, 2), np.int64), at_least=0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000, "pictures of 20,000 pairs take 40 MB"
