"""How typical an image is of those that a network learned from: a network names a class for whatever it is shown.

The score is the distance to the nearest training features, of unit length (Sun et al. 2022, arXiv 2204.06507), as the
head sees them. What a distance means is told by images that the network had not learned from: the share of them that
lie at least as far away is a conformal p-value (Vovk et al. 2005; for outliers Bates et al. 2023, arXiv 2104.08279).
features (B, D) float32; rows (R, C) float32 of unit length; distances (B,) float32 in [0, 2].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tlexp.arrays import Labels, Positions

Distances = NDArray[np.float32]

_NEAREST = 3
"""Rows to which the mean distance is taken."""
_ROW_BYTES = 2 << 20
"""Of the rows that are kept, in half precision."""
_MOST_HELD_OUT = 4096
"""Distances that are kept: of more, so many lie evenly among them."""


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """Features of images that a network learned from, and how far others lie from them.

    Attributes:
        rows: As `of` makes them, (R, C): in half precision they are the same.
    """

    rows: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Return the reference of features as `pool_tokens` gives them, (R, C)."""
        return cls(F.normalize(features.float()).half().float())

    def distances(self, features: Tensor) -> Tensor:
        """Return the mean cosine distance to the nearest three rows, (B,), of features as a head takes them."""
        with torch.autocast(features.device.type, enabled=False):
            queries = F.normalize(pool_tokens(features, self.rows.shape[1]))
            near = (queries @ self.rows.T).topk(min(_NEAREST, len(self.rows)), dim=1).values
            return 1 - near.mean(1)

    def to(self, device: torch.device) -> Self:
        """Return the same one on a device."""
        return type(self)(self.rows.to(device))


@dataclass(frozen=True, kw_only=True, eq=False)
class Typicality:
    """What tells how typical an image is.

    Attributes:
        reference: Features of images that the network learned from.
        held_out: Distances of images that it had not learned from, rising, (V,).
    """

    reference: ReferenceRows
    held_out: Distances

    @classmethod
    def of(cls, reference: ReferenceRows, distances: Distances) -> Self:
        """Return it with distances in any order; of very many an even part is kept."""
        rising = np.sort(distances)
        places = np.linspace(0, len(rising) - 1, min(len(rising), _MOST_HELD_OUT)).round().astype(np.int64)
        return cls(reference=reference, held_out=rising[places])

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Return what `state` gave."""
        return cls(reference=ReferenceRows(state["rows"].float()), held_out=state["held_out"].numpy())

    def state(self) -> dict[str, Tensor]:
        """Return it as tensors to store."""
        return {"rows": self.reference.rows.half(), "held_out": torch.from_numpy(self.held_out)}

    @property
    def least(self) -> float:
        """The smallest value that it can give."""
        return 1 / (len(self.held_out) + 1)

    def typicalities(self, distances: Distances) -> NDArray[np.float64]:
        """Return the share of images, held-out ones and the one itself, that lie at least as far away, (B,) in (0, 1].

        >>> known = Typicality.of(ReferenceRows(torch.eye(2)), np.array([0.1, 0.3, 0.2], np.float32))
        >>> known.typicalities(np.array([0.05, 0.2, 0.4], np.float32)).tolist()
        [1.0, 0.75, 0.25]
        """
        nearer = np.searchsorted(self.held_out, distances, side="left")
        shares: NDArray[np.float64] = (1 + len(self.held_out) - nearer) / (1 + len(self.held_out))
        return shares

    def to(self, device: torch.device) -> Self:
        """Return the same one on a device."""
        return type(self)(reference=self.reference.to(device), held_out=self.held_out)


def state_problems(state: Mapping[str, Tensor], width: int) -> list[str]:
    """Return every rule that tensors break which are to be a `state`: they may be anybody's.

    >>> state_problems({"rows": torch.eye(3), "held_out": torch.tensor([0.1, 0.1, 0.2])}, 3)
    []
    >>> state_problems({"rows": torch.eye(3), "held_out": torch.tensor([0.2, 0.1])}, 3)
    ['typicality.held_out of shape (2,), torch.float32: must be finite float32, one or more, rising']

    Args:
        state: By name.
        width: C.
    """
    rows, held_out = (state.get(name, torch.empty(0)) for name in ("rows", "held_out"))
    kept = {
        f"finite float, one row or more of {width}": rows.ndim == 2
        and len(rows) > 0
        and rows.shape[1] == width
        and _finite(rows),
        "finite float32, one or more, rising": held_out.ndim == 1
        and len(held_out) > 0
        and held_out.dtype == torch.float32
        and _finite(held_out)
        and bool((held_out.diff() >= 0).all()),
    }
    told = zip((("rows", rows), ("held_out", held_out)), kept.items(), strict=True)
    return [
        f"typicality.{name} of shape {tuple(tensor.shape)}, {tensor.dtype}: must be {rule}"
        for (name, tensor), (rule, holds) in told
        if not holds
    ]


def _finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.float().isfinite().all())


def pool_tokens(features: Tensor, width: int) -> Tensor:
    """Return the mean over tokens or places, (B, C), of features that have them one after the other, (B, T C)."""
    return features.reshape(len(features), -1, width).mean(1)


def reference_places(labels: Labels, width: int) -> Positions:
    """Return which images become rows, rising: all, or as many of each class as the bytes allow.

    >>> labels = np.array([0, 0, 0, 0, 1, 2])
    >>> labels[reference_places(labels, 1 << 18)].tolist()  # there is room for four
    [0, 0, 1, 2]

    Args:
        labels: Of the images, (n,).
        width: C.
    """
    most = max(_NEAREST, _ROW_BYTES // (2 * width))
    order = np.random.default_rng(0).permutation(len(labels))
    turns = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        turns[own] = np.arange(len(own))
    return np.sort(order[np.argsort(turns[order], kind="stable")][:most])
