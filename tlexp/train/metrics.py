"""How good predictions are, with intervals. Shares of classes come from the confusion matrix; nothing is read twice.

probabilities (N, K) float64, rows sum to 1; labels (N,) int64 in 0..K-1.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import ndtri, softmax
from torch import Tensor

from tlexp.config.train import ClassWeights
from tlexp.train.balance import weigh_classes, weighted_loss

CALIBRATION_BINS = 15
_Z = float(ndtri(0.975))
"""Of the standard normal, for two-sided intervals of 95 %."""
Limits = tuple[float, float]
"""Low and high end of an interval."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Measures of one split. All intervals are Wilson's, at 95 %.

    Attributes:
        count: Images N.
        metrics: loss, accuracy, balanced_accuracy, macro_f1, nll, ece.
        accuracy_interval: Of the accuracy.
        support: Images of each class.
        recall: Share of each class's images that was found; None for a class without images.
        recall_intervals: Of each class's recall; None for a class without images.
        confusion: (K, K) int64, rows are labels, columns predictions.
    """

    count: int
    metrics: dict[str, float]
    accuracy_interval: Limits
    support: tuple[int, ...]
    recall: tuple[float | None, ...]
    recall_intervals: tuple[Limits | None, ...]
    confusion: NDArray[np.int64]


def to_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the softmax of logits (N, K) in float64.

    >>> to_probabilities(np.zeros((1, 4), dtype=np.float32))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    probabilities: NDArray[np.float64] = softmax(logits.astype(np.float64), axis=1)
    return probabilities


def measure(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    label_smoothing: float,
    class_weights: ClassWeights = ClassWeights.none,
) -> dict[str, float]:
    """Return loss, accuracy, balanced_accuracy, macro_f1, nll and ece (15 bins).

    loss is the training loss, with its label smoothing and its class weights, by the frequencies of these labels; nll
    is the same without. Balanced accuracy is the mean recall
    of the classes among the labels; macro F1 also counts classes that were only predicted, as 0.
    """
    confusion = count_confusions(probabilities, labels)
    hits, support, named = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    given, target = torch.from_numpy(probabilities), torch.from_numpy(labels)
    # A probability of 0 would make the logarithm infinite; scikit-learn's log_loss has the same lower bound.
    logs = given.clamp(min=torch.finfo(given.dtype).eps).log()
    each = weigh_classes(class_weights, labels, probabilities.shape[1])
    weights = torch.tensor(each, dtype=logs.dtype) if each else None
    present, known = support > 0, support + named > 0
    return {
        "loss": float(weighted_loss(logs, target, weights, label_smoothing=label_smoothing)),
        "accuracy": float(hits.sum() / len(labels)),
        "balanced_accuracy": float((hits[present] / support[present]).mean()),
        "macro_f1": float((2 * hits[known] / (support + named)[known]).mean()),
        "nll": float(F.cross_entropy(logs, target)),
        "ece": _calibration_error(given, target),
    }


def _calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return how far confidence and accuracy differ, on average over bins of equal width (Guo et al. 2017, eq. 3).

    In float32, with the operations of torchmetrics 1.9 in their order: records of earlier versions have its bits. It
    would import scipy.signal and transformers for this.
    """
    confidence, predicted = probabilities.max(dim=1)
    confidence, right = confidence.float(), predicted.eq(labels).float()
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1)
    places = torch.bucketize(confidence, edges, right=True) - 1
    count, sure, accurate = (
        torch.zeros(len(edges)).scatter_add_(0, places, each)
        for each in (torch.ones_like(confidence), confidence, right)
    )
    accurate, sure = torch.nan_to_num(accurate / count), torch.nan_to_num(sure / count)
    return float(torch.sum(torch.abs(accurate - sure) * (count / count.sum())))


def evaluate(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    label_smoothing: float,
    class_weights: ClassWeights = ClassWeights.none,
) -> Evaluation:
    """Return all measures of one split, with intervals; classes without images have none of their own."""
    confusion = count_confusions(probabilities, labels)
    hits, support = confusion.diagonal(), confusion.sum(axis=1)
    return Evaluation(
        count=len(labels),
        metrics=measure(probabilities, labels, label_smoothing=label_smoothing, class_weights=class_weights),
        accuracy_interval=wilson_interval(int(hits.sum()), len(labels)),
        support=tuple(int(images) for images in support),
        recall=tuple(float(hit / images) if images else None for hit, images in zip(hits, support, strict=True)),
        recall_intervals=tuple(
            wilson_interval(int(hit), int(images)) if images else None
            for hit, images in zip(hits, support, strict=True)
        ),
        confusion=confusion,
    )


def count_confusions(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each class was taken for each, (K, K) int64: rows are labels, columns predictions.

    >>> count_confusions(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]))
    array([[1, 0],
           [1, 1]])
    """
    classes = probabilities.shape[1]
    places = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def wilson_interval(hits: int, images: int) -> Limits:
    """Return the 95 % interval of a share (Wilson 1927; Newcombe 1998, method 3).

    >>> low, high = wilson_interval(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.2775)
    """
    share = hits / images
    size = 2 * (images + _Z**2)
    centre = (2 * images * share + _Z**2) / size
    half = _Z / size * math.sqrt(4 * images * share * (1 - share) + _Z**2)
    return centre - half if hits else 0.0, centre + half if hits < images else 1.0
