"""What a file says of its colours: its ICC profile, applied so that all images are sRGB.

Phones and cameras write Display P3 and Adobe RGB, scanners their own grey, printers CMYK; without their profile such
images are duller, darker or of another hue than they were meant. What a profile of sRGB itself would move by rounding
stays as it is, to the bit.
"""

import functools
import io
import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, features

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""Mode of an image -> the colour space of profiles that can describe it."""
_ROUNDING = 3
"""A profile that moves no colour by more, of 255, is one of sRGB."""
_STEPS = range(0, 256, 17)
_PROFILES = 16
"""So many are kept: images of one folder come from few devices."""
_NAMED = 60
_BROKEN = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
_IGNORED = "have a colour profile that cannot be used, which is ignored"


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Pixels in sRGB.

    Attributes:
        image: RGB where something was converted, else the image as it was.
        told: What was done, in words; nothing where the file says nothing, or that it is sRGB.
        by: Name and version of what converted.
    """

    image: Image.Image
    told: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Profile:
    """The way from a profile to sRGB: the mode that it begins with, and the profile's name; None for no way to go."""

    mode: str
    transform: ImageCms.ImageCmsTransform | None
    name: str


def to_srgb(image: Image.Image, profile: bytes | None) -> Converted:
    """Return an image in sRGB.

    Args:
        image: Of mode RGB, L or CMYK.
        profile: As it stands in the file; None where there is none.
    """
    if not profile:
        return Converted(image=image)
    try:
        found = _read(profile, image.mode)
        if found.transform is None:
            return Converted(image=image)
        plain = image if image.mode == found.mode else image.convert(found.mode)  # which copies in any case
        converted = _apply(plain, found.transform)
    except _BROKEN:
        return Converted(image=image, told=(_IGNORED,))
    version = f"littlecms {features.version('littlecms2')}"
    return Converted(image=converted, told=(f"are converted from {found.name} to sRGB",), by=(version,))


@functools.lru_cache(maxsize=_PROFILES)
def _read(profile: bytes, mode: str) -> _Profile:
    """Return how images of a mode and with a profile become sRGB.

    Raises:
        ValueError, OSError, TypeError, PyCMSError: The profile is broken, or one of other images.
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = opened.profile.xcolor_space.strip()
    if mode == "L" and space == "RGB":
        mode = "RGB"  # equal values of three colours are grey
    if space != _SPACES[mode]:
        raise ValueError(f"a profile of {space} for an image of {mode}")
    transform = ImageCms.buildTransform(
        opened,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    same = mode != "CMYK" and _moves(transform, mode) <= _ROUNDING
    name = ImageCms.getProfileDescription(opened).strip()[:_NAMED]
    return _Profile(mode, None if same else transform, name or "a profile without a name")


def _moves(transform: ImageCms.ImageCmsTransform, mode: str) -> int:
    """Return by how much the colour is moved that is moved most, of 255."""
    colours = np.array(list(itertools.product(_STEPS, repeat=len(mode))), np.uint8)
    probe = Image.fromarray(colours.reshape(1, -1, 3) if mode == "RGB" else colours.reshape(1, -1))
    moved = np.asarray(_apply(probe, transform)).astype(int) - np.asarray(probe.convert("RGB"))
    return int(np.abs(moved).max())


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only a conversion in place returns nothing
    return converted
