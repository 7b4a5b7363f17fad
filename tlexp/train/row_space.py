"""The training rows of problems, centred, scaled by one number, and in the coordinates of their own span.

The solution of a penalised linear head lies in the span of its training rows, so that min(n, D) coordinates do. Their
axes are the principal ones, where the problem is nearly diagonal. Problems of about one size are stacked.
Where classes have weights, so have their rows: centre, scale and axes are those of the weighted rows, as if each were
there so often.
P problems, N rows (padded), D features, R coordinates. All sums that lose digits are float64 where the device has it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tlexp.data.placement import room_bytes
from tlexp.errors import TrainingError
from tlexp.train.problem import FeatureRows, Problem, blocks, gather, pick, stack_weights

_COPIES = 8
"""Of rows in float64 that are there at once: as they come, centred, weighted, in coordinates, what eigh takes."""
_RANK = 1e-10
"""Axes whose sum of squares is a smaller fraction of the largest are noise: no weight decay of use sees them."""

Block = tuple[Tensor, Tensor, Tensor]
"""Coordinates with a last column of ones (P, n, R + 1), labels (P, n), shares of the rows (P, n), 0 for padding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowSpace:
    """P problems in coordinates.

    Attributes:
        rows: N, that of the largest problem.
        blocks: Gives the rows anew for each pass; coordinates are multiplied by `rotation` where there is one.
        rotation: Axes as columns (P, D, R) float64, where blocks hold plain centred and scaled features; else None.
        basis: The same axes (P, D, R), always.
        squares: Sums of squares along each axis (P, R) float64, 0 for an axis that is not there.
        centre: Mean of the training rows, (P, D) float64.
        scale: Root mean square of the centred rows, one number per problem, (P,) float64; 1 where all are equal.
        counts: Training rows of each class, (P, K) int64.
        class_weights: Of the rows of each class, (P, K) float64; None where all count the same.
    """

    rows: int
    blocks: Callable[[], Iterable[Block]]
    rotation: Tensor | None
    basis: Tensor
    squares: Tensor
    centre: Tensor
    scale: Tensor
    counts: Tensor
    class_weights: Tensor | None

    def restore(self, index: int, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight (M, K, D) and bias (M, K) on raw features of a problem, of weights (M, K, R + 1)."""
        weight = weights[..., :-1].to(self.basis.dtype) @ self.basis[index].mT / self.scale[index]
        return weight, weights[..., -1] - weight @ self.centre[index]


def exact(device: torch.device) -> torch.dtype:
    """Return the most precise dtype of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """How many numbers are worked on at once.

    Attributes:
        held: Rows of more numbers are read block by block, again for every pass.
        block: Numbers of a block.
        stack: Products of more numbers are as fast alone, where no problem waits for the slowest of its stack.
    """

    held: int
    block: int
    stack: int


_CPU_SIZES = _Sizes(held=1 << 25, block=1 << 21, stack=1 << 20)


def _sizes_on(device: torch.device) -> _Sizes:
    """Return the sizes of a device: a GPU holds what its memory does, and idles over what fills a CPU's cache."""
    if device.type != "cuda":
        return _CPU_SIZES
    return _Sizes(held=room_bytes(device, 0) // (8 * _COPIES), block=1 << 26, stack=1 << 25)


def stacks(problems: Sequence[Problem], width: int, device: torch.device) -> Iterator[list[int]]:
    """Yield positions of problems that can be stacked, of at most two rows more than the smallest of them."""
    most = _sizes_on(device).stack
    order = sorted(range(len(problems)), key=lambda index: len(problems[index].train))
    stack: list[int] = []
    for index in order:
        rows = len(problems[index].train)
        if stack and (rows > len(problems[stack[0]].train) + 2 or (len(stack) + 1) * rows * width > most):
            yield stack
            stack = []
        stack.append(index)
    if stack:
        yield stack


def build_row_space(
    features: FeatureRows,
    labels: Tensor,
    problems: Sequence[Problem],
    num_classes: int,
    *,
    precise: bool,
    outputs: int = 1,
) -> RowSpace:
    """Return the space of stacked problems; one problem of many rows is never held as a whole.

    Args:
        features: (N, D).
        labels: (N,) int64, on the features' device.
        problems: Of about one number of rows.
        num_classes: K.
        precise: Whether blocks are float64 rather than float32.
        outputs: Numbers that the solver makes of each row of a block at once, e.g. a few for each logit of each head.

    Raises:
        TrainingError: A feature is not finite.
    """
    dtype = exact(labels.device) if precise else torch.float32
    rows = max(len(problem.train) for problem in problems)
    width, sizes = max(features.shape[1] + 1, outputs), _sizes_on(labels.device)
    if len(problems) == 1 and rows * width > sizes.held:
        return _stream(features, labels, problems[0], num_classes, dtype, size=max(1, sizes.block // width))
    return _hold(features, labels, problems, num_classes, dtype)


def _hold(
    features: FeatureRows, labels: Tensor, problems: Sequence[Problem], num_classes: int, dtype: torch.dtype
) -> RowSpace:
    sizes = [len(problem.train) for problem in problems]
    parts = [gather(features, problem.train) for problem in problems]
    precise = exact(labels.device)
    rows = parts[0].new_zeros(len(parts), max(sizes), features.shape[1], dtype=precise)
    places = labels.new_empty(len(parts), max(sizes))
    share = rows.new_zeros(rows.shape[:2])
    for index, (problem, part, size) in enumerate(zip(problems, parts, sizes, strict=True)):
        chosen = pick(labels, problem.train)
        rows[index, :size], share[index, :size] = part, 1 / size
        places[index, :size], places[index, size:] = chosen, chosen[0]
    there = (share > 0).to(precise)
    # Exact for columns of one value, which thus vanish: rounding would be blown up by the scale.
    centre = rows.sum(1) / torch.tensor(sizes, device=labels.device)[:, None]
    rows = (rows - centre[:, None]) * there[..., None]
    weights, pull = stack_weights(problems, precise, labels.device), None
    if weights is not None:
        pull = weights.gather(1, places)
        share = share * pull
        shift = (rows * share[..., None]).sum(1)
        centre, rows = centre + shift, (rows - shift[:, None]) * there[..., None]
    mean = (rows.square().sum(2) * share).sum(1) / rows.shape[2]
    scale = torch.where(mean > 0, mean.sqrt(), 1)
    rows /= scale[:, None, None]
    coordinates, basis, squares = _principal(rows, pull)
    design = torch.cat([coordinates, there[..., None]], 2).to(dtype)
    counts = rows.new_zeros(len(parts), num_classes, dtype=torch.int64).scatter_add_(1, places, there.long())
    return RowSpace(
        rows=max(sizes),
        blocks=lambda: [(design, places, share.to(dtype))],
        rotation=None,
        basis=basis,
        squares=squares,
        centre=centre,
        scale=scale,
        counts=counts,
        class_weights=weights,
    )


def _principal(rows: Tensor, pull: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return coordinates (P, N, R), basis (P, D, R) and squares (P, R) of centred rows (P, N, D), R = min(N, D).

    Args:
        rows: What has axes.
        pull: How often each counts, (P, N); None for once.
    """
    pulled = rows if pull is None else rows * pull.sqrt()[..., None]
    if rows.shape[1] >= rows.shape[2]:
        squares, basis = _eigen(pulled.mT @ pulled)
        return rows @ basis, basis, squares
    squares, left = _eigen(pulled @ pulled.mT)
    lengths = squares.sqrt()[:, None]
    basis = pulled.mT @ (left * torch.where(lengths > 0, 1 / lengths, 0))
    return left * lengths if pull is None else rows @ basis, basis, squares


def _eigen(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, 0 where they are noise, and eigenvectors.

    Raises:
        TrainingError: They cannot be found.
    """
    try:
        values, vectors = torch.linalg.eigh(gram)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        values, vectors = (found.to(gram.device) for found in _eigen_on_host(gram))
    return torch.where(values > _RANK * values[:, -1:], values, 0), vectors


def _eigen_on_host(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and eigenvectors by LAPACK, which finds some that a GPU's solver gives up on."""
    try:
        values, vectors = torch.linalg.eigh(gram.cpu())
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise TrainingError(
            f"the principal axes of the features cannot be found ({error}): use head=linear, or other weights"
        ) from error
    return values, vectors


def _stream(
    features: FeatureRows, labels: Tensor, problem: Problem, num_classes: int, dtype: torch.dtype, *, size: int
) -> RowSpace:
    width = features.shape[1]

    def parts(read: Callable[[Tensor], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        return ((part, read(part)) for part in blocks(problem.train, size))

    def known(part: Tensor) -> Tensor:  # to be finite, which a GPU would have to be waited for to say
        return features.take(part).float()

    count, precise = len(problem.train), exact(labels.device)
    total = torch.zeros(width, dtype=precise, device=labels.device)
    for _, rows in parts(partial(gather, features)):
        total += rows.sum(0, dtype=precise)
    centre = total / count
    weights = stack_weights([problem], precise, labels.device)
    gram = torch.zeros(width, width, dtype=precise, device=labels.device)
    shift = torch.zeros_like(total)
    for part, rows in parts(known):
        centred = rows.to(precise) - centre
        if weights is None:
            gram += centred.T @ centred
        else:
            pulled = centred * weights[0, pick(labels, part)][:, None]
            shift += pulled.sum(0) / count
            gram += pulled.T @ centred
    if weights is not None:
        centre = centre + shift
        gram -= count * shift.outer(shift)
    mean = gram.trace() / (count * width)
    scale = torch.where(mean > 0, mean.sqrt(), 1)
    squares, basis = _eigen(gram[None] / scale.square())
    counts = torch.bincount(pick(labels, problem.train), minlength=num_classes)

    def design() -> Iterator[Block]:
        for part, rows in parts(known):
            block = rows.new_ones(1, len(part), width + 1, dtype=dtype)
            torch.sub(rows.to(dtype), centre.to(dtype), out=block[0, :, :-1]).div_(scale.to(dtype))
            chosen = pick(labels, part)
            share = block.new_full((1, len(part)), 1 / count)
            yield block, chosen[None], share if weights is None else share * weights[:, chosen].to(dtype)

    return RowSpace(
        rows=count,
        blocks=design,
        rotation=basis,
        basis=basis,
        squares=squares,
        centre=centre[None],
        scale=scale[None],
        counts=counts[None],
        class_weights=weights,
    )
