"""Mixing of the images and labels of a batch: mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899), torchvision's."""

from collections.abc import Callable

import torch
from torchvision.transforms import v2

Mix = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def build_mix(*, mixup: float, cutmix: float, num_classes: int) -> Mix:
    """Return a function of images (B, 3, S, S) float32 and labels (B,) int64, drawing from torch's global generator.

    It gives mixed images and targets (B, K) float32; with both kinds each batch takes one of them at even odds, with
    none the batch passes as it is.

    Args:
        mixup: Alpha of mixup's Beta distribution, 0 = off.
        cutmix: Alpha of CutMix's Beta distribution, 0 = off.
        num_classes: K.
    """
    kinds: list[Mix] = []
    if mixup:
        kinds.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
    if cutmix:
        kinds.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))
    if not kinds:
        return lambda images, labels: (images, labels)
    mix: Mix = v2.RandomChoice(kinds) if len(kinds) > 1 else kinds[0]
    return mix
