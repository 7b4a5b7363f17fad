"""Heads that have a solution, on known features, for many candidates and problems at once.

Each equals the same head solved alone, within the tolerance of float32. P problems, M candidates, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.errors import ConfigError
from tlexp.models.head import Head
from tlexp.models.neighbours import NEIGHBOURS, TEMPERATURE, Neighbours
from tlexp.train.logreg import TOLERANCE, WEIGHT_DECAYS, solve_logreg
from tlexp.train.nearest_mean import solve_means
from tlexp.train.problem import FeatureRows, Fitted, Problem, blocks, gather, linear_head, pick, prepare
from tlexp.train.ridge import solve_ridge
from tlexp.train.row_space import build_row_space, stacks

CLOSED: dict[str, Callable[[FeatureRows, Tensor, Problem, int], tuple[Tensor, Tensor]]] = {
    "nearest_mean": solve_means,
}
"""Linear heads that have nothing to choose: features, labels, problem, K -> weight (K, D) and bias (K,)."""
CANDIDATES: dict[str, tuple[float, ...]] = {
    "logreg": WEIGHT_DECAYS,
    "ridge": WEIGHT_DECAYS,
    "knn": NEIGHBOURS,
    **dict.fromkeys(CLOSED, (0.0,)),
}
"""The kinds, and the default candidates of each: weight decays, nothing, numbers of neighbours."""
_COPIES = 4
"""Of its logits that logistic regression makes at once: logits, their logarithms, probabilities, slopes."""


def solve(
    kind: str,
    features: Tensor | FeatureRows,
    labels: Tensor,
    problems: Sequence[Problem],
    *,
    num_classes: int,
    candidates: Sequence[float] | None = None,
    tolerance: float = TOLERANCE,
    temperature: float | None = TEMPERATURE,
    heed: Callable[[], None] = lambda: None,
) -> list[list[Fitted]]:
    """Return, for each problem, the heads of all candidates in their order.

    >>> import numpy as np
    >>> features = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.1], [0.9, 0.0]])
    >>> problem = Problem(train=np.arange(4), validation=np.arange(4))
    >>> fits = solve("ridge", features, torch.tensor([0, 0, 1, 1]), [problem], num_classes=2, candidates=[0.1])
    >>> fits[0][0].logits.argmax(1).tolist()
    [0, 0, 1, 1]

    Args:
        kind: logreg, ridge, knn or one of `CLOSED`.
        features: (N, D) of any floating type; as `FeatureRows` they are read in blocks and never held as a whole.
        labels: (N,) int64, 0..K-1.
        problems: Training sets; those of about one size are solved together, e.g. the folds of one budget.
        num_classes: K.
        candidates: Positive weight decays, for features of unit scale; numbers of neighbours for knn; None takes the
            default ones. Those of `CLOSED` have nothing to choose and take one of any value.
        tolerance: Of logreg: the weights are within this fraction of the solution.
        temperature: Of knn's votes; None for plain ones.
        heed: Called before problems that are solved together, and of logreg before each product; may raise to end the
            solving, which takes minutes where there are many classes.

    Raises:
        ConfigError: A weight decay is not positive.
        DataError: No rows, or labels or positions out of range.
        TrainingError: A feature is not finite.
    """
    rows, labels = prepare(features, labels, problems, num_classes)
    chosen = CANDIDATES[kind] if candidates is None else candidates
    if kind in CLOSED:
        return [[_closed(kind, rows, labels, problem, num_classes)] * len(chosen) for problem in problems]
    if kind == "knn":
        return [_neighbours(rows, labels, problem, num_classes, chosen, temperature) for problem in problems]
    if min(chosen) <= 0:
        raise ConfigError(f"weight_decay={min(chosen):g} of head={kind}: must be positive, e.g. 1e-5")
    return _spanned(kind, rows, labels, problems, num_classes, chosen, tolerance, heed)


def _spanned(
    kind: str,
    features: FeatureRows,
    labels: Tensor,
    problems: Sequence[Problem],
    num_classes: int,
    weight_decays: Sequence[float],
    tolerance: float,
    heed: Callable[[], None],
) -> list[list[Fitted]]:
    """Return the linear heads that lie in the span of their rows, stack by stack."""
    found: dict[int, list[Fitted]] = {}
    for stack in stacks(problems, features.shape[1] + _COPIES * len(weight_decays) * num_classes, labels.device):
        heed()
        chosen = [problems[index] for index in stack]
        if kind == "logreg":
            outputs = _COPIES * len(weight_decays) * num_classes
            space = build_row_space(features, labels, chosen, num_classes, precise=False, outputs=outputs)
            solved = solve_logreg(space, weight_decays, tolerance=tolerance, heed=heed)
            weights, iterations, converged = solved.weights, solved.iterations.tolist(), solved.converged.tolist()
        else:
            assert kind == "ridge"  # a new kind needs a branch of its own
            space = build_row_space(features, labels, chosen, num_classes, precise=True)
            weights = solve_ridge(space, weight_decays)
            iterations, converged = ([[value] * len(weight_decays)] * len(stack) for value in (0, True))
        for place, index in enumerate(stack):
            weight, bias = space.restore(place, weights[place])
            weight, bias = weight.float(), bias.float()
            logits = _logits(features, problems[index].validation, weight, bias)
            found[index] = [
                Fitted(build=partial(linear_head, *layer), logits=of_head, iterations=steps, converged=met)
                for layer, of_head, steps, met in zip(
                    zip(weight, bias, strict=True), logits, iterations[place], converged[place], strict=True
                )
            ]
    return [found[index] for index in range(len(problems))]


def _logits(
    features: FeatureRows, positions: Positions | None, weight: Tensor, bias: Tensor
) -> Sequence[Tensor] | Sequence[None]:
    """Return logits (V, K) on the CPU for each head of weight (M, K, D) and bias (M, K)."""
    if positions is None:
        return [None] * len(bias)
    flat, offset = weight.flatten(0, 1).float().T, bias.flatten().float()
    parts = [(rows @ flat + offset).view(-1, *bias.shape).cpu() for rows in _rows(features, positions)]
    return list(torch.cat(parts).transpose(0, 1).contiguous())


def _rows(features: FeatureRows, positions: Positions) -> Iterator[Tensor]:
    return (gather(features, part) for part in blocks(positions, 8192))


def _closed(kind: str, features: FeatureRows, labels: Tensor, problem: Problem, num_classes: int) -> Fitted:
    weight, bias = CLOSED[kind](features, labels, problem, num_classes)
    (logits,) = _logits(features, problem.validation, weight[None], bias[None])
    return Fitted(build=partial(linear_head, weight, bias), logits=logits, iterations=0, converged=True)


def _neighbours(
    features: FeatureRows,
    labels: Tensor,
    problem: Problem,
    num_classes: int,
    counts: Sequence[float],
    temperature: float | None,
) -> list[Fitted]:
    whole = [int(count) for count in counts]
    train = gather(features, problem.train)
    first = Neighbours(train, pick(labels, problem.train), num_classes=num_classes, k=whole[0], temperature=temperature)
    heads = [first, *(first.with_k(count) for count in whole[1:])]
    logits: Sequence[Tensor] | Sequence[None] = [None] * len(heads)
    if problem.validation is not None:
        parts = [first.for_each(whole, rows).cpu() for rows in _rows(features, problem.validation)]
        logits = list(torch.cat(parts, 1))
    return [
        Fitted(build=Head(head).eval, logits=of_head, iterations=0, converged=True)
        for head, of_head in zip(heads, logits, strict=True)
    ]
