"""The classifier: a backbone of which a part is frozen, and a head.

images (B, 3, S, S) float32 normalised -> features (B, D) float32 -> logits (B, K) float32.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.config.freeze import FreezeNorm
from tlexp.config.protocol import CHUNK
from tlexp.models.cut import Cut
from tlexp.models.digest import tensors_digest
from tlexp.models.familiarity import Familiarity
from tlexp.models.norms import STATISTICS, keeps_statistics
from tlexp.models.typicality import Typicality
from tlexp.models.units import Unit

PrefixForward = Callable[[Tensor], list[Tensor]]
"""images -> what crosses each of several cuts."""


class Classifier(nn.Module):
    """Backbone and head; what is frozen stays as it is to the bit, parameters and buffers alike.

    Frozen parameters need no gradient, so that no graph is built for a frozen prefix. Frozen modules are in eval
    always: in training mode BatchNorm would move its statistics and drop-path would be random, frozen weights or not.
    With `norm` update, the running statistics of frozen BatchNorm layers are the one exception.

    A module trains if all of its own parameters do. One that has none (dropout, drop-path, a container) trains if its
    whole unit does: what is kept of a unit stays the function that it was.

    Attributes:
        backbone: images -> features.
        head: features -> logits.
        units: The backbone's units in forward order.
        depth: How many leading units are wholly frozen, 0..len(units): what leaves them never moves.
        typicality: What tells how typical an image is of those that it learned from; None where nothing does.
        familiarity: Which images it has seen; None where nobody knows.
        norm: What the running statistics of the backbone's BatchNorm layers do in training.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        units: Sequence[Unit],
        depth: int,
        *,
        trainable: Collection[str] | None = None,
        norm: FreezeNorm = FreezeNorm.follow,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.units = tuple(units)
        self.norm = norm
        self.typicality: Typicality | None = (
            None  # no module: what counts, traces or loads the network has no part in it
        )
        self.familiarity: Familiarity | None = None
        self._entered = False
        self._layers = {name: unit.index for unit in self.units for name in unit.parameters}
        self.refreeze(depth, trainable)

    def refreeze(self, depth: int, trainable: Collection[str] | None = None) -> None:
        """Settle anew what trains; it may be called again between fits, with another depth.

        Args:
            depth: How many leading units are wholly frozen.
            trainable: Names of the backbone's parameters that train, all in the units behind the depth; None for all of
                those.
        """
        assert 0 <= depth <= len(self.units)
        behind = {name for unit in self.units[depth:] for name in unit.parameters}
        chosen = behind if trainable is None else set(trainable)
        assert chosen <= behind
        self.depth = depth
        self._cut: tuple[Cut, PrefixForward] | None = None
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(name in chosen)
            if name not in chosen:
                parameter.grad = None
        modules = dict(self.backbone.named_modules())
        pinned = {name for unit in self.units for name in _pinned(unit, modules, chosen)}
        norms = {name for name, module in modules.items() if keeps_statistics(module)}
        self._updated = norms & pinned if self.norm is FreezeNorm.update else set()
        kept = norms if self.norm is FreezeNorm.keep else set()
        # A tuple of modules is not registered, so the state keeps one name per tensor.
        self._still = tuple(modules[name] for name in (pinned | kept) - self._updated)
        self._frozen = self._scope(chosen, pinned, kept)
        self.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return features (B, D) float32: all that a head sees of the images."""
        if self.depth == len(self.units):
            return images.float() if self._entered else self._frozen_features(images)
        if self._cut is None:
            features: Tensor = self.backbone(images)
            return features.float()
        cut, prefix = self._cut
        if not self._entered:
            [images] = in_chunks(prefix, images)
        return cut.suffix(images, training=self.training).float()

    def split(self, cut: Cut, prefix: PrefixForward) -> None:
        """Compute features in two parts from now on: the frozen prefix in chunks, and the suffix from what crosses.

        Args:
            cut: Behind the frozen units.
            prefix: images -> rows of that cut alone.
        """
        assert cut.depth == self.depth
        self._cut = cut, prefix

    def behind_cut(self) -> Self:
        """Return this very network, entered behind its cut, or behind all its units where they are frozen.

        It takes rows (B, D) in place of images: what crosses, or the features.
        """
        assert self._cut is not None or self.depth == len(self.units)
        entered = copy.copy(self)
        entered._entered = True
        return entered

    def train(self, mode: bool = True) -> Self:
        """Set the mode of head and trainable modules; what is frozen stays in eval, but for updated statistics."""
        super().train(mode)
        for module in self._still:
            module.training = False
        return self

    def frozen_digest(self, hashed: Callable[[Mapping[str, Tensor]], str] = tensors_digest) -> str:
        """Return the sha256 of all frozen parameters and buffers; equal before and after training.

        With `norm` update, the running statistics of frozen BatchNorm layers move and are left out.

        Args:
            hashed: Gives the digest of named tensors of the backbone, e.g. one that it knows already.
        """
        tensors = dict([*self.backbone.named_parameters(), *self.backbone.named_buffers()])
        return hashed({name: tensors[name] for name in self._frozen})

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

    def _scope(self, chosen: set[str], pinned: set[str], kept: set[str]) -> list[str]:
        """Return the names of all that is frozen: parameters, the buffers of pinned modules, and statistics to keep.

        Other buffers of a unit that trains as a whole are left out, for they may move there without a pinned module.
        """
        moving = {f"{name}.{statistic}" for name in self._updated for statistic in STATISTICS}
        frozen = []
        for unit in self.units:
            names = [name for name in unit.parameters if name not in chosen]
            frozen += names
            still = {"", *pinned, *kept} if names else kept
            frozen += [name for name in unit.buffers if _owner(name) in still and name not in moving]
        return frozen

    def _frozen_features(self, images: Tensor) -> Tensor:
        """Run in chunks; where statistics are updated the batch passes as it is, for zeros must not count in them."""
        with torch.no_grad():
            if self.training and self._updated:
                features: Tensor = self.backbone(images)
                return features.float()
        [features] = in_chunks(lambda chunk: [self.backbone(chunk)], images)
        return features.float()


@torch.no_grad()
def in_chunks(prefix: PrefixForward, images: Tensor) -> list[Tensor]:
    """Return what a network in evaluation makes of rows, on the CPU in chunks of one size, the last filled with zeros.

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


def units_tensors(backbone: nn.Module, units: Sequence[Unit]) -> dict[str, Tensor]:
    """Return all parameters and buffers of units, by their names in the backbone."""
    tensors = dict([*backbone.named_parameters(), *backbone.named_buffers()])
    return {name: tensors[name] for unit in units for name in (*unit.parameters, *unit.buffers)}


def _pinned(unit: Unit, modules: Mapping[str, nn.Module], chosen: Collection[str]) -> set[str]:
    """Return the modules of a unit that stay in eval.

    They have a parameter of their own that is frozen, or have none and the unit does not train as a whole.
    """
    whole = all(name in chosen for name in unit.parameters)
    pinned = set()
    for path in unit.modules:
        own = [f"{path}.{name}".lstrip(".") for name, _ in modules[path].named_parameters(recurse=False)]
        if not (all(name in chosen for name in own) if own else whole):
            pinned.add(path)
    return pinned


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
