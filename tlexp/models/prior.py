"""Predictions for other frequencies of the classes than those that a network was trained on.

p(k | x) is multiplied by wanted_k / trained_k and renormalised (Saerens, Latinne and Decaestecker 2002, Neural
Computation 14, equation 2.4), which holds where classes look the same in both places and only their shares differ.
logits (N, K) float32; labels (n,) int64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels, Logits
from tlexp.jsonfile import abridged
from tlexp.terminal import list_item

_SHOWN = 10
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class PriorShift:
    """Class frequencies, each adding up to 1.

    Attributes:
        wanted: Where the network will be used, (K,), all positive.
        trained: Those that its loss saw, (K,), all positive.
    """

    wanted: tuple[float, ...]
    trained: tuple[float, ...]

    @classmethod
    def of(cls, wanted: tuple[float, ...], labels: Labels, *, alike: bool) -> Self:
        """Return the shift away from what was trained on.

        Args:
            wanted: Class frequencies where the network will be used, (K,).
            labels: Of the images that it learned from, (n,); every class is among them.
            alike: Whether it learned as if all classes were as frequent.
        """
        counts = np.ones(len(wanted)) if alike else np.bincount(labels, minlength=len(wanted))
        assert counts.all()
        return cls(wanted=wanted, trained=tuple((counts / counts.sum()).tolist()))

    def problems(self, classes: int) -> list[str]:
        """Return every broken rule of frequencies of so many classes."""
        return [
            f"prior.{key}={abridged(shares)}: must be {classes} positive shares that add up to 1"
            for key, shares in vars(self).items()
            if len(shares) != classes or not all(0 < share <= 1 for share in shares) or abs(sum(shares) - 1) > _ROUNDING
        ]

    @property
    def offsets(self) -> NDArray[np.float64]:
        """What is added to the logits, (K,).

        >>> PriorShift(wanted=(0.8, 0.2), trained=(0.5, 0.5)).offsets.round(3).tolist()
        [0.47, -0.916]
        """
        offsets: NDArray[np.float64] = np.log(np.array(self.wanted) / np.array(self.trained))
        return offsets

    def correct(self, logits: Logits) -> Logits:
        """Return logits whose softmax are the probabilities where the network will be used."""
        return (logits + self.offsets).astype(np.float32)


def told_shares(classes: Sequence[str], shares: Sequence[float]) -> str:
    """Return the share of each class, for people.

    >>> print(told_shares(["cat, tabby", "dog"], [0.9, 0.1]))
    "cat, tabby" 0.9, dog 0.1
    """
    first = [f"{list_item(name)} {share:.3g}" for name, share in zip(classes[:_SHOWN], shares, strict=False)]
    return ", ".join(first) + (" ..." if len(classes) > _SHOWN else "")
