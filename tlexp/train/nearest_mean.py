"""Nearest class mean (Mensink et al. 2013): logits -||x - m_k||^2 / T up to what classes share, so linear."""

import torch
from torch import Tensor

from tlexp.train.problem import FeatureRows, Problem, bias_of_absent, blocks, gather, pick
from tlexp.train.row_space import exact
from tlexp.train.temperature import inverse_temperature

_JUDGED_ROWS = 20_000
_BLOCK_NUMBERS = 1 << 22


def solve_means(features: FeatureRows, labels: Tensor, problem: Problem, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return weight (K, D) and bias (K,) on raw features.

    T minimises the log loss of the training rows, each measured against means made without it. Rows alone in their
    class cannot be left out; where all are, T is their mean squared distance to the other means. A class without rows
    gets no weight, and a small bias.

    Raises:
        TrainingError: A feature is not finite.
    """
    size = max(1, _BLOCK_NUMBERS // features.shape[1])
    sums, counts, centre = _sums(features, labels, problem, num_classes, size)
    means = sums / counts.clamp_min(1)[:, None]
    stride = -(-len(problem.train) // _JUDGED_ROWS)
    distances, own = [], []
    for part in blocks(problem.train[::stride], size):
        rows = gather(features, part).to(means.dtype) - centre
        distances.append(torch.cdist(rows, means, compute_mode="donot_use_mm_for_euclid_dist").square())
        own.append(pick(labels, part))
    return _layer(torch.cat(distances), torch.cat(own), means, counts, centre)


def _sums(
    features: FeatureRows, labels: Tensor, problem: Problem, num_classes: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sums (K, D) and counts (K,) of classes, and the centre (D,) that was taken off the rows."""
    first = gather(features, problem.train[:size])
    centre = first.to(exact(first.device)).mean(0)
    sums, counts = centre.new_zeros(num_classes, len(centre)), centre.new_zeros(num_classes)
    for part in blocks(problem.train, size):
        rows = gather(features, part).to(centre.dtype) - centre
        chosen = pick(labels, part)
        sums.index_add_(0, chosen, rows)
        counts += torch.bincount(chosen, minlength=num_classes)
    return sums, counts, centre


def _layer(distances: Tensor, own: Tensor, means: Tensor, counts: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias for squared distances (n, K) of judged rows."""
    there = counts > 0
    distances = torch.where(there, distances, distances[:, there].max())
    mates = counts[own]
    left_out = (mates / (mates - 1).clamp_min(1)).square()[:, None]  # ||x - m||^2 grows so when x leaves its mean m
    is_own = torch.zeros_like(distances).scatter_(1, own[:, None], 1) > 0
    judged = (mates > 1).to(distances.dtype)
    if bool(judged.any()):
        scores = -torch.where(is_own, distances * left_out, distances)
        sharpness = inverse_temperature(scores[None, :, None], own[None], (judged / judged.sum())[None])[0, 0]
    else:
        others = distances[~is_own & there]
        spread = others.mean() if others.numel() else distances.new_ones(())
        sharpness = torch.where(spread > 0, 1 / spread, 1)
    weight = torch.where(
        there[:, None], 2 * sharpness * (means - means[there].mean(0)), 0
    )  # what all share is left out
    bias = bias_of_absent(-sharpness * means.square().sum(1), counts) - weight @ centre
    return weight, bias - bias.mean()
