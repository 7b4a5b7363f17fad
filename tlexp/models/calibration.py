"""Random weights as a fair control: every residual branch speaks, and BatchNorm knows the images' statistics.

images (B, 3, S, S) float32 normalised, on the backbone's device.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tlexp.models.norms import keeps_statistics

CALIBRATED = 64
"""Images per chunk, at most, on every device: statistics behind the first norm depend on the company in a chunk."""
_SILENT = 0.1
"""Scales up to this size hush their branch: timm starts them at 0, 1e-6 .. 1e-4, or 0.1."""


@torch.no_grad()
def calibrate(backbone: nn.Module, chunks: Iterable[Tensor]) -> None:
    """Prepare random weights for being frozen, in place.

    Scales with which residual branches start silent (norms initialised with zero, LayerScale, skip gains) become 1.
    Running statistics become the plain mean and variance over all images, each chunk being normalised by itself.

    Args:
        backbone: With random weights.
        chunks: Images, at least two in each chunk; they are not asked for where there are no running statistics.
    """
    for scale in _silent_scales(backbone):
        nn.init.ones_(scale)
    norms = [module for module in backbone.modules() if keeps_statistics(module)]
    if not norms:
        return
    training = backbone.training
    backbone.eval()
    moments = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(moments[norm].add) for norm in norms]
    for norm in norms:
        norm.training = True  # its children, such as dropout, stay in eval
    try:
        for images in chunks:
            backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
        backbone.train(training)
    for norm in norms:
        moments[norm].settle(norm)


def _silent_scales(backbone: nn.Module) -> list[nn.Parameter]:
    """Return vectors of one small value that are no bias; tokens of the root are none of a branch's."""
    return [
        parameter
        for name, parameter in backbone.named_parameters()
        if "." in name
        and not name.endswith(("bias", "beta"))
        and 0 < parameter.numel() == max(parameter.shape, default=1)
        and float(parameter.min()) == float(parameter.max())
        and abs(float(parameter.max())) <= _SILENT
    ]


class _Moments:
    """Sums over all that a norm is given, in float64 on the CPU, for not every accelerator has it."""

    def __init__(self) -> None:
        self.count = 0
        self.total = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Count in what a norm is about to see, (B, C, ...)."""
        values = inputs[0].transpose(0, 1).flatten(1)
        variance, mean = (part.cpu().double() for part in torch.var_mean(values, 1, correction=0))
        self.count += values.shape[1]
        self.total = self.total + values.shape[1] * mean
        self.squares = self.squares + values.shape[1] * (variance + mean.square())

    def settle(self, norm: nn.Module) -> None:
        """Give a norm the statistics, the variance unbiased as torch keeps it; one that never ran keeps its own."""
        if self.count < 2:
            return
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0) * (self.count / (self.count - 1))
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.num_batches_tracked.fill_(1)  # type: ignore[union-attr]
