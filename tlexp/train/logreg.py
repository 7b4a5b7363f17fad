"""Multinomial logistic regression to convergence, for many weight decays and problems in the same matrix products.

Minimises mean cross entropy, weighted where classes have weights, + weight_decay / 2 * ||W||^2 over W and a bias
without penalty, on features that are centred and divided by the root mean square of the problem's training rows.
Newton's method with conjugate gradients (Dembo, Eisenstat and Steihaug 1982; Lin, Weng and Keerthi 2008): gradients in
float64, products with the Hessian in float32, which loses no digit of the solution. In principal coordinates the
Hessian is nearly diagonal: that preconditions it.
weights (P, M, K, R + 1), the bias last; probabilities (P, M, K, n); per head (P, M). Rows come last because products of
few heads are several times as fast so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tlexp.train.problem import bias_of_absent
from tlexp.train.row_space import RowSpace, exact

WEIGHT_DECAYS = tuple(10 ** (exponent / 2) for exponent in range(-8, 5))
"""1e-4 ... 1e2 by half decades, for features of unit scale.

The best one falls about as 1 / labels. With backbone=tiny it lay, by log loss on the test images over 3 draws, between
10^0.5 (shapes, 2 labels per class) and 1e-3 (digits, 100), and for ridge between 10 and 1e-2.
"""
TOLERANCE = 1e-3
"""A head is solved when ||gradient|| <= TOLERANCE * weight_decay * ||W||: the objective is weight_decay-strongly convex
in W, so that W is then within this fraction of the solution."""
_LEAST_GRADIENT = {torch.float64: 1e-10, torch.float32: 1e-6}
"""... or when it is this small, e.g. for constant features, where W is 0; float32 cannot tell more."""
_NEWTON_STEPS = 100
_PRODUCTS = 32
"""Products with the Hessian per Newton step, at most."""
_CHECK_EVERY = 2
"""Products between looks at the residuals, which make an accelerator wait."""
_FORCING = 0.5
"""Conjugate gradients stop at this fraction of the gradient: rough steps, but a third of the products of 0.1."""
_KEPT_NUMBERS = 1 << 27
"""Probabilities of more heads, classes and rows (512 MB) are not kept: each product with the Hessian makes its own."""
_SUFFICIENT = 1e-4
"""A step is taken if the loss falls by this fraction of what its slope promises (Armijo 1966)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """Solutions in coordinates.

    Attributes:
        weights: (P, M, K, R + 1), the bias last.
        iterations: Newton steps of each head, (P, M) int64.
        converged: (P, M) bool.
    """

    weights: Tensor
    iterations: Tensor
    converged: Tensor


def solve_logreg(
    space: RowSpace,
    weight_decays: Sequence[float],
    *,
    tolerance: float = TOLERANCE,
    heed: Callable[[], None] = lambda: None,
) -> Solved:
    """Return logistic regressions of the space's problems for each weight decay, which must be positive.

    A class without a training row gets no weight, and a small bias: its own optimum is minus infinity. `heed` is called
    before each product and may raise to end the solving: with hundreds of classes a Newton step takes many seconds.
    """
    count, classes = space.counts.shape
    axes = space.squares.shape[1]
    device = space.squares.device
    decays = torch.tensor(weight_decays, dtype=exact(device), device=device)
    final = decays.new_zeros(count, len(decays), classes, axes + 1)
    iterations = torch.zeros(count, len(decays), dtype=torch.int64, device=device)
    converged = torch.zeros(count, len(decays), dtype=torch.bool, device=device)
    left = torch.arange(len(decays), device=device)
    point = _Objective(space, decays).start()
    for step in range(_NEWTON_STEPS + 1):
        solved = point.solved(tolerance)
        final[:, left], converged[:, left] = point.weights, solved
        open_ = ~solved.all(0)
        if step == _NEWTON_STEPS or not bool(open_.any()):
            break
        if not bool(open_.all()):
            left, point = left[open_], point.keep(open_)
        iterations[:, left] += (~point.solved(tolerance)).long()
        point = point.advance(heed)
    final[..., -1] = bias_of_absent(final[..., -1], space.counts[:, None])
    return Solved(weights=final, iterations=iterations, converged=converged)


class _Objective:
    """The objective of all heads at once."""

    def __init__(self, space: RowSpace, decays: Tensor) -> None:
        self.space, self.decays = space, decays
        self.penalty = decays[:, None, None].repeat(1, 1, space.squares.shape[1] + 1)
        self.penalty[..., -1] = 0
        self.absent = torch.zeros(space.counts.shape, dtype=decays.dtype, device=decays.device)
        self.absent.masked_fill_(space.counts == 0, -torch.inf)

    def keep(self, chosen: Tensor) -> "_Objective":
        """Return the objective of some weight decays, (M,) bool."""
        return _Objective(self.space, self.decays[chosen])

    def start(self) -> "_Point":
        """Return the point of no weights."""
        count, classes = self.space.counts.shape
        return _Point(self, self.decays.new_zeros(count, len(self.decays), classes, self.penalty.shape[2]))

    def turned(self, weights: Tensor) -> Tensor:
        """Return weights for what the blocks hold, (P, M * K, R + 1)."""
        flat = weights.flatten(1, 2)
        if self.space.rotation is None:
            return flat
        return torch.cat([flat[..., :-1] @ self.space.rotation.to(flat.dtype).mT, flat[..., -1:]], 2)

    def turned_back(self, gradient: Tensor, like: Tensor) -> Tensor:
        """Return a gradient in coordinates, of one for what the blocks hold."""
        if self.space.rotation is not None:
            inner = gradient[..., :-1] @ self.space.rotation.to(gradient.dtype)
            gradient = torch.cat([inner, gradient[..., -1:]], 2)
        return gradient.view_as(like)

    def evaluate(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return losses (P, M), gradients, and probabilities in float32 if they can be kept."""
        loss = (self.penalty * weights.square()).sum((2, 3)) / 2
        flat = self.turned(weights)
        inner, start, kept = torch.zeros_like(flat), 0, None
        if weights[..., 0].numel() * self.space.rows <= _KEPT_NUMBERS:
            # One piece: pieces made block by block would be strewn among the blocks, and the heap would grow with each.
            kept = weights.new_empty(*weights.shape[:3], self.space.rows, dtype=torch.float32)
        for rows, labels, share in self.space.blocks():
            rows, share = rows.to(flat.dtype), share.to(flat.dtype)[:, None]
            logs = self._logits(flat, rows).log_softmax(2)
            own = labels[:, None, None].expand(-1, weights.shape[1], -1, -1)
            loss -= (logs.gather(2, own)[:, :, 0] * share).sum(2)
            if kept is not None:
                kept[..., start : (start := start + rows.shape[1])] = logs.exp()
            slope = logs.exp_().scatter_add_(2, own, -torch.ones_like(own, dtype=logs.dtype)).mul_(share[:, None])
            inner += slope.flatten(1, 2) @ rows
        return loss, self.turned_back(inner, weights) + self.penalty * weights, kept

    def curvature(self, direction: Tensor, weights: Tensor, probabilities: Tensor | None) -> Tensor:
        """Return the Hessian at the weights times a direction, float32."""
        flat = self.turned(direction)
        inner = torch.zeros_like(flat)
        for rows, share, chances in self._blocks_with(weights, probabilities):
            weighted = (flat @ rows.mT).view_as(chances).mul_(chances)
            weighted -= chances * weighted.sum(2, keepdim=True)
            weighted *= share[:, None, None]
            inner += weighted.flatten(1, 2) @ rows
        return self.turned_back(inner, direction) + self.penalty.float() * direction

    def _blocks_with(self, weights: Tensor, probabilities: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield rows, shares and probabilities (P, M, K, n) of each block, made now if they were not kept."""
        flat, start = self.turned(weights.float()), 0
        for rows, _, share in self.space.blocks():
            if probabilities is None:
                yield rows, share, self._logits(flat, rows).softmax(2)
            else:
                yield rows, share, probabilities[..., start : (start := start + rows.shape[1])]

    def _logits(self, flat: Tensor, rows: Tensor) -> Tensor:
        """Return logits (P, M, K, n) of weights for what the blocks hold."""
        count, classes = self.absent.shape
        logits = (flat @ rows.mT).view(count, len(self.decays), classes, -1)
        return logits + self.absent[:, None, :, None].to(logits.dtype)

    def diagonal(self, weights: Tensor, probabilities: Tensor | None) -> Tensor:
        """Return about the Hessian's diagonal, float32: that of rows whose weights do not depend on where they lie."""
        parts = [
            (chances * (1 - chances) * share[:, None, None]).sum(3, keepdim=True)
            for _, share, chances in self._blocks_with(weights, probabilities)
        ]
        variances = self.space.squares / self.space.counts.sum(1, keepdim=True)
        size = torch.cat([variances, torch.ones_like(variances[:, :1])], 1).float()[:, None, None]
        return (torch.stack(parts).sum(0) * size + self.penalty.float()).clamp_min(1e-12)


class _Point:
    """Where all heads stand, and what is known there."""

    def __init__(self, objective: _Objective, weights: Tensor) -> None:
        self.objective, self.weights = objective, weights
        self.loss, self.gradient, self.probabilities = objective.evaluate(weights)
        self.length = torch.ones_like(self.loss)

    def solved(self, tolerance: float) -> Tensor:
        """Return which heads are, (P, M) bool."""
        norm = self.weights[..., :-1].square().sum((2, 3)).sqrt()
        goal = (tolerance * self.objective.decays * norm).clamp_min(_LEAST_GRADIENT[norm.dtype])
        return self.gradient.square().sum((2, 3)).sqrt() <= goal

    def keep(self, chosen: Tensor) -> "_Point":
        """Return the point of some weight decays, (M,) bool, alone."""
        point = object.__new__(_Point)
        point.objective = self.objective.keep(chosen)
        point.weights, point.gradient = self.weights[:, chosen], self.gradient[:, chosen]
        point.loss, point.length = self.loss[:, chosen], self.length[:, chosen]
        point.probabilities = _of(self.probabilities, chosen)
        return point

    def advance(self, heed: Callable[[], None]) -> "_Point":
        """Return the next point: heads whose loss does not fall enough stay, and try half the step next time."""
        direction = self._newton(heed).to(self.weights.dtype)
        slope = _dot(self.gradient, direction)
        following = _Point(self.objective, self.weights + _per_head(self.length) * direction)
        noise = 1e-14 * self.loss.abs()
        falls = following.loss <= self.loss + _SUFFICIENT * self.length * slope + noise
        following.weights = torch.where(_per_head(falls), following.weights, self.weights)
        following.gradient = torch.where(_per_head(falls), following.gradient, self.gradient)
        following.loss = torch.where(falls, following.loss, self.loss)
        following.length = torch.where(falls, (2 * self.length).clamp_max(1), self.length / 2)
        if not bool(falls.all()):
            following.probabilities = _mixed(_per_head(falls), following.probabilities, self.probabilities)
        return following

    def _newton(self, heed: Callable[[], None]) -> Tensor:
        """Return directions, float32, by preconditioned conjugate gradients, all heads in step until they are done."""
        scale = self.gradient.square().sum((2, 3)).sqrt().clamp_min(1e-30)  # float32 squares of tiny gradients vanish
        residual = (-self.gradient / _per_head(scale)).float()
        objective, weights, probabilities = self.objective, self.weights, self.probabilities
        diagonal = objective.diagonal(weights, probabilities)
        found, left = torch.zeros_like(residual), torch.arange(residual.shape[1], device=residual.device)
        search = residual / diagonal
        product = _dot(residual, search)
        direction, live = torch.zeros_like(residual), torch.ones_like(product, dtype=torch.bool)
        for count in range(1, _PRODUCTS + 1):
            heed()
            bent = objective.curvature(search, weights, probabilities)
            length = torch.where(live, product / _dot(search, bent).clamp_min(1e-30), 0)
            direction += _per_head(length) * search
            residual -= _per_head(length) * bent
            live = live & (_dot(residual, residual) > _FORCING**2)
            steered = residual / diagonal
            before, product = product, _dot(residual, steered)
            search = steered + _per_head(product / before.clamp_min(1e-30)) * search
            if count % _CHECK_EVERY == 0 and not bool((open_ := live.any(0)).all()):
                found[:, left] = direction
                left, live, product, objective = left[open_], live[:, open_], product[:, open_], objective.keep(open_)
                direction, residual, search, diagonal, weights = (
                    values[:, open_] for values in (direction, residual, search, diagonal, weights)
                )
                probabilities = _of(probabilities, open_)
                if not len(left):
                    break
        found[:, left] = direction
        return found * _per_head(scale).float()


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum((2, 3))


def _of(probabilities: Tensor | None, chosen: Tensor) -> Tensor | None:
    """Return the probabilities of some weight decays, (M,) bool, if they are kept."""
    return None if probabilities is None else probabilities[:, chosen]


def _mixed(falls: Tensor, following: Tensor | None, before: Tensor | None) -> Tensor | None:
    """Return the probabilities of heads that move and of those that stay, if all are kept."""
    return None if following is None or before is None else torch.where(falls, following, before)


def _per_head(values: Tensor) -> Tensor:
    """Return (P, M) as (P, M, 1, 1)."""
    return values[..., None, None]
