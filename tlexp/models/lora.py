"""Low-rank adapters (LoRA: Hu et al. 2021, arXiv 2106.09685), made by peft, beside a backbone's frozen layers.

A layer with weight W gives W x + (alpha / rank) B A x, in which A and B alone train. B begins at zero, so the adapted
network begins as the plain one.
"""

import copy
import importlib.util
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from tlexp.errors import ConfigError
from tlexp.models.rehearsal import Rehearsal
from tlexp.models.seeds import drawn_from
from tlexp.models.units import STEM, Unit

_ADAPTED = "_adapted_layers"
"""Attribute of an adapted backbone: the names of its adapted layers."""
_BASE = "base_layer"
"""What peft calls the frozen layer inside an adapted one."""


def adaptable_layers(backbone: nn.Module, units: Sequence[Unit], *, name: str, image_size: int) -> tuple[str, ...]:
    """Return the names of the layers that get an adapter: linear and convolutional ones behind the stem, by type.

    Left out are subclasses that compute something else (weights that are standardised, padding of its own), grouped
    and dilated convolutions, which peft cannot merge, and layers whose weight the network reads without calling them.

    Args:
        backbone: As built, real or on the meta device.
        units: Its units in forward order.
        name: Its name, for messages.
        image_size: Side of the square input in pixels.

    Raises:
        ConfigError: peft is missing, or there is no such layer.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("freeze=lora needs the package peft, which is not installed: pip install 'tlexp[lora]'")
    called = Rehearsal(backbone, image_size=image_size).started
    modules = dict(backbone.named_modules())
    found = tuple(
        path
        for unit in units
        if unit.name != STEM
        for path in unit.modules
        if path in called and _adaptable(modules[path])
    )
    if not found:
        raise ConfigError(
            f"freeze=lora: {name} has no plain linear or convolutional layer behind its stem: use freeze=last, or "
            "another backbone"
        )
    return found


def _adaptable(module: nn.Module) -> bool:
    if type(module) is nn.Linear:
        return True
    if type(module) is not nn.Conv2d:
        return False
    return module.groups == 1 and module.padding_mode == "zeros" and tuple(module.dilation) == (1, 1)


def adapt(
    backbone: nn.Module, units: Sequence[Unit], layers: Collection[str], *, rank: int, alpha: float, seed: int
) -> tuple[nn.Module, tuple[Unit, ...], frozenset[str]]:
    """Return the backbone with adapters, its units, and the names of the adapters' parameters, which train.

    The backbone that is given stays as it is; the adapted one shares all its tensors. What stands in an adapted layer
    belongs to the layer's unit.

    Args:
        backbone: As built and loaded.
        units: Its units in forward order.
        layers: Those of `adaptable_layers`.
        rank: Rank of each adapter.
        alpha: Adapters count alpha / rank times.
        seed: Draws A; B is zero.
    """
    from peft import LoraConfig, inject_adapter_in_model  # lazy: an optional package, and slow to import

    tensors = [*backbone.parameters(), *backbone.buffers()]
    adapted = copy.deepcopy(backbone, {id(tensor): tensor for tensor in tensors})
    options = LoraConfig(r=rank, lora_alpha=alpha, target_modules="|".join(map(re.escape, sorted(layers))))
    with drawn_from(seed):
        inject_adapter_in_model(options, adapted)
    adapted.__dict__[_ADAPTED] = tuple(sorted(layers))
    trained = {name for name, _ in adapted.named_parameters() if _inside(name, layers, "lora_")}
    return adapted, tuple(_renamed(unit, adapted, layers) for unit in units), frozenset(trained)


def _renamed(unit: Unit, adapted: nn.Module, layers: Collection[str]) -> Unit:
    """Return the unit with the names that parameters and modules have in the adapted backbone."""
    own = set(layers).intersection(unit.modules)

    def now(before: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
        kept = {name for name in before if not _inside(name, own)}
        return tuple(name for name in names if name in kept or _inside(name, own))

    return replace(
        unit,
        parameters=now(unit.parameters, [name for name, _ in adapted.named_parameters()]),
        modules=now(unit.modules, [name for name, _ in adapted.named_modules()]),
    )


def _inside(name: str, layers: Collection[str], start: str = "") -> bool:
    """Return whether a name stands below one of the layers, its part there beginning as stated."""
    parts = name.split(".")
    return any(".".join(parts[:end]) in layers and parts[end].startswith(start) for end in range(1, len(parts)))


def merged_state(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the state of the plain architecture, with adapters, where there are any, added to the weights."""
    state: dict[str, Tensor] = backbone.state_dict()
    for layer in backbone.__dict__.get(_ADAPTED, ()):
        inside = {name: state.pop(name) for name in [*state] if name.startswith(f"{layer}.")}
        base = f"{layer}.{_BASE}."
        state |= {f"{layer}.{name.removeprefix(base)}": inside[name] for name in inside if name.startswith(base)}
        adapted: Any = backbone.get_submodule(layer)
        delta: Tensor = adapted.get_delta_weight("default")
        state[f"{layer}.weight"] = state[f"{layer}.weight"] + delta.detach()
    return state
