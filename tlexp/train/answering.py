"""What answering only where a network is sure enough comes to: how much is answered, and how much of that is right.

probabilities (N, K) float64, rows sum to 1; labels (N,) int64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.models.abstention import Abstention
from tlexp.train.metrics import Limits, wilson_interval

PROMISES = (0.8, 0.9, 0.95, 0.99)
"""Accuracies of answers that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What comes of a promise.

    Attributes:
        promised: Accuracy of answers, which holds at 95 %.
        threshold: Least confidence of an answer; None where the predictions behind it do not allow the promise.
        answered: Images that are answered.
        coverage: Their share of all.
        accuracy: Share of them that is right; None where nothing is answered.
        accuracy_interval: Wilson's, at 95 %.
    """

    promised: float
    threshold: float | None
    answered: int = 0
    coverage: float = 0.0
    accuracy: float | None = None
    accuracy_interval: Limits | None = None


def measure_answering(
    abstention: Abstention | None, probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> list[Answering]:
    """Return what comes of each promise on images; of none where there is nothing to find thresholds by."""
    if abstention is None:
        return []
    thresholds = {promised: abstention.threshold(promised) for promised in PROMISES}
    return [_measure(promised, least, probabilities, labels) for promised, least in thresholds.items()]


def _measure(
    promised: float, least: float | None, probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> Answering:
    if least is None:
        return Answering(promised=promised, threshold=None)
    sure = probabilities.max(axis=1) >= least
    answered, right = int(sure.sum()), int((probabilities.argmax(axis=1) == labels)[sure].sum())
    return Answering(
        promised=promised,
        threshold=least,
        answered=answered,
        coverage=answered / len(labels),
        accuracy=right / answered if answered else None,
        accuracy_interval=wilson_interval(right, answered) if answered else None,
    )
