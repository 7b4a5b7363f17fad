"""Ridge regression to class indicators, every penalty from one eigendecomposition.

Minimises mean squared error / 2 + weight_decay / 2 * ||W||^2 over W and a bias without penalty, on the same centred and
scaled features as logistic regression. Its scores are made logits by the temperature of least log loss on leave-one-out
scores, which have a closed form (Allen 1974; Golub, Heath and Wahba 1979): y - (y - f) / (1 - h), h the leverage. Where
classes have weights, errors and losses have them; a row that is left out leaves the weights of the others as they are.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tlexp.train.row_space import RowSpace
from tlexp.train.temperature import inverse_temperature

_JUDGED_ROWS = 20_000
"""The temperature is found on at most so many rows, evenly chosen: it is one number."""


def solve_ridge(space: RowSpace, weight_decays: Sequence[float]) -> Tensor:
    """Return weights (P, M, K, R + 1) of logits, the bias last, of a space whose blocks are float64."""
    decays = space.squares.new_tensor(weight_decays)
    classes = space.counts.shape[1]
    totals = space.counts.sum(1, keepdim=True)
    cross = space.squares.new_zeros(len(totals), classes, space.squares.shape[1] + 1)
    for rows, labels, share in space.blocks():
        cross += (F.one_hot(labels, classes).to(rows.dtype) * share[..., None]).mT @ rows
    if space.rotation is not None:
        cross[..., :-1] = cross[..., :-1] @ space.rotation
    shrunk = 1 / ((space.squares / totals)[:, None] + decays[:, None])
    inner = cross[:, None, :, :-1] * shrunk[:, :, None]
    weights = torch.cat([inner, cross[:, None, :, -1:].expand(-1, len(decays), -1, -1)], 3)
    scores, labels, share, fitted = _left_out(space, weights, shrunk)
    judged = share * (space.counts.gather(1, labels) > 1)
    total = judged.sum(1, keepdim=True)
    sharpness = inverse_temperature(scores, labels, judged / total.clamp_min(1e-300))
    # Rows alone in their class cannot be left out. Where all are, a spread of the scores of 1 is taken.
    spread = (fitted - fitted.mean(-1, keepdim=True)).square().mean((1, 3)).sqrt()
    sharpness = torch.where(total > 0, sharpness, 1 / torch.where(spread > 0, spread, 1))
    return weights * sharpness[..., None, None]


def _left_out(space: RowSpace, weights: Tensor, shrunk: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return leave-one-out scores (P, n, M, K), labels and shares of the judged rows, and their fitted scores."""
    totals = space.counts.sum(1)[:, None, None]
    stride = -(-space.rows // _JUDGED_ROWS)
    judged = len(weights), -(-space.rows // stride)
    # One piece each: pieces made block by block would be strewn among the blocks, and the heap would grow with each.
    scores, fitted = (weights.new_empty(*judged, *weights.shape[1:3]) for _ in range(2))
    places, shares = space.counts.new_empty(judged), weights.new_empty(judged)
    read, found = 0, 0
    for rows, labels, share in space.blocks():
        every = slice(-read % stride, None, stride)
        read += rows.shape[1]
        rows, labels, share = rows[:, every], labels[:, every], share[:, every]
        if space.rotation is not None:
            rows = torch.cat([rows[..., :-1] @ space.rotation, rows[..., -1:]], 2)
        fits = (rows @ weights.flatten(1, 2).mT).view(*rows.shape[:2], *weights.shape[1:3])
        leverage = (1 + rows[..., :-1].square() @ shrunk.mT) / totals
        if space.class_weights is not None:
            leverage = leverage * space.class_weights.gather(1, labels)[..., None]
        targets = F.one_hot(labels, weights.shape[2]).to(rows.dtype)[:, :, None]
        there = slice(found, found := found + rows.shape[1])
        scores[:, there] = targets - (targets - fits) / (1 - leverage).clamp_min(1e-12)[..., None]
        fitted[:, there], places[:, there], shares[:, there] = fits, labels, share
    return scores, places, shares / shares.sum(1, keepdim=True), fitted
