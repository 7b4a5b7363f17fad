"""What is worth knowing of the size at which a network sees the images, before it does."""

from collections.abc import Iterator

from tlexp.config import Config, Preprocessing
from tlexp.config.backbone import PIXELS
from tlexp.data import Source
from tlexp.models import preprocessing

_PRECISE = 10
"""Ratios below it are told with a decimal."""


def size_notes(config: Config, expected: Preprocessing, images: Source) -> Iterator[str]:
    """Yield what is worth knowing of the size at which a pretrained network sees the images."""
    backbone = config.backbone
    if backbone.name == PIXELS or not backbone.pretrained or backbone.weights is not None:
        return
    native, used = preprocessing(backbone.name, image_size=None).image_size, expected.image_size
    if used < native:
        longer = (native / used) ** 2
        yield (
            f"{backbone.name} was trained at {native} px and sees {used} here: larger is usually more accurate; "
            f"backbone.image_size={native} takes about {longer:.{int(longer < _PRECISE)}f} times as long"
        )
    if images.short_sides is not None and 2 * images.short_sides[1] < used:
        yield f"half of the images are at most {images.short_sides[1]} px at their short side, enlarged to {used}"
