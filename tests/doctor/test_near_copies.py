"""Copies that were changed are found, and nothing else: not where all is alike, nor where a copy is there often."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.doctor.pictures import directions, picture
from tlexp.doctor import near_copies
from tlexp.doctor.fingerprint import Fingerprints, fingerprint
from tlexp.doctor.near_copies import find_near_copies


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


CHANGES = {
    "half": lambda image: image.resize((64, 48)),
    "jpeg": jpeg,
    "mirrored": ImageOps.mirror,
    "both": lambda image: jpeg(ImageOps.mirror(image)),
    "crop": lambda image: image.crop((10, 5, 112, 82)),
    "all": lambda image: jpeg(ImageOps.mirror(image.crop((10, 5, 112, 82)))),
}


def shown(images: list[Image.Image]) -> Fingerprints:
    return np.stack([fingerprint(image) for image in images])


@pytest.mark.parametrize("change", CHANGES)
def test_planted_copies_are_found_and_nothing_else(change: str) -> None:
    images = [picture(seed) for seed in range(60)]
    copies = [CHANGES[change](picture(seed)) for seed in range(5)]
    of = np.array([*range(60), *range(5)])
    found = find_near_copies(shown([*images, *copies]), directions(of))
    assert found.pairs.tolist() == [[place, 60 + place] for place in range(5)]
    assert found.correlation.min() > 0.9


def test_features_do_not_have_to_know_a_picture_that_its_hash_tells() -> None:
    images = [*(picture(seed) for seed in range(40)), jpeg(picture(7))]
    assert find_near_copies(shown(images), directions(np.arange(41))).pairs.tolist() == [[7, 40]]


def test_features_alone_make_no_copies() -> None:
    images = [picture(seed) for seed in range(40)]
    assert not len(find_near_copies(shown(images), directions(np.arange(40) // 2, cosine=0.99)).pairs)


def test_where_all_pictures_have_the_same_form_more_is_asked_for() -> None:
    """Discs on black, as of eyes: any two are far more alike than photographs are."""
    rows, columns = np.ogrid[-1:1:96j, -1:1:96j]
    disc = (rows**2 + columns**2 < 0.8)[:, :, None]
    inside = np.stack([np.asarray(picture(seed, (96, 96))) for seed in range(40)])
    eyes = [Image.fromarray(pixels) for pixels in np.where(disc, 80 + inside // 10 * 6, 0).astype(np.uint8)]
    found = find_near_copies(shown([*eyes, jpeg(eyes[3])]), directions(np.arange(41) * 0, cosine=0.85))
    assert found.pairs.tolist() == [[3, 40]]


def test_pictures_of_one_colour_are_no_copies_of_each_other() -> None:
    flat = [Image.new("RGB", (40, 30), (grey, grey, grey)) for grey in range(0, 250, 10)]
    found = find_near_copies(shown([*(picture(seed) for seed in range(30)), *flat]), directions(np.arange(55)))
    assert not len(found.pairs)


def test_many_copies_of_one_image_are_connected_by_few_pairs() -> None:
    count = 40
    images = shown([picture(0)] * count + [picture(seed) for seed in range(1, 30)])
    found = find_near_copies(images, directions(np.array([0] * count + list(range(1, 30)))))
    assert len(found.pairs) <= 8 * count
    assert set(found.pairs[:, 0].tolist()) == set(range(count - 1))
    assert found.pairs.max() == count - 1


def test_memory_is_bounded_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images, of = shown([picture(seed % 30) for seed in range(40)]), np.arange(40) % 30
    whole = find_near_copies(images, directions(of))
    shapes, real = [], near_copies.distances
    monkeypatch.setattr(near_copies, "_VALUES", 200)
    monkeypatch.setattr(
        near_copies, "distances", lambda one, two: shapes.append((len(one), len(two))) or real(one, two)
    )
    told: list[tuple[int, int]] = []
    found = find_near_copies(images, directions(of), lambda done, count: told.append((done, count)))
    assert max(rows * columns for rows, columns in shapes) <= 200
    assert (told[0], told[-1], len(told)) == ((5, 40), (40, 40), 8)
    assert np.array_equal(found.pairs, whole.pairs)
    assert found.pairs.tolist() == [[place, 30 + place] for place in range(10)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images_are_enough(count: int) -> None:
    images = np.zeros((count, 32, 32), np.uint8) + fingerprint(picture(0))
    found = find_near_copies(images, np.ones((count, 4), np.float32) / 2)
    assert len(found.pairs) == (count == 2)
