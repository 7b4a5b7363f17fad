"""Floating-point operations, counted while they are done, on any device; the meta device does them in no time."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey, _dispatch_has_kernel_for_dispatch_key
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

Formula = Callable[..., Any]


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A counter of floating-point operations by torch's formulas, which never breaks or changes what it counts.

    torch's own counter puts batch norms together from other operations, which takes ten times as long, and counts each
    group of a convolution's backward pass as a whole one. A formula that fails on an operation makes the total unknown
    (None) instead of ending the training step.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted = 0
        """So far, without those that failed."""
        self._complete = True

    def total(self) -> int | None:
        """Return the operations inside the context, forward and backward, or None if some could not be counted."""
        return self.counted if self._complete else None

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do the operation; count it, or what torch itself makes of it where it is no operation of its own."""
        named = kwargs or {}
        formula = _formula(func)
        if formula is None and _is_composite(func):
            with self:
                return func._op_dk(DispatchKey.CompositeImplicitAutograd, *args, **named)
        result = func(*args, **named)
        if formula is not None:
            try:
                self.counted += int(formula(*args, **named, out_val=result))
            except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
                self._complete = False
        return result


def _formula(func: Any) -> Formula | None:
    packet = getattr(func, "_overloadpacket", func)
    return _convolved_back if packet is torch.ops.aten.convolution_backward else flop_registry.get(packet)


@functools.cache
def _is_composite(func: Any) -> bool:
    """Return whether torch itself would do something else in its place."""
    if not isinstance(func, OpOverload):
        return False
    name = func.name()  # type: ignore[no-untyped-call]
    return _dispatch_has_kernel_for_dispatch_key(name, DispatchKey.CompositeImplicitAutograd)


def _convolved_back(gradient: Tensor, images: Tensor, weight: Tensor, *rest: Any, out_val: object) -> int:
    """Return the operations of a convolution's backward pass: as many as forward for each of the two gradients."""
    *_, transposed, _, _, asked = rest
    forward = conv_flop_count(list(images.shape), list(weight.shape), list(gradient.shape), transposed=transposed)
    return int(forward * sum(asked[:2]))
