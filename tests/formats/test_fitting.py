"""A snippet resizes and crops to the bit as the run did."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.formats.conftest import IMAGES
from tlexp.config import Preprocessing
from tlexp.data import fit_image
from tlexp.formats.fitting import fitting_snippet

PLAIN = Preprocessing(
    image_size=24, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic", crop_pct=0.875, crop_mode="center"
)


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"crop_pct": 1.0, "interpolation": "bilinear"},
        {"crop_pct": 0.7, "interpolation": "lanczos", "image_size": 37},
        {"crop_mode": "squash"},
        {"crop_mode": "border"},
    ],
    ids=str,
)
def test_fitted_images_are_those_of_the_run(stated: dict[str, Any]) -> None:
    expected = dataclasses.replace(PLAIN, **stated)
    names: dict[str, Any] = {"np": np, "Image": Image}
    exec(fitting_snippet(expected), names)
    for image in [*IMAGES, *(np.ascontiguousarray(image[:3]) for image in IMAGES[:2])]:
        picture = Image.fromarray(image)
        assert np.array_equal(names["fitted"](picture), fit_image(picture, expected))
