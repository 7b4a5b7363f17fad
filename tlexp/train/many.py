"""Heads trained by optimiser steps, for many rates and problems at once, on the same batches of known features.

Each equals `fit` of that head alone: the same start, batches, dropout masks, optimiser and schedule.
P problems, M candidates, B rows per batch, D features, K classes.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.arrays import Positions
from tlexp.config.optim import Optimizer, Rates
from tlexp.models.cosine import Cosine
from tlexp.models.head import Head
from tlexp.train.device import kept_generators, seed_generators
from tlexp.train.fit_plan import FitPlan
from tlexp.train.optim import build_schedule
from tlexp.train.problem import FeatureRows, Fitted, Problem, blocks, gather, pick, prepare, stack_weights

_ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh)
_BETAS, _EPSILON = (0.9, 0.999), 1e-8
"""Adam's, which timm leaves at torch's defaults."""
_CACHED_NUMBERS = 1 << 17
"""An optimiser goes over its numbers ten times: pieces of so many stay in a processor's cache meanwhile."""

BatchPositions = Callable[[int], Positions]
"""Step, from 0 -> which of a problem's training rows make up its batch, (B,), as `ImageBatches.positions`."""


def supports(head: Head, plan: FitPlan) -> bool:
    """Return whether `train_many` can train the head so; BatchNorm mixes rows, mixup and CutMix are made of images."""
    known = (nn.Linear, nn.LayerNorm, nn.Dropout, Cosine, *_ACTIVATIONS)
    return not plan.mixup and not plan.cutmix and all(isinstance(layer, known) for layer in head)


def train_many(
    head: Head,
    features: Tensor | FeatureRows,
    labels: Tensor,
    problems: Sequence[Problem],
    *,
    streams: Sequence[BatchPositions],
    candidates: Sequence[Rates],
    plan: FitPlan,
    heed: Callable[[int], None] = lambda step: None,
) -> list[list[Fitted]]:
    """Return, for each problem, the head trained with each candidate's rates, from one start.

    A candidate that diverges has no logits and harms no other. Torch's global generators are left as they were.

    Args:
        head: The start, which stays as it is; see `supports`.
        features: (N, D) of any floating type.
        labels: (N,) int64.
        problems: Training sets; those of one batch size are trained together.
        streams: The batches of each problem.
        candidates: Learning rates and weight decays in place of the plan's.
        plan: All else.
        heed: Called with each step, from 1, before it is made; may raise to end the training.

    Raises:
        DataError: No rows, or labels or positions out of range.
        TrainingError: A feature is not finite.
    """
    assert supports(head, plan)
    rows, labels = prepare(features, labels, problems, plan.num_classes)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index, stream in enumerate(streams):
        groups[len(stream(0))].append(index)
    found: dict[int, list[Fitted]] = {}
    for members in groups.values():
        chosen = [problems[index] for index in members]
        stack = _Stack(head, chosen, candidates, plan, device=labels.device)
        batch = _batches(rows, labels, chosen, [streams[index] for index in members])
        with kept_generators(labels.device):
            losses = stack.train(batch, heed)
        for place, index in enumerate(members):
            found[index] = stack.fitted(place, rows, chosen[place].validation, losses)
    return [found[index] for index in range(len(problems))]


def _batches(
    features: FeatureRows, labels: Tensor, problems: Sequence[Problem], streams: Sequence[BatchPositions]
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return a function of the step, from 0, to features (P, B, D) and labels (P, B)."""
    train = [torch.from_numpy(problem.train.copy()) for problem in problems]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        parts = [rows[torch.from_numpy(stream(step))] for rows, stream in zip(train, streams, strict=True)]
        places = torch.cat(parts)
        rows = features.take(places).float().view(len(parts), -1, features.shape[1])
        return rows, pick(labels, places).view(rows.shape[:2])

    return batch


class _Stack:
    """Copies of a head, their parameters stacked (P, M, ...)."""

    def __init__(
        self,
        head: Head,
        problems: Sequence[Problem],
        candidates: Sequence[Rates],
        plan: FitPlan,
        *,
        device: torch.device,
    ) -> None:
        self.head, self.plan, self.device = head, plan, device
        self.shape = len(problems), len(candidates)
        self.weights = stack_weights(problems, torch.float32, device)
        self.parameters = {
            name: parameter.detach().to(device).expand(*self.shape, *parameter.shape).clone().requires_grad_()
            for name, parameter in head.named_parameters()
        }
        self.rates = torch.tensor([rates.lr for rates in candidates], dtype=torch.float32, device=device)
        self.decays = torch.tensor([rates.weight_decay for rates in candidates], dtype=torch.float32, device=device)
        self.state: dict[str, list[Tensor]] = {
            name: [torch.zeros_like(parameter) for _ in range(1 if plan.optimizer is Optimizer.sgd else 2)]
            for name, parameter in self.parameters.items()
        }
        self.draws = any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in head)

    def train(self, batch: Callable[[int], tuple[Tensor, Tensor]], heed: Callable[[int], None]) -> Tensor:
        """Make all steps and return the losses before each of them, (steps, P, M)."""
        # The schedules are proportional to the peak rate, so that one of peak 1 serves all candidates.
        peak = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
        schedule = build_schedule(peak, schedule=self.plan.schedule, steps=self.plan.steps, warmup=self.plan.warmup)
        losses = []
        for step in range(1, self.plan.steps + 1):
            heed(step)
            if self.draws:
                seed_generators(self.plan.seed, step, self.device)
            schedule.step_update(step)
            losses.append(self._step(step, float(peak.param_groups[0]["lr"]), *batch(step - 1)))
        return torch.stack(losses)

    def fitted(self, place: int, features: FeatureRows, validation: Positions | None, losses: Tensor) -> list[Fitted]:
        """Return the heads of a problem, with logits of its validation rows."""
        finite = losses[:, place].isfinite().all(0)
        for parameter in self.parameters.values():
            finite &= parameter[place].detach().isfinite().reshape(len(finite), -1).all(1)
        logits = None if validation is None else self._predict(place, features, validation)
        if logits is not None:
            finite = finite & logits.isfinite().flatten(1).all(1).to(finite.device)
        alive, lost = finite.tolist(), losses[:, place].T.cpu()
        return [
            Fitted(
                build=self._copy(place, index).eval,
                logits=logits[index].clone() if logits is not None and alive[index] else None,
                iterations=self.plan.steps,
                converged=alive[index],
                losses=lost[index],
            )
            for index in range(self.shape[1])
        ]

    def _step(self, step: int, factor: float, rows: Tensor, labels: Tensor) -> Tensor:
        """Make one optimiser step and return the losses before it, (P, M)."""
        logits = self._forward(rows, training=True, parameters=self.parameters)
        targets = labels[:, None].expand(logits.shape[:3])
        loss = F.cross_entropy(
            logits.flatten(0, 2), targets.flatten(), reduction="none", label_smoothing=self.plan.label_smoothing
        )
        loss = loss.view(logits.shape[:3])
        if self.weights is not None:
            loss = loss * self.weights.gather(1, labels)[:, None]
        loss = loss.mean(2)
        gradients = torch.autograd.grad(loss.sum(), list(self.parameters.values()))
        with torch.no_grad():
            self._update(step, factor, dict(zip(self.parameters, gradients, strict=True)))
        return loss.detach()

    def _forward(self, rows: Tensor, *, training: bool, parameters: dict[str, Tensor]) -> Tensor:
        """Return logits (P, M, B, K) of rows (P, B, D)."""
        values = rows[:, None]  # (P, 1, B, D) until a layer tells the candidates apart
        for index, layer in enumerate(self.head):
            if isinstance(layer, nn.Dropout):
                if training and layer.p:
                    # The mask that one head alone would draw, of one batch, for all problems and candidates. It is
                    # drawn in the order of memory, and behind a layer of many heads that is another one.
                    ones = torch.ones_like(values[0, 0], memory_format=torch.contiguous_format)
                    values = values * F.dropout(ones, layer.p)
            elif isinstance(layer, nn.Linear):
                values = _linear(values, parameters[f"{index}.weight"], parameters[f"{index}.bias"])
            elif isinstance(layer, nn.LayerNorm):
                normed = F.layer_norm(values, layer.normalized_shape, eps=layer.eps)
                values = normed * parameters[f"{index}.weight"][:, :, None] + parameters[f"{index}.bias"][:, :, None]
            elif isinstance(layer, Cosine):
                weight = F.normalize(parameters[f"{index}.weight"], dim=3)
                cosines = _linear(F.normalize(values, dim=3), weight, weight.new_zeros(weight.shape[:3]))
                learned = parameters.get(f"{index}.log_scale")
                values = cosines * (layer.scale() if learned is None else learned.exp()[:, :, None, None])
            else:
                values = layer(values)
        return values

    def _update(self, step: int, factor: float, gradients: dict[str, Tensor]) -> None:
        """Change the parameters as torch's SGD with Nesterov momentum, Adam or AdamW would."""
        if self.plan.clip_norm is not None:
            norms = [
                torch.linalg.vector_norm(gradient.reshape(*self.shape, -1), dim=2) for gradient in gradients.values()
            ]
            clip = (self.plan.clip_norm / (torch.stack(norms).norm(dim=0) + 1e-6)).clamp_max(1)
            for gradient in gradients.values():
                gradient.mul_(_like(clip, gradient))
        rates = (factor * self.rates).repeat(self.shape[0])
        decays = self.decays.repeat(self.shape[0])
        for name, parameter in self.parameters.items():
            # As timm: biases and parameters of one dimension do not decay.
            own = decays if parameter.dim() > 3 else torch.zeros_like(decays)
            heads = [parameter, gradients[name], *self.state[name]]
            for part in _parts([rates, own, *(values.flatten(0, 1) for values in heads)]):
                self._change(step, *part)

    def _change(
        self, step: int, rates: Tensor, decays: Tensor, parameter: Tensor, gradient: Tensor, *state: Tensor
    ) -> None:
        """Change a parameter of some heads, (heads, ...)."""
        rates, decays = (_like(values, parameter) for values in (rates, decays))
        if self.plan.optimizer is Optimizer.adamw:
            parameter.mul_(1 - rates * decays)
        else:
            gradient = gradient + decays * parameter
        if self.plan.optimizer is Optimizer.sgd:
            momentum = state[0].mul_(self.plan.momentum).add_(gradient)
            parameter.sub_(rates * (gradient + self.plan.momentum * momentum))
            return
        mean, square = state
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        spread = square.sqrt().div_((1 - _BETAS[1] ** step) ** 0.5).add_(_EPSILON)
        parameter.sub_(torch.div(mean, spread, out=spread).mul_(rates / (1 - _BETAS[0] ** step)))

    @torch.no_grad()
    def _predict(self, place: int, features: FeatureRows, positions: Positions) -> Tensor:
        """Return logits (M, V, K) of a problem's heads in evaluation, on the CPU."""
        own = {name: parameter[place : place + 1] for name, parameter in self.parameters.items()}
        rows = (gather(features, part)[None] for part in blocks(positions, 1024))
        return torch.cat([self._forward(part, training=False, parameters=own)[0].cpu() for part in rows], 1)

    def _copy(self, place: int, index: int) -> Head:
        head = copy.deepcopy(self.head).to(self.device)
        head.load_state_dict({name: values[place, index].detach() for name, values in self.parameters.items()})
        return head.eval()


def _linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return (P, M, B, H) of values (P, 1 or M, B, D), weight (P, M, H, D) and bias (P, M, H)."""
    if values.shape[1] == 1:  # one matrix product for all candidates
        joint = weight.flatten(1, 2) @ values[:, 0].mT
        return joint.view(*bias.shape, -1).mT + bias[:, :, None]
    return (weight @ values.mT).mT + bias[:, :, None]


def _parts(heads: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Yield tensors (heads, ...) part by part, as many heads at once as a processor's cache holds."""
    large = heads[-1]
    count = max(1, _CACHED_NUMBERS // large[0].numel()) if large.device.type == "cpu" else len(large)
    return zip(*(torch.split(values, count) for values in heads), strict=True)


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    """Return one number per head with as many dimensions as a parameter."""
    return values.reshape(*values.shape, *[1] * (parameter.dim() - values.dim()))
