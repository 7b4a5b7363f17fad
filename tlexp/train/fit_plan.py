"""What a fit needs to know, and what it reports.

logits (V, K) float32; labels (V,) int64.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from tlexp.arrays import Labels, Logits
from tlexp.config.optim import Optimizer, Schedule
from tlexp.train.balance import PerClass


@dataclass(frozen=True, kw_only=True)
class FitPhase:
    """A part of a fit with its own freeze depth and its own schedule, from warm-up to the end of the cosine.

    One schedule over all phases would leave the units that thaw last only its end, where the rate nears zero. So each
    phase is trained as the wholly frozen or wholly trained fit that it is alone, like the cycle per thaw of ULMFiT's
    authors (Howard and Ruder 2018, arXiv 1801.06146).

    Attributes:
        steps: Optimiser steps, at least 1.
        depth: How many leading units are frozen; at most as many as in the phase before.
        lr: Peak learning rate in place of the plan's, or None.
        weight_decay: Weight decay in place of the plan's, or None.
    """

    steps: int
    depth: int
    lr: float | None = None
    weight_decay: float | None = None


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """All that a fit needs besides network and images.

    Attributes:
        steps: Optimiser steps.
        num_classes: Width K of the logits.
        seed: Drives dropout, drop-path and mixing.
        optimizer: adamw, adam or sgd.
        lr: Peak learning rate.
        weight_decay: Weight decay.
        momentum: Momentum of sgd.
        layer_decay: Factor on the learning rate per unit away from the head, or None.
        schedule: cosine or constant.
        warmup: Fraction of the steps with a rising rate.
        clip_norm: Largest gradient norm, or None.
        label_smoothing: Label smoothing, [0, 1).
        mixup: Alpha of mixup, 0 = off.
        cutmix: Alpha of CutMix, 0 = off.
        autocast: Dtype of autocast, or None.
        compile: Whether torch.compile compiles the network, from the second step on.
        channels_last: Whether the network is laid out channels-last, as the batches should be.
        class_weights: Of each class in the loss, (K,); none where all images count the same.
        phases: Parts whose steps add up to all of them; none stated for one with what the classifier freezes.
    """

    steps: int
    num_classes: int
    seed: int
    optimizer: Optimizer
    lr: float
    weight_decay: float
    momentum: float
    layer_decay: float | None
    schedule: Schedule
    warmup: float
    clip_norm: float | None
    label_smoothing: float
    mixup: float
    cutmix: float
    autocast: torch.dtype | None
    compile: bool
    channels_last: bool
    class_weights: PerClass = ()
    phases: tuple[FitPhase, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What a fit took and how it went.

    Attributes:
        steps: Optimiser steps.
        seconds: Seconds of training, without those for checkpoints; interrupted parts are added up.
        images_per_second: Of training alone, without the steps that warm up or compile where there are others.
        flops: Floating-point operations of all steps, forward and backward; None where they cannot be counted.
        peak_bytes: Peak CUDA memory of the run up to its end, elsewhere of the process; None where it is not told.
        curve: Points (step, name, value) of loss and lr at up to about 200 steps, the first and the last among them.
        converged: Whether a head that is solved met its tolerance; optimiser steps have none.
        phases: Of each phase: steps, depth, lr and weight_decay, and the digest of what it froze, before and after.
    """

    steps: int
    seconds: float
    images_per_second: float
    flops: int | None
    peak_bytes: int | None
    curve: list[tuple[int, str, float]]
    converged: bool = True
    phases: list[dict[str, Any]] = field(default_factory=list)


FoldFit = tuple[FitReport, Logits, Labels]
"""What a fit on a fold gives: what it took, and logits and labels of the validation part."""
