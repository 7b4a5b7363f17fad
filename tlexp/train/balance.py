"""Weights of classes in a loss: how much an image counts there, by how rare its class is among those trained on.

labels (B,) int64 or targets (B, K) float32; logits (B, K) float32; class weights (K,) float32.
"""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from tlexp.arrays import Labels
from tlexp.config.train import ClassWeights

PerClass = tuple[float, ...]
"""One weight per class; none at all where every image counts the same."""


def weigh_classes(kind: ClassWeights, labels: Labels, num_classes: int) -> PerClass:
    """Return the weights of classes: n / (K n_k), as scikit-learn's `balanced`, over the K classes that are there.

    They are 1 on average over the images. A class without images has a weight of 1, which nothing bears.

    >>> weigh_classes(ClassWeights.balanced, np.array([0, 0, 0, 1]), 3)
    (0.6666666666666666, 2.0, 1.0)
    >>> weigh_classes(ClassWeights.none, np.array([0, 0, 0, 1]), 3)
    ()

    Args:
        kind: Whether there are any.
        labels: Of the images that are trained on, (n,).
        num_classes: How many there may be.
    """
    if kind is ClassWeights.none:
        return ()
    counts = np.bincount(labels, minlength=num_classes)
    present = int((counts > 0).sum())
    return tuple(len(labels) / (present * int(count)) if count else 1.0 for count in counts)


def weigh_targets(weights: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much each image counts, (B,), and what it is to be taken for.

    The weight is that of its class. A mixed image counts sum_k w_k t_k, and its target t is w_k t_k, divided by that:
    its loss is sum_k w_k t_k (-log p_k), as torch's. With one weight for the whole of it, the common class in a mixed
    image would count as much as the rare one, and the classes would not be balanced.

    >>> import torch
    >>> weigh_targets(torch.tensor([1.0, 3.0]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    (tensor([2., 3.]), tensor([[0.2500, 0.7500],
            [0.0000, 1.0000]]))
    """
    if not targets.is_floating_point():
        return weights[targets], targets
    shares = targets * weights
    counts = shares.sum(1)
    return counts, shares / counts[:, None]


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor | None, *, label_smoothing: float) -> Tensor:
    """Return the mean cross entropy of a batch, () float32: the sum of weighted losses over the number of images.

    Torch's own mean divides by the sum of the weights in the batch, so that a batch of one class would weigh as much
    as any other. Over the whole training set both are the same, and this one's batches are right on average.

    Args:
        logits: Of the images.
        targets: Classes, or mixed ones; they are weighed first and smoothed then, which changes no image's weight:
            torch weighs what smoothing spread over the classes, so that rare ones would be favoured.
        weights: Of the classes, all positive; None where all images count the same.
        label_smoothing: [0, 1).
    """
    if weights is None:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    counts, targets = weigh_targets(weights, targets)
    each = F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
    return (each * counts).mean()
