"""Decoded pixels of any kind to upright-neutral 8-bit RGB in the colours of sRGB.

16-bit grey keeps its upper 8 bits, or those that `data.bits` says; what a colour profile says is applied; transparency
is put on white; palette, CMYK and 1-bit become RGB. Floating-point and 32-bit integer values are refused, because
nothing says which value is white.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tlexp.data.colour import to_srgb
from tlexp.errors import DataError

WHOLE = 16
"""Bits that values of two bytes can use."""
_USUAL = (8, 10, 12, 14)
"""Bits of sensors; values that use no more, in two bytes, look nearly black."""


@dataclass(frozen=True, kw_only=True)
class Rgb:
    """An RGB image.

    Attributes:
        image: Its pixels.
        conversions: What was done to it, in words.
        by: What did something that its file's bytes and Pillow's version do not tell.
    """

    image: Image.Image
    conversions: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


def to_rgb(image: Image.Image, *, bits: int | None, two_bytes: bool) -> Rgb:
    """Return a decoded image as RGB.

    Args:
        image: As Pillow decoded it.
        bits: How many the values of two bytes use, 8..16; None where nobody said.
        two_bytes: Whether the file holds two bytes for each value of a colour, of which Pillow keeps the upper one.

    Raises:
        DataError: Its values have no agreed white, or are not of so many bits.
    """
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        kind = "floating-point" if image.mode == "F" else "32-bit integer"
        raise DataError(f"{kind} values have no agreed white: convert the image to 8 or 16 bits")
    profile, done, by = image.info.get("icc_profile"), [], []
    if image.mode.startswith("I"):
        narrow = _narrow(image, bits)
        image, done, by = narrow.image, [*narrow.conversions], [*narrow.by]
    elif two_bytes:
        done += _told_of_colours(image, bits)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode == "CMYK" and not profile:
        done.append("are CMYK, converted to RGB")
    converted = to_srgb(_plain(image), profile)
    colours = converted.image
    if colours is image or colours.mode != "RGB":
        colours = colours.convert("RGB")  # a copy of what is RGB: the decoder's own image goes away with its file
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours.putalpha(alpha)
        white = Image.new("RGBA", colours.size, "white")
        colours = Image.alpha_composite(white, colours).convert("RGB")
        done.append("have transparent parts, which are put on white")
    return Rgb(image=colours, conversions=(*done, *converted.told), by=(*by, *converted.by))


def _plain(image: Image.Image) -> Image.Image:
    """Return the colours alone in a mode that profiles describe: grey, CMYK and RGB as they are."""
    if image.mode in ("RGB", "L", "CMYK"):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA").convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _narrow(image: Image.Image, bits: int | None) -> Rgb:
    """Return grey of two bytes a value as one byte a value.

    Raises:
        DataError: Values need more bits than was said.
    """
    values = np.asarray(image).clip(0, (1 << WHOLE) - 1)
    peak = int(values.max())
    stated = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (WHOLE,))[0]
    used = bits or stated
    if peak >> used:
        raise DataError(f"a value of {peak} needs more than {used} bits: data.bits={used} does not hold here")
    told = [] if used == 8 else [f"have {used} bits, of which the upper 8 are kept"]
    if bits is None and used == WHOLE and (fewer := _fewer(peak)):
        told = [f"have 16 bits but use {fewer} at most, so that they are nearly black; {_ASK.format(fewer)}"]
    grey = Image.fromarray((values >> used - 8).astype(np.uint8))
    return Rgb(image=grey, conversions=tuple(told), by=() if used == WHOLE else (f"{used} bits",))


def _told_of_colours(image: Image.Image, bits: int | None) -> list[str]:
    """Return what is worth knowing of colours of two bytes a value, of which the decoder keeps the upper one.

    Raises:
        DataError: They are said to use fewer bits, which are gone.
    """
    if bits not in (None, WHOLE):
        raise DataError(f"of colours with 16 bits the upper 8 are read, whatever data.bits={bits} says: {_CONVERT}")
    peak = max(high for _, high in _extrema(image))
    if bits is None and (fewer := _fewer(peak << 8)):
        return [f"have 16 bits a colour but use {fewer} at most, so that they are nearly black: {_CONVERT}"]
    return []


_ASK = "data.bits={} takes them so, data.bits=16 as they are"
_CONVERT = "convert them to 8 bits"
_BITS_PER_SAMPLE = 258
"""TIFF's tag."""


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    return [channel.getextrema() for channel in image.convert("RGB").split()]  # type: ignore[misc]


def _fewer(peak: int) -> int | None:
    """Return the usual number of bits that a largest value needs; None for black and for what needs nearly all.

    >>> [_fewer(peak) for peak in (0, 255, 4095, 4096, 16384)]
    [None, 8, 12, 14, None]
    """
    return next((bits for bits in _USUAL if 0 < peak < 1 << bits), None)
