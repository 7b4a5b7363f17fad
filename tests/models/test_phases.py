import itertools

import pytest

from tlexp.config.freeze import FreezePolicy
from tlexp.errors import ConfigError
from tlexp.models import Phase, freeze_phases, phase_steps


def phases(policy: FreezePolicy, units: int, **changes: float | None) -> tuple[Phase, ...]:
    options = {"depth": 0, "probe_share": None, "phases": None, **changes}
    return freeze_phases(policy, units=units, backbone="b", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("units", "count"), [(u, n) for u in (1, 2, 5, 13, 26) for n in range(2, u + 2)])
def test_gradual_phases_thaw_from_the_head_alone_to_all_evenly(units: int, count: int) -> None:
    found = phases(FreezePolicy.gradual, units, phases=count)
    depths = [phase.depth for phase in found]
    assert len(found) == count
    assert (depths[0], depths[-1]) == (units, 0)
    thawed = [one - other for one, other in itertools.pairwise(depths)]
    assert min(thawed) >= 1
    assert max(thawed) - min(thawed) <= 1
    for steps in range(count, 5 * count + 3):
        parts = phase_steps(found, steps)
        assert sum(parts) == steps
        assert min(parts) >= 1
        assert max(parts) - min(parts) <= 1
    assert min(phase_steps(found, count - 1)) == 0


@pytest.mark.parametrize("units", [1, 5, 26])
def test_more_phases_than_units_and_head_are_refused(units: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"freeze\.phases={units + 2} is out of range for b: 1\.\.{units + 1}, .*use"
    ):
        phases(FreezePolicy.gradual, units, phases=units + 2)


@pytest.mark.parametrize(("share", "steps", "parts"), [(0.5, 200, [100, 100]), (0.5, 7, [4, 3]), (0.25, 10, [3, 7])])
def test_the_probe_takes_its_share(share: float, steps: int, parts: list[int]) -> None:
    found = phases(FreezePolicy.lpft, 5, probe_share=share)
    assert [phase.depth for phase in found] == [5, 0]
    assert phase_steps(found, steps) == parts


@pytest.mark.parametrize("policy", [policy for policy in FreezePolicy if not policy.phased])
def test_other_policies_have_one_phase(policy: FreezePolicy) -> None:
    assert phases(policy, 5, depth=3) == (Phase(depth=3, until=1.0),)
