"""Snippets that resize and crop a Pillow image as the network was trained, for those who have no tlexp."""

import json

from timm.data.constants import DEFAULT_CROP_MODE

from tlexp.config import Preprocessing

_WITH_TIMM = """\
from timm.data import create_transform

_timm = create_transform({side}, is_training=False, interpolation={interpolation}, crop_pct={crop_pct}, \
crop_mode={crop_mode}, mean={mean}, normalize=False)


def fitted(image):
    \"\"\"Return an RGB image resized and cropped, ({side}, {side}, 3) uint8.\"\"\"
    return np.moveaxis(_timm(image).numpy(), 0, 2)
"""
_WITH_PILLOW = """\
def fitted(image):
    \"\"\"Return an RGB image resized and cropped, ({side}, {side}, 3) uint8.\"\"\"
    width, height = image.size
    short = min(width, height)
    size = (int({resized} * width / short), int({resized} * height / short))
    image = image.resize(size, Image.Resampling.{resampling})
    left, top = (round((length - {side}) / 2) for length in size)
    return np.asarray(image.crop((left, top, left + {side}, top + {side})))
"""


def fitting_snippet(preprocessing: Preprocessing) -> str:
    """Return the definition of `fitted`, which needs numpy as np and PIL.Image; rare ways to crop need timm too."""
    plain = preprocessing.crop_mode == DEFAULT_CROP_MODE
    return (_WITH_PILLOW if plain else _WITH_TIMM).format(
        side=preprocessing.image_size,
        resized=resized_side(preprocessing),
        resampling=preprocessing.interpolation.upper(),
        crop_pct=preprocessing.crop_pct,
        **{name: json.dumps(getattr(preprocessing, name)) for name in ("interpolation", "crop_mode", "mean")},
    )


def resized_side(preprocessing: Preprocessing) -> int:
    """Return what the short side is resized to before the crop, in pixels.

    >>> resized_side(Preprocessing(image_size=224, mean=(0,) * 3, std=(1,) * 3, interpolation="box", crop_pct=0.875))
    256
    """
    return int(preprocessing.image_size / preprocessing.crop_pct)
