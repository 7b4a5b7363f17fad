"""The phases of a freeze policy: how much is frozen in which part of a fit's steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tlexp.config.freeze import FreezePolicy
from tlexp.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of a fit in which the same units stay frozen.

    Attributes:
        depth: How many leading units are frozen.
        until: Where the phase ends, as a fraction of the fit's steps; 1 for the last one.
    """

    depth: int
    until: float


def freeze_phases(
    policy: FreezePolicy, *, depth: int, units: int, probe_share: float | None, phases: int | None, backbone: str
) -> tuple[Phase, ...]:
    """Return the phases of a policy, each freezing less than the one before; most policies have one.

    Args:
        policy: By the simplest of its names.
        depth: How many leading units are frozen in the end.
        units: Of the backbone.
        probe_share: With lpft: where the probe ends, strictly between 0 and 1.
        phases: With gradual: how many, at least 2; of n phases the i-th from 0 trains floor(i / (n - 1) * units + 0.5)
            units from the top.
        backbone: Its name, for the message.

    >>> [(each.depth, each.until) for each in freeze_phases(
    ...     FreezePolicy.gradual, depth=0, units=5, probe_share=None, phases=4, backbone="b")]
    [(5, 0.25), (3, 0.5), (2, 0.75), (0, 1.0)]

    Raises:
        ConfigError: More phases than the units and the head.
    """
    if policy is FreezePolicy.lpft and probe_share is not None:
        return (Phase(depth=units, until=probe_share), Phase(depth=0, until=1.0))
    if policy is not FreezePolicy.gradual or phases is None:
        return (Phase(depth=depth, until=1.0),)
    if phases > units + 1:
        raise ConfigError(
            f"freeze.phases={phases} is out of range for {backbone}: 1..{units + 1}, as each phase trains at "
            f"least one of its {units} units more than the one before; use freeze.phases={units + 1}"
        )
    top = phases - 1
    return tuple(
        Phase(depth=units - math.floor(number / top * units + 0.5), until=(number + 1) / phases)
        for number in range(phases)
    )


def phase_steps(phases: Sequence[Phase], steps: int) -> list[int]:
    """Return the steps of each phase, which may be 0; an end between two steps is rounded to the nearer.

    >>> phase_steps([Phase(depth=2, until=0.5), Phase(depth=0, until=1.0)], 7)
    [4, 3]
    """
    ends = [0, *(math.floor(phase.until * steps + 0.5) for phase in phases)]
    return [end - begin for begin, end in pairwise(ends)]
