"""What heads are solved on: features that are known already, and the rows of them that train and validate.

features (N, D) of any floating type; labels (N,) int64; positions (n,) int64 into the N rows; logits (V, K) float32.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from tlexp.arrays import Positions
from tlexp.data.placement import to_device
from tlexp.errors import DataError, TrainingError
from tlexp.models.head import Head
from tlexp.train.balance import PerClass


class FeatureRows(Protocol):
    """Features that need not fit into memory."""

    @property
    def shape(self) -> Sequence[int]:
        """N and D."""
        ...

    def take(self, positions: Tensor) -> Tensor:
        """Return features (n, D) on the device, of positions (n,) int64 on the CPU."""
        ...


@dataclass(frozen=True)
class Held:
    """Features (N, D) in memory, as `FeatureRows`."""

    features: Tensor

    @property
    def shape(self) -> Sequence[int]:
        """N and D."""
        return self.features.shape

    def take(self, positions: Tensor) -> Tensor:
        """Return features (n, D) of positions (n,)."""
        return self.features.index_select(0, to_device(positions, self.features.device))


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One training set, e.g. a fold, or the whole of a label budget.

    Attributes:
        train: Positions of the rows to train on, (n,).
        validation: Positions of the rows whose logits are wanted, (V,); None for none.
        class_weights: Of each class in the loss, (K,), 1 on average over the rows; none where all rows count the same.
    """

    train: Positions
    validation: Positions | None = None
    class_weights: PerClass = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """One head, solved.

    Attributes:
        build: Makes the head; of thousands that are compared only the best is ever wanted.
        logits: Of the problem's validation rows, (V, K) float32 on the CPU; None without such rows, or if it diverged.
        iterations: Newton iterations or optimiser steps; 0 for closed forms.
        converged: Whether the stated tolerance was met (closed forms: always; optimiser steps: nothing diverged).
        losses: Training loss before each optimiser step, (steps,) float32 on the CPU; None for other methods.
    """

    build: Callable[[], Head]
    logits: Tensor | None
    iterations: int
    converged: bool
    losses: Tensor | None = None

    @functools.cached_property
    def head(self) -> Head:
        """Features (B, D) -> logits (B, K) float32: a linear one, `Neighbours`, or a copy of the given one."""
        return self.build()


def prepare(
    features: Tensor | FeatureRows, labels: Tensor, problems: Sequence[Problem], num_classes: int
) -> tuple[FeatureRows, Tensor]:
    """Return features as `FeatureRows` and labels on their device; refuse what no head can be solved on.

    Raises:
        DataError: No rows to train on, a position or a label out of range, or labels of another number of rows.
    """
    rows = Held(features) if isinstance(features, Tensor) else features
    count = rows.shape[0]
    if len(labels) != count:
        raise DataError(f"{len(labels)} labels for features of {count} rows: give each row one label")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise DataError(f"labels of {int(labels.min())}..{int(labels.max())}: must be 0..{num_classes - 1}")
    for problem in problems:
        if len(problem.train) == 0:
            raise DataError("no row to train on: use a larger label budget")
        for positions in (problem.train, problem.validation):
            if positions is not None and len(positions) and not 0 <= positions.min() <= positions.max() < count:
                raise DataError(f"positions of {positions.min()}..{positions.max()}: must be 0..{count - 1}")
    return rows, labels.to(rows.take(torch.zeros(1, dtype=torch.int64)).device)


def stack_weights(problems: Sequence[Problem], dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Return the class weights of problems that all have some, (P, K); None where none has."""
    weights = [problem.class_weights for problem in problems]
    assert all(weights) or not any(weights)
    return torch.tensor(weights, dtype=dtype, device=device) if all(weights) else None


def pick(labels: Tensor, positions: Positions | Tensor) -> Tensor:
    """Return labels (n,) of positions, on the labels' device."""
    return labels[to_device(torch.as_tensor(positions), labels.device)]


def gather(features: FeatureRows, positions: Positions | Tensor) -> Tensor:
    """Return float32 features (n, D) of positions.

    Raises:
        TrainingError: A feature is not finite.
    """
    rows = features.take(torch.as_tensor(positions)).float()
    # A sum is finite exactly if all its terms are, or if finite ones overflow: only then is each looked at.
    if not bool(rows.sum().isfinite()):
        broken = (~rows.isfinite().all(1)).nonzero()[:, 0]
        if len(broken):
            first = int(positions[int(broken[0])])
            raise TrainingError(
                f"features of {len(broken)} of {len(rows)} images are not finite, the first at position {first}: use "
                "train.precision=fp32, or other weights"
            )
    return rows


def blocks(positions: Positions, size: int) -> Iterator[Tensor]:
    """Yield positions as tensors of at most `size`."""
    yield from torch.split(torch.from_numpy(positions.copy()), size)


def bias_of_absent(bias: Tensor, counts: Tensor) -> Tensor:
    """Return biases (..., K) where classes that have no rows are as rare as one row in n + 3, at the mean row.

    >>> bias_of_absent(torch.tensor([0.0, 7.0]), torch.tensor([8, 0])).softmax(0)
    tensor([0.9091, 0.0909])

    Args:
        bias: Of logits on centred features.
        counts: Training rows of each class, (..., K).
    """
    absent = counts == 0
    total = torch.where(absent, -torch.inf, bias).logsumexp(-1, keepdim=True)
    return torch.where(absent, total - (counts.sum(-1, keepdim=True) + 2.0).log(), bias)


def linear_head(weight: Tensor, bias: Tensor) -> Head:
    """Return a linear head of weight (K, D) and bias (K,), in float32 on their device, as `build_head` builds it."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    # Copies, for both may be parts of what many heads share.
    layer.weight = nn.Parameter(weight.to(torch.float32, copy=True).contiguous())
    layer.bias = nn.Parameter(bias.to(torch.float32, copy=True).contiguous())
    return Head(layer).eval()
