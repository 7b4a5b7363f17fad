"""The classifier: a backbone of which the leading units are frozen, and a head.

images (B, 3, S, S) float32 normalised -> features (B, D) float32 -> logits (B, K) float32.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.config.freeze import FreezeNorm
from tlexp.models.cut import Cut
from tlexp.models.digest import tensors_digest
from tlexp.models.norms import STATISTICS, keeps_statistics
from tlexp.models.units import Unit

CHUNK = 32

Prefix = Callable[[Tensor], list[Tensor]]
"""images -> what crosses each of several cuts."""


class Classifier(nn.Module):
    """Backbone and head; what is frozen stays as it is to the bit, parameters and buffers alike.

    Frozen parameters need no gradient, so that no graph is built for a frozen prefix. Frozen modules are in eval
    always: in training mode BatchNorm would move its statistics and drop-path would be random, frozen weights or not.
    With `norm` update, the running statistics of frozen BatchNorm layers are the one exception.

    Attributes:
        backbone: images -> features.
        head: features -> logits.
        units: The backbone's units in forward order.
        depth: How many leading units are frozen, 0..len(units).
        norm: What the running statistics of the backbone's BatchNorm layers do in training.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        units: Sequence[Unit],
        depth: int,
        *,
        norm: FreezeNorm = FreezeNorm.follow,
    ) -> None:
        super().__init__()
        assert 0 <= depth <= len(units)
        self.backbone = backbone
        self.head = head
        self.units = tuple(units)
        self.depth = depth
        self.norm = norm
        self._cut: tuple[Cut, Prefix] | None = None
        self._entered = False
        parameters, modules = dict(backbone.named_parameters()), dict(backbone.named_modules())
        for unit in self.units:
            for name in unit.parameters:
                parameters[name].requires_grad_(unit.index >= depth)
        frozen = [name for unit in self.units[:depth] for name in unit.modules]
        norms = {name for name, module in modules.items() if keeps_statistics(module)}
        self._updated = norms.intersection(frozen) if norm is FreezeNorm.update else set()
        kept = norms if norm is FreezeNorm.keep else set()
        # A tuple of modules is not registered, so the state keeps one name per tensor.
        self._still = tuple(modules[name] for name in {*frozen, *kept} - self._updated)
        self._layers = {name: unit.index for unit in self.units for name in unit.parameters}
        self.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return features (B, D) float32: all that a head sees of the images."""
        if self.depth == len(self.units):
            return self._frozen_features(images)
        if self._cut is None:
            features: Tensor = self.backbone(images)
            return features.float()
        cut, prefix = self._cut
        if not self._entered:
            [images] = in_chunks(prefix, images)
        return cut.suffix(images, training=self.training).float()

    def split(self, cut: Cut, prefix: Prefix) -> None:
        """Compute features in two parts from now on: the frozen prefix in chunks, and the suffix from what crosses.

        Args:
            cut: Behind the frozen units.
            prefix: images -> rows of that cut alone.
        """
        assert cut.depth == self.depth
        self._cut = cut, prefix

    def behind_cut(self) -> Self:
        """Return this very network, entered behind its cut: it takes rows (B, D) in place of images."""
        assert self._cut is not None
        entered = copy.copy(self)
        entered._entered = True
        return entered

    def train(self, mode: bool = True) -> Self:
        """Set the mode of head and trainable units; what is frozen stays in eval, but for statistics to be updated."""
        super().train(mode)
        for module in self._still:
            module.training = False
        return self

    def frozen_digest(self) -> str:
        """Return the sha256 of all frozen parameters and buffers; equal before and after training.

        With `norm` update, the running statistics of frozen BatchNorm layers move and are left out.
        """
        parameters, buffers = dict(self.backbone.named_parameters()), dict(self.backbone.named_buffers())
        for name in self._updated:
            for statistic in STATISTICS:
                buffers.pop(f"{name}.{statistic}", None)
        frozen = self.units[: self.depth]
        return tensors_digest(
            {name: parameters[name] for unit in frozen for name in unit.parameters}
            | {name: buffers[name] for unit in frozen for name in unit.buffers if name in buffers}
        )

    def trainable_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Return name and parameter of all that trains, the backbone's first."""
        return [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    def layer_of(self, name: str) -> int:
        """Return the distance class of a parameter for layer-wise decay: its unit's index, len(units) for the head.

        Args:
            name: A name of `named_parameters()`, so backbone.* or head.*.
        """
        part, _, rest = name.partition(".")
        return self._layers[rest] if part == "backbone" else len(self.units)

    def _frozen_features(self, images: Tensor) -> Tensor:
        """Run in chunks; where statistics are updated the batch passes as it is, for zeros must not count in them."""
        with torch.no_grad():
            if self.training and self._updated:
                features: Tensor = self.backbone(images)
                return features.float()
        [features] = in_chunks(lambda chunk: [self.backbone(chunk)], images)
        return features.float()


@torch.no_grad()
def in_chunks(prefix: Prefix, images: Tensor) -> list[Tensor]:
    """Return what a frozen prefix makes of images, on the CPU in chunks of one size, the last filled with zeros.

    Kernels choose their order of summing by batch size, so only then a row's bits do not depend on its neighbours.
    Accelerators promise no bits, so they take the batch as it is.
    """
    if images.device.type != "cpu":
        return prefix(images)
    chunks = []
    for rows in torch.split(images, CHUNK):
        missing = CHUNK - len(rows)
        filled = F.pad(rows, (*(0, 0) * (rows.ndim - 1), 0, missing)) if missing else rows
        chunks.append([made[: len(rows)] for made in prefix(filled)])
    return [torch.cat(parts) for parts in zip(*chunks, strict=True)]


def units_digest(backbone: nn.Module, units: Sequence[Unit]) -> str:
    """Return the sha256 of all parameters and buffers of units."""
    tensors = dict([*backbone.named_parameters(), *backbone.named_buffers()])
    return tensors_digest({name: tensors[name] for unit in units for name in (*unit.parameters, *unit.buffers)})
