"""How many images of the known classes would be taken for none of them, were those left out that are not typical.

typicalities (N,) float64 in (0, 1].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.train.metrics import Limits, wilson_interval

LEVELS = (0.01, 0.05, 0.1)
"""Typicalities that are looked at: up to so much of an image, it is marked."""


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """What comes of marking images as outliers that are none.

    Attributes:
        level: Typicality up to which images are marked, the share of false alarms that is to be expected.
        possible: Whether held-out images are enough for a typicality as small as that.
        marked: Images.
        rate: Their share of all.
        rate_interval: Wilson's, at 95 %.
    """

    level: float
    possible: bool
    marked: int
    rate: float
    rate_interval: Limits


def measure_false_alarms(typicalities: NDArray[np.float64] | None, *, least: float) -> list[FalseAlarms]:
    """Return what comes of each level on images of the known classes; of none where nothing tells.

    >>> [found] = measure_false_alarms(np.array([0.05, 0.5, 0.9, 1.0]), least=0.02)[1:2]
    >>> found.level, found.marked, found.rate
    (0.05, 1, 0.25)

    Args:
        typicalities: At least one; None where nothing tells.
        least: The smallest that can be given.
    """
    if typicalities is None:
        return []
    count, found = len(typicalities), []
    for level in LEVELS:
        marked = int((typicalities <= level).sum())
        found.append(
            FalseAlarms(
                level=level,
                possible=least <= level,
                marked=marked,
                rate=marked / count,
                rate_interval=wilson_interval(marked, count),
            )
        )
    return found
