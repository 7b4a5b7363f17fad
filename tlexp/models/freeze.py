"""The freeze policy, resolved to what trains of one backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

from tlexp.config.depth import parse_depth, resolve_depth
from tlexp.config.freeze import FreezePolicy
from tlexp.errors import ConfigError
from tlexp.models.units import NECK, Unit


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """What trains of a backbone.

    Attributes:
        depth: How many leading units are wholly frozen; what leaves them never moves.
        trainable: The names of the backbone's parameters that train, all in the units behind the depth.
    """

    depth: int
    trainable: frozenset[str]

    @classmethod
    def behind(cls, depth: int, units: Sequence[Unit]) -> "Freezing":
        """Return the one in which all units behind a depth train."""
        return cls(depth=depth, trainable=frozenset(name for unit in units[depth:] for name in unit.parameters))


def resolve_freezing(policy: FreezePolicy, units: Sequence[Unit], *, depth: str | None, backbone: str) -> Freezing:
    """Return what trains under a policy; arguments as for `freeze_depth`.

    Raises:
        ConfigError: The backbone does not have what the policy names.
    """
    return Freezing.behind(freeze_depth(policy, depth, units, backbone=backbone), units)


def freeze_depth(policy: FreezePolicy, depth: str | None, units: Sequence[Unit], *, backbone: str) -> int:
    """Return how many leading units are frozen.

    Args:
        policy: none = 0, all = every unit, last = all but the last stage or block and what runs after it, depth = as
            stated, lpft and gradual = 0 in the end.
        depth: With the policy depth: a count, a fraction, `all` or a unit's name.
        units: The backbone's units in forward order.
        backbone: Its name, for the message.

    Raises:
        ConfigError: The depth cannot be read, is out of range or names no unit; the message lists the units.
    """
    names = [unit.name for unit in units]
    if policy in (FreezePolicy.none, FreezePolicy.lpft, FreezePolicy.gradual):
        return 0
    if policy is FreezePolicy.all:
        return len(names)
    if policy is FreezePolicy.last:
        return max(0, len(names) - (2 if names[-1:] == [NECK] else 1))
    if depth is None:
        raise ConfigError(f"freeze.depth is missing: {backbone} has units 0..{len(names)} ({', '.join(names)})")
    try:
        return resolve_depth(parse_depth(depth), names, backbone=backbone)
    except ValueError as error:
        raise ConfigError(str(error)) from error
