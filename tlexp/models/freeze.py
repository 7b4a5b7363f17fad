"""The freeze policy, resolved to what trains of one backbone."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from tlexp.config.depth import parse_depth, resolve_depth
from tlexp.config.freeze import FreezeBy, FreezePolicy
from tlexp.errors import ConfigError
from tlexp.models.lora import adaptable_layers
from tlexp.models.norms import is_norm
from tlexp.models.units import NECK, Unit


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """What trains of a backbone.

    Attributes:
        depth: How many leading units are wholly frozen; what leaves them never moves.
        trainable: The names of the backbone's parameters that train, all in the units behind the depth.
        adapted: The names of its layers beside which low-rank adapters train, all in the units behind the depth.
    """

    depth: int
    trainable: frozenset[str] = frozenset()
    adapted: tuple[str, ...] = ()

    @classmethod
    def behind(cls, depth: int, units: Sequence[Unit]) -> "Freezing":
        """Return the one in which all units behind a depth train."""
        return cls(depth=depth, trainable=frozenset(name for unit in units[depth:] for name in unit.parameters))

    def shares(self, units: Sequence[Unit]) -> tuple[float, float]:
        """Return which shares of the backbone's parameters and of its operations stand in front of the depth, [0, 1].

        Nothing is frozen of a backbone without parameters.
        """
        frozen = units[: self.depth]
        parameters = sum(unit.size for unit in frozen) / max(1, sum(unit.size for unit in units))
        operations = sum(unit.operations for unit in frozen) / max(1, sum(unit.operations for unit in units))
        return parameters, operations

    def keeps(self, units: Sequence[Unit]) -> bool:
        """Return whether any parameter of the backbone stays as it is."""
        return any(name not in self.trainable for unit in units for name in unit.parameters)

    def frozen_units(self, units: Sequence[Unit]) -> list[str]:
        """Return the names of the units of which nothing trains."""
        moving = self.trainable.union(self.adapted)
        return [unit.name for unit in units if moving.isdisjoint((*unit.parameters, *unit.modules))]


def frozen_told(depth: int, units: int, *, parameters: float, operations: float) -> str:
    """Return in words how much a depth freezes.

    >>> frozen_told(3, 5, parameters=0.06, operations=0.55)
    "3 of 5 units: 6.0 % of the backbone's parameters, 55.0 % of its operations"
    """
    shares = f"{100 * parameters:.1f} % of the backbone's parameters, {100 * operations:.1f} % of its operations"
    return f"{depth} of {units} units: {shares}"


def resolve_freezing(
    policy: FreezePolicy,
    backbone: nn.Module,
    units: Sequence[Unit],
    *,
    name: str,
    image_size: int,
    depth: str | None = None,
    by: FreezeBy = FreezeBy.units,
    named: Sequence[str] = (),
) -> Freezing:
    """Return what trains under a policy.

    Args:
        policy: Which.
        backbone: As built, real or on the meta device.
        units: Its units in forward order.
        name: Its name, for messages.
        image_size: Side of the square input in pixels.
        depth: With the policy depth, as for `freeze_depth`.
        by: What a fraction is measured by.
        named: With the policy surgical, the names of the units that train.

    Raises:
        ConfigError: The backbone does not have what the policy asks for, or a package is missing.
    """
    if policy is FreezePolicy.lora:
        layers = adaptable_layers(backbone, units, name=name, image_size=image_size)
        return Freezing(depth=_first(units, layers), adapted=layers)
    if policy is FreezePolicy.surgical:
        return _named(units, named, name)
    if policy is FreezePolicy.norm:
        return _parts(units, _norm_parameters(backbone), policy, name, "scale or shift in any normalisation layer")
    if policy is FreezePolicy.bias:
        return _parts(units, _biases(backbone), policy, name, "bias")
    return Freezing.behind(freeze_depth(policy, depth, units, backbone=name, by=by), units)


def freeze_depth(
    policy: FreezePolicy, depth: str | None, units: Sequence[Unit], *, backbone: str, by: FreezeBy = FreezeBy.units
) -> int:
    """Return how many leading units are frozen.

    Args:
        policy: none = 0, all = every unit, last = all but the last stage or block and what runs after it, depth = as
            stated, those with phases = 0 in the end.
        depth: With the policy depth: a count, a fraction, `all` or a unit's name.
        units: The backbone's units in forward order.
        backbone: Its name, for the message.
        by: What a fraction is measured by.

    Raises:
        ConfigError: The depth cannot be read, is out of range or names no unit; the message lists the units.
    """
    names = [unit.name for unit in units]
    if policy is FreezePolicy.none or policy.phased:
        return 0
    if policy is FreezePolicy.all:
        return len(names)
    if policy is FreezePolicy.last:
        return max(0, len(names) - (2 if names[-1:] == [NECK] else 1))
    if depth is None:
        raise ConfigError(f"freeze.depth is missing: {backbone} has units 0..{len(names)} ({', '.join(names)})")
    counted = {
        FreezeBy.parameters: [unit.size for unit in units],
        FreezeBy.operations: [unit.operations for unit in units],
    }
    try:
        return resolve_depth(parse_depth(depth), names, backbone=backbone, sizes=counted.get(by, ()))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _named(units: Sequence[Unit], named: Sequence[str], backbone: str) -> Freezing:
    """Return the one in which the named units train."""
    known = [unit.name for unit in units]
    problems = []
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            problems.append(
                f"freeze.units: {name} is not a unit of {backbone}"
                + (f" (did you mean {' or '.join(near)}?)" if near else "")
                + f"; its units are {', '.join(known)}"
            )
    if problems:
        raise ConfigError(problems)
    chosen = [name for unit in units if unit.name in named for name in unit.parameters]
    return Freezing(depth=_first(units, chosen), trainable=frozenset(chosen))


def _parts(
    units: Sequence[Unit], chosen: Collection[str], policy: FreezePolicy, backbone: str, missing: str
) -> Freezing:
    """Return the one in which these parameters train, of which there must be some."""
    if not chosen:
        raise ConfigError(f"freeze={policy}: {backbone} has no {missing}: use freeze=last, or another backbone")
    return Freezing(depth=_first(units, chosen), trainable=frozenset(chosen))


def _first(units: Sequence[Unit], names: Iterable[str]) -> int:
    """Return the index of the first unit with one of the names among its parameters or modules."""
    wanted = set(names)
    holding = (unit.index for unit in units if not wanted.isdisjoint((*unit.parameters, *unit.modules)))
    return next(holding, len(units))


def _norm_parameters(backbone: nn.Module) -> list[str]:
    """Return the parameters of normalisation layers, which are known by their type."""
    return [
        f"{path}.{name}".lstrip(".")
        for path, module in backbone.named_modules()
        if is_norm(module)
        for name, _ in module.named_parameters(recurse=False)
    ]


def _biases(backbone: nn.Module) -> list[str]:
    """Return vectors that are called bias, q_bias or bias_hh; tables of position biases are none."""
    named = backbone.named_parameters()
    return [name for name, each in named if each.ndim == 1 and "bias" in name.rpartition(".")[2].split("_")]
