"""Which images a network has seen before: a measure on those says little of new ones.

Of each image the first 8 bytes of its content's digest are kept: two of a million images share them by chance once in
forty million times.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BYTES = 8


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The images of a label budget.

    Attributes:
        images: The beginning of each one's digest as a number, rising, (n,) int64.
    """

    images: NDArray[np.int64]

    @classmethod
    def of(cls, digests: Iterable[bytes]) -> Self:
        """Return it for images with these digests of their content."""
        return cls(np.unique(_numbers(digests)))

    @classmethod
    def of_state(cls, state: Tensor) -> Self:
        """Return what `state` gave."""
        return cls(np.unique(state.numpy()))

    def state(self) -> Tensor:
        """Return it as a tensor to store, of one dimension."""
        return torch.from_numpy(self.images)

    def holds(self, digests: Iterable[bytes]) -> NDArray[np.bool_]:
        """Return for each digest whether an image of that content is among these.

        >>> Familiarity.of([b"a" * 32, b"b" * 32]).holds([b"c" * 32, b"a" * 32, b""]).tolist()
        [False, True, False]
        """
        return np.isin(_numbers(digests), self.images)


def state_problem(state: Tensor) -> str:
    """Return the rule that a tensor breaks which is to be a `state`: it may be anybody's; "" where it breaks none."""
    if state.ndim == 1 and state.dtype == torch.int64:
        return ""
    return f"images of shape {tuple(state.shape)}, {state.dtype}: must be int64 of one dimension"


def _numbers(digests: Iterable[bytes]) -> NDArray[np.int64]:
    """Return the beginnings of digests; what has none, an image in memory, is 0."""
    return np.frombuffer(b"".join(digest[:_BYTES].ljust(_BYTES, b"\0") for digest in digests), "<i8").astype(np.int64)
