"""Classes that a frozen probe takes for each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels
from tlexp.doctor.suspects import Judgement
from tlexp.train.metrics import count_confusions

_FEWEST = 2
"""Images that are confused: a single one says nothing of its class."""


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """Two classes that are taken for each other.

    Attributes:
        classes: Their indices, the one that is mistaken more often first.
        mistaken: Images of each that are taken for the other.
        images: Images of each.
    """

    classes: tuple[int, int]
    mistaken: tuple[int, int]
    images: tuple[int, int]

    @property
    def share(self) -> float:
        """The share of the images of both that are taken for the other class."""
        return sum(self.mistaken) / sum(self.images)


def find_confusions(judgement: Judgement, labels: Labels, *, most: int) -> list[ConfusedPair]:
    """Return the pairs of classes that are confused most, by share of their images.

    Args:
        judgement: Of all images.
        labels: As they are given, (N,) int64.
        most: So many pairs.
    """
    table = count_confusions(judgement.probabilities[judgement.judged], labels[judgement.judged])
    both = np.triu(table + table.T, 1)
    found = [_pair(table, int(one), int(other)) for one, other in zip(*np.nonzero(both >= _FEWEST), strict=True)]
    return sorted(found, key=lambda pair: (-pair.share, pair.classes))[:most]


def _pair(table: NDArray[np.int64], one: int, other: int) -> ConfusedPair:
    if table[other, one] / table[other].sum() > table[one, other] / table[one].sum():
        one, other = other, one
    return ConfusedPair(
        classes=(one, other),
        mistaken=(int(table[one, other]), int(table[other, one])),
        images=(int(table[one].sum()), int(table[other].sum())),
    )
