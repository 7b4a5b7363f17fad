"""What a backbone expects of its images."""

from dataclasses import dataclass


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
