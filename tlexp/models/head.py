"""The head: features (B, D) -> logits (B, K), in float32 whatever the backbone's precision."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tlexp.config.head import Activation, HeadInit, HeadKind, HeadNorm
from tlexp.models.attention import AttentionPool
from tlexp.models.cosine import Cosine
from tlexp.models.neighbours import Neighbours
from tlexp.models.seeds import drawn_from

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.gelu: nn.GELU,
    Activation.silu: nn.SiLU,
    Activation.tanh: nn.Tanh,
}
_NORMS: dict[HeadNorm, type[nn.BatchNorm1d] | type[nn.LayerNorm]] = {
    HeadNorm.batch: nn.BatchNorm1d,
    HeadNorm.layer: nn.LayerNorm,
}


class Head(nn.Sequential):
    """Layers that compute in float32 even inside autocast: a half precision softmax loses small differences."""

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K) float32 of features (B, D) of any floating type."""
        with torch.autocast(features.device.type, enabled=False):
            outputs = features.float()
            for layer in self:
                outputs = layer(outputs)
        return outputs


def build_head(
    *,
    kind: HeadKind,
    in_features: int,
    num_classes: int,
    tokens: int = 1,
    hidden: Sequence[int] = (),
    activation: Activation = Activation.relu,
    dropout: float = 0.0,
    norm: HeadNorm = HeadNorm.none,
    init: HeadInit = HeadInit.zero,
    scale: float | None = None,
    seed: int,
) -> Head:
    """Return a head that is to be trained, a linear one to be solved, or one over neighbours that has none yet.

    Hidden layers are torch's own, the last layer is zero (so that the first loss is ln K) or N(0, 0.01), its bias 0.
    A cosine starts at one random direction for all classes (the first loss is ln K too) or at one for each.
    The global random generators are left as they were.

    Args:
        kind: mlp and flatten_mlp have the layers of `hidden`, attention pools first, cosine has directions, knn
            remembers rows, all others are one linear layer.
        in_features: D, the width of the features.
        num_classes: K.
        tokens: Tokens or places that the features are made of, for attention.
        hidden: Widths of the hidden layers, each followed by norm, activation and dropout.
        activation: Non-linearity after each hidden layer.
        dropout: After each hidden layer, or before the only one, [0, 1).
        norm: Normalisation after each hidden layer.
        init: How the last layer starts.
        scale: Factor on a cosine's cosines; None learns it.
        seed: Draws the weights.
    """
    if kind is HeadKind.knn:
        none = torch.empty(0, in_features), torch.empty(0, dtype=torch.int64)
        return Head(Neighbours(*none, num_classes=num_classes, k=1))
    layers: list[nn.Module] = []
    with drawn_from(seed):
        if kind is HeadKind.attention:
            in_features //= tokens
            layers.append(AttentionPool(tokens, in_features))
        widths = [in_features, *(hidden if kind.hidden_layers else ())]
        if dropout and not kind.hidden_layers:
            layers.append(nn.Dropout(dropout))
        for before, width in pairwise(widths):
            layers += _hidden_layer(before, width, activation=activation, dropout=dropout, norm=norm)
        layers.append(_last_layer(kind, widths[-1], num_classes, zero=init is HeadInit.zero, scale=scale))
    return Head(*layers)


def _last_layer(kind: HeadKind, width: int, num_classes: int, *, zero: bool, scale: float | None) -> nn.Module:
    if kind is HeadKind.cosine:
        return Cosine(width, num_classes, scale=scale, alike=zero)
    last = nn.Linear(width, num_classes)
    nn.init.normal_(last.weight, std=0.01)
    if zero:
        nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return last


def _hidden_layer(
    before: int, width: int, *, activation: Activation, dropout: float, norm: HeadNorm
) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Linear(before, width)]
    if norm in _NORMS:
        layers.append(_NORMS[norm](width))
    layers.append(_ACTIVATIONS[activation]())
    if dropout:
        layers.append(nn.Dropout(dropout))
    return layers
