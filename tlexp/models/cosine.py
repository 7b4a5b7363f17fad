"""The cosine classifier (Gidaris and Komodakis 2018, arXiv 1804.09458; Chen et al. 2019, arXiv 1904.04232).

features (B, D) -> logits (B, K) = scale * cos(features, weight of the class).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEARNED_FROM = 10.0
"""Where a learned scale starts (Gidaris and Komodakis)."""


class Cosine(nn.Module):
    """One direction per class, and one scale, learned through its logarithm unless it is stated.

    The length of a class's weight counts for nothing, so it cannot start at zero. What stands for it is the same random
    direction for all classes: no class is nearer than another, and the first loss is ln K all the same.

    Args:
        in_features: D.
        num_classes: K.
        scale: Fixed factor on the cosines; None learns it.
        alike: Whether all classes start at one direction, else each at its own.
    """

    def __init__(self, in_features: int, num_classes: int, *, scale: float | None, alike: bool) -> None:
        super().__init__()
        directions = F.normalize(torch.randn(num_classes, in_features))
        self.weight = nn.Parameter(directions[:1].repeat(num_classes, 1) if alike else directions)
        self.stated = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(LEARNED_FROM))) if scale is None else None

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K)."""
        cosines = F.linear(F.normalize(features), F.normalize(self.weight))
        return cosines * self.scale()

    def scale(self) -> Tensor | float:
        """Return the factor on the cosines."""
        if self.log_scale is not None:
            return self.log_scale.exp()
        assert self.stated is not None
        return self.stated
