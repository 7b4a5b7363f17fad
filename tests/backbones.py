"""Backbones for whole runs of tests: those that are built alike are built once and copied.

Building takes half of a small run. What it makes is tested where it is defined, without this.
"""

import sys
from copy import deepcopy
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from tlexp.models import Unit, build_backbone, find_units

_BUILT: dict[str, nn.Module] = {}
_UNITS: dict[tuple[str, int], tuple[Unit, ...]] = {}
_WAYS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""How a copy was built."""


def share() -> None:
    """Let runs, plans and exports take copies."""
    for name in ("tlexp.experiment.build", "tlexp.models.export"):
        module: Any = sys.modules[name]
        module.build_backbone, module.find_units = copied, known


def copied(name: str, **options: Any) -> nn.Module:
    """Return what `build_backbone` does."""
    way = f"{name} {sorted(options.items())}"
    if way not in _BUILT:
        _BUILT[way] = build_backbone(name, **options)
    copy = deepcopy(_BUILT[way])
    _WAYS[copy] = way
    return copy


def known(backbone: nn.Module, *, image_size: int) -> tuple[Unit, ...]:
    """Return what `find_units` does of a backbone that has just been built."""
    place = _WAYS[backbone], image_size
    if place not in _UNITS:
        _UNITS[place] = find_units(backbone, image_size=image_size)
    return _UNITS[place]
