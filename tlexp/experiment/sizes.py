"""What is worth knowing of the size at which a network sees the images, before it does."""

from collections.abc import Iterator

from tlexp.config import Config, Preprocessing
from tlexp.config.backbone import PIXELS
from tlexp.data import Source
from tlexp.models import preprocessing
from tlexp.models.export import read_card
from tlexp.models.statefile import EXPORT
from tlexp.paths import packaged_weights

_PRECISE = 10
"""Ratios below it are told with a decimal."""


def size_notes(config: Config, expected: Preprocessing, images: Source) -> Iterator[str]:
    """Yield what is worth knowing of the size at which a pretrained network sees the images."""
    backbone = config.backbone
    packaged = backbone.packaged
    if backbone.name == PIXELS or backbone.random_start or (backbone.weights is not None and packaged is None):
        return
    trained = preprocessing(backbone.name, image_size=None)
    if packaged is not None:
        trained = read_card(packaged_weights()[packaged] / EXPORT[0]).card.preprocessing
    native, used = trained.image_size, expected.image_size
    if used < native:
        longer, name = (native / used) ** 2, packaged or backbone.name
        yield (
            f"{name} was trained at {native} px and sees {used} here: larger is usually more accurate; "
            f"backbone.image_size={native} takes about {longer:.{int(longer < _PRECISE)}f} times as long"
        )
    if images.short_sides is not None and 2 * images.short_sides[1] < used:
        yield f"half of the images are at most {images.short_sides[1]} px at their short side, enlarged to {used}"
