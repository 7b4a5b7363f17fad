"""Calibrated log loss: a candidate that is sure of too much loses nothing by that, for one number mends it.

Out-of-fold logits are divided by the temperature that suits them best (Guo et al. 2017, arXiv 1706.04599), with Platt's
targets (Platt 1999): after n images a label is certain to (n + 1) / (n + 2), and the other classes share the rest. With
plain targets every candidate that is right everywhere would lose nothing, and nothing would rank them.
The temperature that a model keeps is drawn towards 1, for eight images would allow any: by a Gamma prior of 1 / T whose
mode is 1, which keeps the loss convex and fades as images come to speak.
logits (n, K) of any floating type, or log-probabilities; labels (n,) int64; weights (n,) float64, 1 on average.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels, Logits
from tlexp.config.train import ClassWeights
from tlexp.train import weigh_classes

LOWEST, HIGHEST = 0.25, 16.0
"""What a temperature may be: a few images would allow any."""
_PRECISION = 1e-8
"""Of the logarithm of a temperature."""
_PRIOR = 1.0
"""Strength of the belief in logits as they were trained: of its peak as wide as a factor of e."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """How good out-of-fold logits are once they are divided by their temperature.

    Attributes:
        temperature: Of least loss.
        losses: Of each image, times its weight, (n,).
    """

    temperature: float
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """Their mean, by which candidates are compared."""
        return float(self.losses.mean())


def calibrate_logits(logits: Logits, labels: Labels, class_weights: ClassWeights = ClassWeights.none) -> Calibrated:
    """Return the temperature of logits, and their losses at it.

    Where the loss that candidates are trained on weighs classes by their frequency, so does this one, by that of these
    labels.
    """
    weights = _weights(class_weights, labels, logits.shape[1])
    temperature = fit_temperature(logits, labels, weights)
    losses = smoothed_losses(logits.astype(np.float64) / temperature, labels)
    return Calibrated(temperature=temperature, losses=weights * losses)


def kept_temperature(logits: Logits, labels: Labels, class_weights: ClassWeights = ClassWeights.none) -> float:
    """Return the temperature that a model keeps: that of least loss, drawn towards 1 where few images tell.

    Candidates are compared without the prior, for by it their scale would count.

    >>> logits, labels = np.array([[3.0, 0.0], [0.0, 3.0]], np.float32), np.array([0, 0])
    >>> [round(kept_temperature(np.tile(logits, (n, 1)), np.tile(labels, n)), 1) for n in (1, 4, 100)]
    [2.6, 4.7, 16.0]
    """
    return fit_temperature(logits, labels, _weights(class_weights, labels, logits.shape[1]), prior=_PRIOR)


def fit_temperature(logits: Logits, labels: Labels, weights: NDArray[np.float64], *, prior: float = 0.0) -> float:
    """Return the temperature of least smoothed loss, in [0.25, 16]; 1 where logits say nothing.

    The loss is convex in 1 / T, and so is the prior, 1 / T - 1 - log(1 / T) times its strength, so that the slope of
    their sum is 0 at one place, or nowhere between the ends.

    >>> labels = np.array([0, 0, 0, 1])
    >>> one, other = (fit_temperature(np.tile([[gap, 0.0]], (4, 1)), labels, np.ones(4)) for gap in (1.0, 3.0))
    >>> round(one, 4), round(other, 4)  # of images with 3 of 4 right, 2 / 3 is what may be claimed
    (1.4427, 4.3281)
    """
    from scipy.optimize import brentq  # lazy: no image waits for it

    scores = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    wanted = _wanted(scores, labels)

    def slope(log_temperature: float) -> float:
        shares = np.exp(scores * np.exp(-log_temperature))
        means = np.einsum("nk,nk->n", shares, scores) / shares.sum(axis=1)
        return float(weights @ (means - wanted) + prior * (1 - np.exp(log_temperature)))

    ends = float(np.log(LOWEST)), float(np.log(HIGHEST))
    coldest, hottest = (slope(end) for end in ends)
    if coldest == hottest == 0:
        return 1.0
    if coldest <= 0:
        return LOWEST
    if hottest >= 0:
        return HIGHEST
    return float(np.exp(brentq(slope, *ends, xtol=_PRECISION)))


def _weights(class_weights: ClassWeights, labels: Labels, classes: int) -> NDArray[np.float64]:
    """Return the weight of each image, (n,)."""
    per_class = weigh_classes(class_weights, labels, classes)
    return np.array(per_class)[labels] if per_class else np.ones(len(labels))


def smoothed_losses(logits: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """Return the cross entropy of each image to Platt's targets, (n,), without weights."""
    from scipy.special import log_softmax  # lazy: no image waits for it

    logs: NDArray[np.float64] = log_softmax(logits, axis=1)
    return -_wanted(logs, labels)


def log_loss(logits: Logits, labels: Labels) -> float:
    """Return the mean negative log likelihood of logits as they are."""
    from scipy.special import log_softmax  # lazy: no image waits for it

    logs = log_softmax(logits.astype(np.float64), axis=1)
    return float(-logs[np.arange(len(labels)), labels].mean())


def _wanted(scores: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """Return the mean of each image's scores over the classes by their targets, (n,)."""
    count, classes = scores.shape
    certain = (count + 1) / (count + 2)
    rest = (1 - certain) / max(1, classes - 1)
    wanted: NDArray[np.float64] = (certain - rest) * scores[np.arange(count), labels] + rest * scores.sum(axis=1)
    return wanted
