"""What a backbone expects of its images."""

import math
from dataclasses import dataclass

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "hamming", "box")
CROP_MODES = ("center", "squash", "border")
LARGEST_INPUT = 2048
"""Side in pixels of the images that a network takes at most."""
LARGEST_RESIZED = 16_384
"""Side in pixels that an image is resized to at most before it is cropped."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, centre crop and normalisation in front of one backbone, in timm's words.

    The short side is resized to floor(image_size / crop_pct), the centre cropped to image_size, values in [0, 1] are
    normalised with mean and std. A crop_mode of "squash" resizes both sides and "border" pads instead of cropping.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop_pct: float
    crop_mode: str = "center"

    @property
    def resized_side(self) -> int:
        """How long the side is that an image is resized by, before it is cropped, in pixels."""
        return math.floor(self.image_size / self.crop_pct)

    def problems(self) -> list[str]:
        """Return every broken rule; timm's own configurations keep all of them.

        >>> Preprocessing(image_size=8, mean=(0,) * 3, std=(1, 1, 0), interpolation="box", crop_pct=1).problems()
        ['preprocessing.std=(1, 1, 0): must be three values in [1e-06, 1]']
        """
        rules = {
            "image_size": (8 <= self.image_size <= LARGEST_INPUT, f"must be 8..{LARGEST_INPUT} pixels"),
            "mean": (all(0 <= value <= 1 for value in self.mean), "must be three values in [0, 1]"),
            "std": (all(1e-6 <= value <= 1 for value in self.std), "must be three values in [1e-06, 1]"),
            "interpolation": (self.interpolation in INTERPOLATIONS, f"must be one of {', '.join(INTERPOLATIONS)}"),
            "crop_pct": (
                0 < self.crop_pct <= 2 and not resizes_too_far(self.image_size, self.crop_pct),
                f"must be in (0, 2], and images must be resized to {LARGEST_RESIZED:,} pixels at most",
            ),
            "crop_mode": (self.crop_mode in CROP_MODES, f"must be one of {', '.join(CROP_MODES)}"),
        }
        return [f"preprocessing.{key}={getattr(self, key)}: {rule}" for key, (kept, rule) in rules.items() if not kept]


def resizes_too_far(image_size: int, crop_pct: float) -> bool:
    """Return whether images would be resized to more pixels than any may have before they are cropped.

    >>> resizes_too_far(224, 0.01), resizes_too_far(2048, 0.125)
    (True, False)
    """
    return image_size > LARGEST_RESIZED * crop_pct
