"""Attention pooling: one learned query asks all tokens or places what to hand on (Lee et al. 2019, arXiv 1810.00825).

As attentive probes do it (Bardes et al. 2024, arXiv 2404.08471), by timm's own layer.
features (B, T * C), token by token -> (B, C).
"""

import math

from timm.layers import AttentionPoolLatent
from torch import Tensor, nn

_HEADS = 8


class AttentionPool(nn.Module):
    """Tokens normalised, pooled by eight heads of attention, or as many as divide the channels, and an mlp.

    Args:
        tokens: T, tokens or places of the map.
        channels: C of each.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.norm = nn.LayerNorm(channels)
        self.pool = AttentionPoolLatent(channels, num_heads=math.gcd(channels, _HEADS), norm_layer=nn.LayerNorm)

    def forward(self, features: Tensor) -> Tensor:
        """Return what was pooled, (B, C)."""
        pooled: Tensor = self.pool(self.norm(features.reshape(-1, self.tokens, features.shape[1] // self.tokens)))
        return pooled
