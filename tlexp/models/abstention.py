"""When a network had better not answer: thresholds of its confidence that keep a promised accuracy.

The promise is tested on out-of-fold predictions, which none of the networks behind them had seen. Thresholds are
ordered by how many images they answer, which looks at confidences alone; each is tested at 5 % (Clopper and Pearson
1934), and the first that fails ends the sequence, so that all that passed hold together at 95 % (fixed-sequence
testing, Maurer et al. 1995; for thresholds of predictions: Angelopoulos et al. 2021, arXiv 2110.01052, section 3).
Images of one group are right and wrong together, so they count as so many as their groups are worth (Kish 1965).
confidences (n,) float64 in [0, 1]; right (n,) bool; groups (n,) int64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tlexp.jsonfile import abridged

_RISK = 0.05
_GROWTH = 1.05
"""Of the number of images that a threshold answers, from one to the next."""
_MOST = 1 << 53
"""Images that a threshold answers are fewer: they are counted in float64."""


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """What out-of-fold predictions say of thresholds, the one that answers least first.

    Attributes:
        thresholds: Least confidence of an answer, falling.
        answered: Images that have it; where they hang together in groups, how many single ones they are worth, which
            may fall: another image of a group that is large already adds to its weight alone.
        right: Those of them that were right; of groups the same share, rounded down.
    """

    thresholds: tuple[float, ...]
    answered: tuple[int, ...]
    right: tuple[int, ...]

    @classmethod
    def of(
        cls, confidences: NDArray[np.float64], right: NDArray[np.bool_], groups: NDArray[np.int64] | None = None
    ) -> Self:
        """Return what predictions say.

        Args:
            confidences: At least one.
            right: Whether they were.
            groups: Number of the group of each image; None where each stands for itself.
        """
        falling = np.sort(confidences)[::-1]
        places, place = [], 1
        while place < len(falling):
            places.append(place)
            place = max(place + 1, int(place * _GROWTH))
        thresholds = sorted({float(falling[place - 1]) for place in [*places, len(falling)]}, reverse=True)
        sure = (confidences >= least for least in thresholds)
        told = [_worth(right[chosen], None if groups is None else groups[chosen]) for chosen in sure]
        return cls(
            thresholds=tuple(thresholds),
            answered=tuple(answered for answered, _ in told),
            right=tuple(right for _, right in told),
        )

    def problems(self) -> list[str]:
        """Return every broken rule."""
        counts = list(zip(self.answered, self.right, strict=False))
        rules = {
            "thresholds": (
                all(0 <= least <= 1 for least in self.thresholds) and _rises([-least for least in self.thresholds]),
                "must be falling confidences in [0, 1]",
            ),
            "answered": (
                len(self.answered) == len(self.thresholds) > 0 and all(0 < count < _MOST for count in self.answered),
                "must be a positive count for each threshold",
            ),
            "right": (
                len(self.right) == len(self.answered) and all(0 <= right <= answered for answered, right in counts),
                "must be for each threshold at most those that it answers",
            ),
        }
        return [
            f"abstention.{key}={abridged(getattr(self, key))}: {rule}"
            for key, (kept, rule) in rules.items()
            if not kept
        ]

    def threshold(self, accuracy: float) -> float | None:
        """Return the least confidence of which answers are right in this share, at 95 %; None where none is known.

        >>> sure = Abstention(thresholds=(0.9, 0.8, 0.5), answered=(20, 40, 90), right=(20, 40, 80))
        >>> sure.threshold(0.9), sure.threshold(0.8), sure.threshold(0.95)
        (0.8, 0.5, None)

        Args:
            accuracy: Wanted of answers, in (0, 1).
        """
        from scipy.special import betaincinv  # lazy: no image waits for it

        found = None
        for least, answered, right in zip(self.thresholds, self.answered, self.right, strict=True):
            if answered < needed(accuracy):
                continue  # so few could not show it if all were right
            if right == 0 or betaincinv(right, answered - right + 1, _RISK) < accuracy:
                break
            found = least
        return found

    def most(self) -> float | None:
        """Return the highest accuracy, in whole hundredths, that can be promised; None where none can.

        >>> Abstention(thresholds=(0.9, 0.8, 0.5), answered=(20, 40, 90), right=(20, 40, 80)).most()
        0.92
        """
        shares = (share / 100 for share in range(99, 0, -1))
        return next((share for share in shares if self.threshold(share) is not None), None)


def _rises(values: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _worth(right: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> tuple[int, int]:
    """Return how many single images those of groups are worth, and how many of them were right; at least one image.

    >>> _worth(np.array([True] * 6 + [False] * 2), np.array([0, 0, 1, 1, 2, 2, 3, 3]))
    (4, 3)
    """
    count, wrong = len(right), int((~right).sum())
    if groups is None:
        return count, count - wrong
    sizes = np.unique(groups, return_counts=True)[1]
    answered = int(count**2 // (sizes**2).sum())
    return answered, answered + (-answered * wrong) // count


def needed(accuracy: float) -> int:
    """Return how many answers, all of them right, it takes to show an accuracy.

    >>> [needed(accuracy) for accuracy in (0.8, 0.9, 0.95, 0.99)]
    [14, 29, 59, 299]
    """
    return math.ceil(math.log(_RISK) / math.log(accuracy))
