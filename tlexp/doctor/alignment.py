"""Whether one picture shows a part of what another shows: the best correlation over all places and sizes of the part.

Template matching by normalised cross-correlation (Lewis 1995, "Fast normalized cross-correlation"), between small grey
pictures, so that the shift of a crop is found although a perceptual hash has none of it left. P pairs; pictures
(P, G, G) float32, of G = 32.
"""

from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tlexp.arrays import Pairs
from tlexp.doctor.fingerprint import Fingerprints

Floats = NDArray[np.float32]

_STEPS = 16
_SMALLEST = 11
"""A part has 11 to 16 sixteenths of the other picture's width, and of its height: down to half of its area."""
_FLAT = 3.0
"""Standard deviation in grey values of 0..255 below which a picture is taken for one colour."""
_BLUR = 1.0
"""In pixels of the small pictures: the place of a part is known to half of one, and what was small is less sharp."""
_COARSE = 0.1
"""So much less than is asked for, half as fine, is not looked at any closer."""
_BLOCK = 256
"""Pairs at once."""


def correlations(fingerprints: Fingerprints, pairs: Pairs, *, at_least: float) -> Floats:
    """Return how well one picture of each pair lies in the other, mirrored or not, (P,) float32 in [-1, 1].

    Args:
        fingerprints: Of the images, (N, 32, 32) uint8.
        pairs: Places of two images each, (P, 2).
        at_least: What is clearly below this, seen half as fine, is not looked at any closer.
    """
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _BLOCK):
        block = slice(start, start + _BLOCK)
        one, other = (_blurred(fingerprints[places]) for places in pairs[block].T)
        coarse = _either_way(_halved(one), _halved(other))
        close = np.flatnonzero(coarse > at_least - _COARSE)
        if len(close):
            coarse[close] = _either_way(one[close], other[close])
        found[block] = coarse
    return found


def _either_way(first: Floats, second: Floats) -> Floats:
    return np.maximum(_inside(first, second), _inside(second, first))


def _inside(whole: Floats, part: Floats) -> Floats:
    """Return the best correlation of the part, of any size and mirrored or not, with a window of the whole, (P,)."""
    side = whole.shape[1]
    sides = [side * share // _STEPS for share in range(_SMALLEST, _STEPS + 1)]
    shrinking = {size: _shrinking(side, size) for size in sides}
    whole = whole - whole.mean((1, 2), keepdims=True)
    best = np.full(len(whole), -1, np.float32)
    for height, width in product(sides, sides):
        templates = _templates((shrinking[height] @ part @ shrinking[width].T).astype(np.float32, copy=False))
        windows = sliding_window_view(whole, (height, width), (1, 2)).reshape(len(whole), -1, height * width)
        inner = (windows @ templates).max(2)
        deviations = _deviations(whole, height, width).reshape(inner.shape)
        best = np.maximum(best, (inner / np.maximum(deviations, _least(height * width))).max(1))
    return best


def _templates(part: Floats) -> Floats:
    """Return pictures (P, h, w) without their mean and of unit length, as they are and mirrored, (P, h w, 2)."""
    centred = part - part.mean((1, 2), keepdims=True)
    norms = np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    centred /= np.maximum(norms, _least(part.shape[1] * part.shape[2]))
    return np.stack([centred, centred[:, :, ::-1]], axis=3).reshape(len(part), -1, 2)


def _least(pixels: int) -> float:
    """Return the length that a picture of one colour is taken to have: it is unlike everything then."""
    return float(_FLAT * np.sqrt(pixels))


def _deviations(whole: Floats, height: int, width: int) -> Floats:
    """Return the root of the summed squared deviations of each window from its mean, (P, G - height + 1, ...)."""
    sums, squares = (_window_sums(values, height, width) for values in (whole, whole**2))
    deviations: Floats = np.sqrt(np.maximum(squares - sums**2 / (height * width), 0))
    return deviations


def _window_sums(values: Floats, height: int, width: int) -> Floats:
    summed = np.pad(values, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    rows = summed[:, height:] - summed[:, :-height]
    sums: Floats = rows[:, :, width:] - rows[:, :, :-width]
    return sums


def _shrinking(side: int, size: int) -> Floats:
    """Return the matrix (size, side) that shrinks a picture's columns: means over equal parts of them."""
    edges = np.arange(size + 1) * side / size
    overlap = np.minimum(edges[1:, None], np.arange(1, side + 1)) - np.maximum(edges[:-1, None], np.arange(side))
    matrix: Floats = (np.clip(overlap, 0, None) * size / side).astype(np.float32)
    return matrix


def _blurred(pictures: Fingerprints) -> Floats:
    blurred: Floats = gaussian_filter(pictures.astype(np.float32), (0, _BLUR, _BLUR))
    return blurred


def _halved(pictures: Floats) -> Floats:
    count, side, _ = pictures.shape
    halved: Floats = pictures.reshape(count, side // 2, 2, side // 2, 2).mean((2, 4))
    return halved
