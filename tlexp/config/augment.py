"""`conf/augment`: how training images are varied."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.setting import setting


class AugmentKind(StrEnum):
    """How far training images are varied.

    flip = left-right; light = flip, small shift, zoom, brightness, contrast; crop = random resized crop, flip,
    brightness, contrast; randaug = flip + RandAugment; trivial = flip + TrivialAugment; keras = flip, a zoom for each
    axis, the slightest shear.
    """

    none = "none"
    flip = "flip"
    light = "light"
    crop = "crop"
    randaug = "randaug"
    trivial = "trivial"
    keras = "keras"


@dataclass
class AugmentConfig:
    """Augmentation of the training images; held-out images are never varied."""

    kind: AugmentKind = setting(AugmentKind.none, "none, flip, light, crop, randaug, trivial or keras.")
    mixup: float = setting(0.0, "Alpha of mixup's Beta distribution (arXiv 1710.09412), 0 = off.")
    cutmix: float = setting(
        0.0, "Alpha of CutMix's Beta distribution (arXiv 1905.04899), 0 = off; even odds with mixup."
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        return [
            f"augment.{name}={value}: must be 0 (off) or larger"
            for name, value in (("mixup", self.mixup), ("cutmix", self.cutmix))
            if not value >= 0
        ]
