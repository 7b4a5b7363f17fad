"""Normalisation layers: which modules are, and which keep running statistics as BatchNorm does."""

from torch import nn

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Their buffers that move in training mode, whether or not the parameters are frozen."""

_TORCH = (
    nn.modules.batchnorm._NormBase,  # BatchNorm and InstanceNorm of any dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
_TIMM = {
    f"timm.layers.{name}"
    for name in ("evo_norm", "filter_response_norm", "grn", "inplace_abn", "norm", "norm_act", "split_batchnorm")
}
"""Where timm defines norms and nothing else; RmsNorm, SimpleNorm, EvoNorm and their kin have no common base."""


def is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises, by its type: torch's norms, timm's, and what is derived from either."""
    return isinstance(module, _TORCH) or any(each.__module__ in _TIMM for each in type(module).__mro__)


def keeps_statistics(module: nn.Module) -> bool:
    """Return whether a module normalises by the batch in training and by its running statistics in evaluation."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
