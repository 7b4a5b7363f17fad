"""A device that nobody has: what would make a GPU wait is counted, what would read from it fails.

Tensors on `meta` have no numbers, so that reading one, or asking how many there are of a kind, is an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")


class Waits(TorchDispatchMode):
    """Lists the copies to another device that are waited for, and counts all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.copies, self.waited_for = 0, list[tuple[int, ...]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source, there = args[func is torch.ops.aten.copy_.default], made
            if source.device != there.device:
                self.copies += 1
                if not (kwargs.get("non_blocking") or (len(args) > 2 and args[2])):
                    self.waited_for.append(tuple(source.shape))
        return made


@contextmanager
def counting() -> Iterator[Waits]:
    """Count inside."""
    with Waits() as waits:
        yield waits
