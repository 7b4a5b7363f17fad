"""What is kept of an image to find its copies by: 32 x 32 grey values, and the signs of their low frequencies.

The signs are a perceptual hash after Zauner (2010), "Implementation and benchmarking of perceptual image hash
functions", section 3.2.1: the 8 x 8 lowest frequencies of the cosine transform of 32 x 32 grey values. Signs in place
of his comparison with the median let the hash of a mirrored image follow from the image's own, and leave out what is
not there at all: an image of one colour has none.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlexp.arrays import blocks

Fingerprints = NDArray[np.uint8]
"""Grey values of each image, shrunk without regard to its shape, (N, 32, 32) uint8."""
Signs = NDArray[np.float32]
"""-1, 0 or 1 for each of 8 x 8 coefficients, row by row, (N, 64) float32."""

GRID: Final = 32
_SAMPLED = 16 * GRID
_LOWEST = 8
_FLAT = 2.0
"""Coefficients up to this, in grey values of 0..255, are rounding and compression."""

_FREQUENCY, _PLACE = np.ogrid[:_LOWEST, :GRID]
_BASIS: Final = np.sqrt(2 / GRID) * np.cos(np.pi * _FREQUENCY * (2 * _PLACE + 1) / (2 * GRID))
_BASIS[0] /= np.sqrt(2)
"""The orthonormal cosine transform of 32 values, its lowest frequencies, (8, 32)."""

ODD: Final[NDArray[np.bool_]] = np.tile(np.arange(_LOWEST) % 2 == 1, _LOWEST)
"""Which coefficients change their sign where an image is mirrored left-right, (64,)."""


def fingerprint(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the grey values of an image, (32, 32) uint8.

    Args:
        image: In any mode, or (H, W, 3) or (H, W) uint8.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    # Every pixel of a large photograph would cost as much as decoding it; 16 x 16 of each cell are enough for a mean.
    width, height = (min(side, _SAMPLED) for side in picture.size)
    sampled = picture.resize((width, height), Image.Resampling.NEAREST).convert("L")
    return np.asarray(sampled.resize((GRID, GRID), Image.Resampling.BOX))


def signs(fingerprints: Fingerprints) -> Signs:
    """Return the perceptual hashes of images, (N, 64) float32.

    >>> ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))  # darker on the left
    >>> hashes = signs(np.stack([ramp, ramp[:, ::-1], 0 * ramp]))
    >>> hashes[:, :8].astype(int).tolist()
    [[0, -1, 0, -1, 0, -1, 0, -1], [0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0]]
    """
    return np.concatenate([_signs(block) for block in blocks(fingerprints)])


def _signs(fingerprints: Fingerprints) -> Signs:
    coefficients = _BASIS @ fingerprints.astype(np.float64) @ _BASIS.T
    coefficients[:, 0, 0] = 0  # brightness
    there = np.abs(coefficients) > _FLAT
    return np.where(there, np.sign(coefficients), 0).reshape(-1, _LOWEST**2).astype(np.float32)


def distances(first: Signs, second: Signs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return in how many of 64 signs each of (n, 64) differs from each of (m, 64), as it is and mirrored, (n, m) each.

    A sign that one of the two lacks counts half: images of one colour are 32 away from everything.
    """
    even, odd = (first[:, chosen] @ second[:, chosen].T for chosen in (~ODD, ODD))
    half = np.float32(0.5)
    return half * (len(ODD) - even - odd), half * (len(ODD) - even + odd)
