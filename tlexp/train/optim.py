"""The optimiser and the schedule of its learning rate, both timm's.

timm's schedulers are the ones that honour `lr_scale`, which layer-wise decay needs; torch's ignore it silently.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_weight_decay
from timm.scheduler import CosineLRScheduler, StepLRScheduler

from tlexp.config.optim import Optimizer, Schedule
from tlexp.models.classifier import Classifier


def build_optimizer(
    classifier: Classifier,
    *,
    name: Optimizer,
    lr: float,
    weight_decay: float,
    momentum: float,
    layer_decay: float | None,
) -> torch.optim.Optimizer:
    """Return timm's optimiser over exactly the trainable parameters.

    Biases, parameters of one dimension and what the backbone exempts (position embeddings, tokens) get no weight
    decay. Momentum is Nesterov's and concerns sgd alone.

    Args:
        classifier: Its frozen parameters are in no group: weight decay and momentum would move them.
        name: adamw, adam or sgd.
        lr: Peak learning rate, that of the head.
        weight_decay: Weight decay.
        momentum: Momentum of sgd, [0, 1).
        layer_decay: Factor on the rate per unit away from the head (Bao et al. 2021, arXiv 2106.08254), or None.
    """
    groups = _decay_groups(classifier, weight_decay)
    if layer_decay is not None:
        groups = _layer_groups(groups, classifier, layer_decay)
    # torch refuses Nesterov without momentum; timm's "momentum" is the same optimiser without Nesterov.
    kind = "momentum" if name is Optimizer.sgd and momentum == 0 else name.value
    optimizer: torch.optim.Optimizer = create_optimizer_v2(groups, kind, lr=lr, momentum=momentum)
    return optimizer


def build_schedule(
    optimizer: torch.optim.Optimizer, *, schedule: Schedule, steps: int, warmup: float
) -> CosineLRScheduler | StepLRScheduler:
    """Return timm's scheduler; `step_update(step)` before step 1, 2, ..., `steps` sets that step's rates.

    The rate rises linearly to its peak at step floor(warmup * steps), or starts there; cosine then falls towards zero,
    which it would reach one step after the last, so that no step is wasted on a rate of exactly 0.
    """
    rising = int(warmup * steps)
    shared = {"warmup_t": rising, "warmup_lr_init": 0.0, "warmup_prefix": True, "t_in_epochs": False}
    if schedule is Schedule.constant:
        return StepLRScheduler(optimizer, decay_t=steps, decay_rate=1.0, **shared)
    return CosineLRScheduler(optimizer, t_initial=steps - rising + 1, lr_min=0.0, **shared)


def _decay_groups(classifier: Classifier, weight_decay: float) -> list[dict[str, Any]]:
    """Return timm's groups with and without weight decay."""
    exempt: Callable[[], Iterable[str]] = getattr(classifier.backbone, "no_weight_decay", tuple)
    names = [f"backbone.{name}" for name in exempt()]
    groups: list[dict[str, Any]] = param_groups_weight_decay(classifier, weight_decay, no_weight_decay_list=names)
    return groups


def _layer_groups(groups: list[dict[str, Any]], classifier: Classifier, decay: float) -> list[dict[str, Any]]:
    """Split groups by distance from the head, with the learning rate's factor of each as `lr_scale`."""
    layers = {id(parameter): classifier.layer_of(name) for name, parameter in classifier.trainable_parameters()}
    top = len(classifier.units)
    split = []
    for group in groups:
        by_layer: defaultdict[int, list[torch.nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            by_layer[layers[id(parameter)]].append(parameter)
        split += [
            {**group, "params": members, "lr_scale": decay ** (top - layer)} for layer, members in by_layer.items()
        ]
    return split
