"""The temperature that turns scores into probabilities (Platt 1999; Guo et al. 2017, arXiv 1706.04599).

It is found on leave-one-out scores of the training rows, so that it costs no validation image.
"""

import torch
from torch import Tensor

_SHARPEST = 1e4
"""Largest inverse temperature, for scores of unit spread."""
_BISECTIONS = 50


def inverse_temperature(scores: Tensor, labels: Tensor, share: Tensor) -> Tensor:
    """Return (P, M): the factor on scores (P, n, M, K) that minimises the log loss of labels (P, n).

    Labels are smoothed by 1 / (n + 1), which keeps it finite where every score is right; where scores are no better
    than chance it is near 0.

    Args:
        scores: Of each row, made without that row.
        labels: int64.
        share: Weight of each row, (P, n); those that count have 1 / n and sum to 1.
    """
    weight = share[:, :, None]
    count = (share > 0).sum(1)[:, None]
    scores = scores - scores.mean(-1, keepdim=True)
    spread = (scores.square().mean(-1) * weight).sum(1).sqrt()
    spread = torch.where(spread > 0, spread, 1)
    own = scores.gather(-1, labels[..., None, None].expand(*scores.shape[:3], 1))[..., 0]
    wanted = (own * weight).sum(1) * count / (count + 1)  # the mean over all classes, of weight 1 / (n + 1), is 0
    low, high = (torch.full_like(spread, bound).log() for bound in (1 / _SHARPEST, _SHARPEST))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        chances = (scores * (middle.exp() / spread)[:, None, :, None]).softmax(-1)
        too_sharp = ((chances * scores).sum(-1) * weight).sum(1) > wanted
        low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
    return ((low + high) / 2).exp() / spread
