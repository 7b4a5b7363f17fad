"""What a fit takes of the machine: floating-point operations and memory."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

if sys.platform != "win32":
    import resource


class OperationCounter(FlopCounterMode):
    """torch's counter of floating-point operations, which here never breaks what it counts.

    A formula that fails on an operation makes the total unknown (None) instead of ending the training step.
    """

    def __init__(self) -> None:
        super().__init__(display=False)
        self._complete = True
        self.flop_registry = {name: self._tolerant(formula) for name, formula in self.flop_registry.items()}

    def total(self) -> int | None:
        """Return the operations inside the context, forward and backward, or None if some could not be counted."""
        return int(self.get_total_flops()) if self._complete else None

    def _tolerant(self, formula: Callable[..., Any]) -> Callable[..., int]:
        def counted(*args: Any, **kwargs: Any) -> int:
            try:
                return int(formula(*args, **kwargs))
            except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
                self._complete = False
                return 0

        return counted


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement of peak memory where the device can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """Return the peak of allocated CUDA memory since `reset_peak`; elsewhere the process's peak resident memory.

    None where the operating system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB, macOS in bytes
