"""A forward pass on the meta device: shapes, the order of use and operations, without values, memory or time.

images (2, 3, S, S) -> features (2, D). The backbone may be real or on the meta device itself and is left as it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from tlexp.models.operations import OperationCounter

_FORMAT: dict[Any, dict[str, Any]] = {F.batch_norm: {}, F.layer_norm: {"memory_format": torch.contiguous_format}}
"""How the results of normalisations lie in memory. Torch itself finds that by doing all their arithmetic."""


class Rehearsal(TorchFunctionMode):
    """What happened when, in ticks: modules starting, parameters and buffers used, tensors made and consumed.

    Attributes:
        features: What the backbone returned.
        started: Module name -> tick of its first call.
        used: Parameter or buffer name -> tick of its first use in a computation.
        operations: Tick -> multiply-adds of one image then; what torch has no formula for counts as none.
    """

    def __init__(self, backbone: nn.Module, *, image_size: int) -> None:
        """Run the backbone once.

        Args:
            backbone: The backbone.
            image_size: Side of the square input in pixels.
        """
        super().__init__()
        places = _places(backbone)
        made = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in places.values()}
        stand_ins = {name: made[id(tensor)] for name, tensor in places.items()}
        # Two images, because some architectures squeeze a batch of one.
        images = torch.empty(2, 3, image_size, image_size, device="meta")
        self.started: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.operations: dict[int, int] = {}
        self._counter = OperationCounter()
        self._names = {id(tensor): name for name, tensor in reversed(stand_ins.items())}
        self._modules = {id(module): name for name, module in backbone.named_modules()}
        self._tick = 0
        self._alive: list[Any] = [images]  # an id is only a name while its tensor lives
        self._made = {id(images): 0}
        self._consumed = {id(images): 0}
        self._by_id: dict[int, Tensor] = {id(images): images}
        hook = register_module_forward_pre_hook(self._note_start)
        try:
            with _evaluating(backbone), torch.no_grad(), torch.device("meta"), self._counter, self:
                self.features: Any = functional_call(backbone, stand_ins, (images,), tie_weights=False)
        finally:
            hook.remove()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function and note what it used and made; questions about shapes make no tensor and do not count."""
        before = self._counter.counted
        named = kwargs or {}
        result = torch.empty_like(args[0], **_FORMAT[func]) if _keeps_shape(func, args, named) else func(*args, **named)
        made = _tensors(args[0] if func is Tensor.__setitem__ else result)
        if made:
            self._tick += 1
            self._note_call(_tensors((args, kwargs)), made)
            # Two for each multiplication that is added to a sum, of two images.
            self.operations[self._tick] = (self._counter.counted - before) // 4
        return result

    def crossing(self, tick: int) -> list[tuple[int, ...]]:
        """Return the shapes (2, ...) of what was made of the images before the tick and is used from it on."""
        return [
            tuple(self._by_id[key].shape)
            for key, made in self._made.items()
            if made < tick <= self._consumed.get(key, -1)
        ]

    def _note_start(self, module: nn.Module, _: object) -> None:
        self._tick += 1
        name = self._modules.get(id(module))
        if name is not None:
            self.started.setdefault(name, self._tick)

    def _note_call(self, inputs: list[Tensor], made: list[Tensor]) -> None:
        self._alive += made
        for tensor in inputs:
            name = self._names.get(id(tensor))
            if name is not None:
                self.used.setdefault(name, self._tick)
        if any(id(tensor) in self._made for tensor in inputs):
            self._consumed.update((id(tensor), self._tick) for tensor in inputs)
            for tensor in made:
                self._made.setdefault(id(tensor), self._tick)
                self._by_id[id(tensor)] = tensor


def _keeps_shape(func: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Return whether a function is a normalisation that fits its input."""
    if func is F.layer_norm:
        shape = tuple(args[1] if len(args) > 1 else named["normalized_shape"])
        return tuple(args[0].shape[-len(shape) :]) == shape
    return func is F.batch_norm and all(tensor.numel() == args[0].shape[1] for tensor in _tensors((args[1:], named)))


def _places(backbone: nn.Module) -> dict[str, Tensor]:
    """Return each place of a parameter or buffer once, by its first name; a tensor may have several places.

    A module with two names is one place: swapping its tensors once for each name would leave the stand-ins there.
    """
    return {
        f"{name}.{each}".lstrip("."): tensor
        for name, module in backbone.named_modules()
        for each, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None
    }


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put every module into eval for a while and give each its own mode back."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
