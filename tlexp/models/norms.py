"""Normalisation layers that keep running statistics: those of BatchNorm and its descendants."""

from torch import nn

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Their buffers that move in training mode, whether or not the parameters are frozen."""


def keeps_statistics(module: nn.Module) -> bool:
    """Return whether a module normalises by the batch in training and by its running statistics in evaluation."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
