"""Backbones for whole runs of tests: those that are built alike are built once and copied.

Building takes half of a small run. What it makes is tested where it is defined, without this.
"""

import sys
from copy import deepcopy
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from tlexp.models import Unit, build_backbone, find_units

LARGEST = 10_000_000
"""Parameters of a network that is kept for the next."""
_BUILT: dict[str, nn.Module] = {}
_UNITS: dict[tuple[str, int], tuple[Unit, ...]] = {}
_SHAPES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""How a copy was built, but for what drew its values."""


def share() -> None:
    """Let runs, plans and exports take copies."""
    for name in ("tlexp.experiment.build", "tlexp.models.export"):
        module: Any = sys.modules[name]
        module.build_backbone, module.find_units = copied, known


def copied(name: str, **options: Any) -> nn.Module:
    """Return what `build_backbone` does."""
    shape = f"{name} {sorted((key, value) for key, value in options.items() if key != 'seed')}"
    way = shape if options.get("meta") else f"{shape} {options.get('seed')}"  # which has no values that a seed draws
    made = deepcopy(_BUILT[way]) if way in _BUILT else build_backbone(name, **options)
    _SHAPES[made] = shape
    small = options.get("meta") or sum(each.numel() for each in made.parameters()) <= LARGEST
    if small and way not in _BUILT:
        _BUILT[way] = deepcopy(made)
    return made


def known(backbone: nn.Module, *, image_size: int) -> tuple[Unit, ...]:
    """Return what `find_units` does of a backbone that has just been built."""
    place = _SHAPES[backbone], image_size
    if place not in _UNITS:
        _UNITS[place] = find_units(backbone, image_size=image_size)
    return _UNITS[place]
