"""Nearest neighbours by cosine, with plain votes or DINO's weights (Caron et al. 2021, arXiv 2104.14294)."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEIGHBOURS = (1, 5, 10, 20, 50)
"""Candidates for k; more than there are training rows means all of them."""
TEMPERATURE = 0.07
_ROWS = 1 << 16
_QUERIES = 1 << 10


class Neighbours(nn.Module):
    """A head that remembers its training rows, in buffers: features (n, D), labels (n,) and how many vote.

    Logits are the logarithms of the classes' shares of the votes and of one vote more, spread over all classes, so that
    no class has the chance 0. The nearest neighbour's vote weighs 1, one at cosine distance d further
    exp(-d / temperature), or 1 with plain votes.

    Args:
        features: Training rows (n, D), not all of one length.
        labels: Theirs, (n,) int64.
        num_classes: K.
        k: Neighbours that vote; of fewer rows all do.
        temperature: Of the weights; None for plain votes.
    """

    features: Tensor
    labels: Tensor
    count: Tensor

    def __init__(
        self, features: Tensor, labels: Tensor, *, num_classes: int, k: int, temperature: float | None = TEMPERATURE
    ) -> None:
        super().__init__()
        self.num_classes, self.temperature = num_classes, temperature
        self.register_buffer("count", torch.tensor(k))
        self.register_buffer("features", F.normalize(features.float()))
        self.register_buffer("labels", labels)

    @property
    def k(self) -> int:
        """Neighbours that vote."""
        return int(self.count)

    def with_k(self, k: int) -> "Neighbours":
        """Return a head over the same rows, not copied, with another k."""
        other = copy.copy(self)
        other._buffers = self._buffers | {"count": torch.tensor(k)}
        return other

    def fixed(self) -> nn.Module:
        """Return the same head with a k that stands in its code: what traces a network takes a buffer for unknown."""
        return _Fixed(self)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any) -> None:
        """Take rows in any number: a new head has none."""
        for name in ("features", "labels"):
            rows = state_dict.get(prefix + name)
            if rows is not None and rows.shape[1:] == getattr(self, name).shape[1:]:
                setattr(self, name, getattr(self, name).new_empty(rows.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K) float32 of features (B, D)."""
        return self.for_each([self.k], features)[0]

    @torch.no_grad()
    def for_each(self, counts: Sequence[int], features: Tensor) -> Tensor:
        """Return logits (C, B, K) of features (B, D) for several k at once, which share one search."""
        most = min(max(counts), len(self.labels))
        parts = []
        for queries in torch.split(F.normalize(features.float()), _QUERIES):
            near, places = self._nearest(queries, most)
            chosen, weights = self.labels[places], self._weights(near)
            votes = [self._votes(chosen[:, :count], weights[:, :count]) for count in counts]
            parts.append(torch.stack([self._logits(each) for each in votes]))
        return torch.cat(parts, 1)

    def _nearest(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return cosines and places (B, count) of the nearest rows, nearest first."""
        near = queries.new_empty(queries.shape[0], 0)  # len() would be a constant to what traces a network
        places = self.labels.new_empty(queries.shape[0], 0)
        for start in range(0, len(self.labels), _ROWS):
            cosines = queries @ self.features[start : start + _ROWS].T
            here, at = cosines.topk(min(count, cosines.shape[1]))
            near, places = torch.cat([near, here], 1), torch.cat([places, at + start], 1)
            near, order = near.topk(min(count, near.shape[1]))
            places = places.gather(1, order)
        return near, places

    def _weights(self, near: Tensor) -> Tensor:
        """Return what the vote of each neighbour weighs, (B, k), of cosines (B, k)."""
        if self.temperature is None:
            return torch.ones_like(near)
        return ((near - near[:, :1]) / self.temperature).exp()

    def _votes(self, labels: Tensor, weights: Tensor) -> Tensor:
        """Return the votes that classes get, (B, K)."""
        return weights.new_zeros(labels.shape[0], self.num_classes).scatter_add_(1, labels, weights)

    def _logits(self, votes: Tensor) -> Tensor:
        return ((votes + 1 / self.num_classes) / (votes.sum(1, keepdim=True) + 1)).log()


class _Fixed(nn.Module):
    """Neighbours of one k, whose queries are not chunked: a batch of any size is one graph."""

    def __init__(self, neighbours: Neighbours) -> None:
        super().__init__()
        self.neighbours, self.most = neighbours, min(neighbours.k, len(neighbours.labels))

    def forward(self, features: Tensor) -> Tensor:
        own = self.neighbours
        near, places = own._nearest(F.normalize(features.float()), self.most)
        return own._logits(own._votes(own.labels[places], own._weights(near)))
