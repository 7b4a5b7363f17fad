"""Floating-point operations, counted while they are done, on any device; the meta device does them in no time."""

from collections.abc import Callable
from typing import Any

from torch.utils.flop_counter import FlopCounterMode


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
