"""What is written of freezing is right, or is refused with key, value, rule and way out."""

from typing import Any

import pytest

from tlexp.config import Config, config_key
from tlexp.config.freeze import FreezeBy, FreezeConfig, FreezePolicy

WHOLE: dict[FreezePolicy, dict[str, Any]] = {
    FreezePolicy.depth: {"depth": "3"},
    FreezePolicy.lpft: {"probe_share": 0.5},
    FreezePolicy.gradual: {"phases": 4},
    FreezePolicy.surgical: {"units": ["layer2"]},
    FreezePolicy.lora: {"rank": 8, "alpha": 16.0},
}
OWNERS = {name: (policy, value) for policy, values in WHOLE.items() for name, value in values.items()}


@pytest.mark.parametrize("policy", FreezePolicy)
def test_a_policy_with_its_own_settings_is_right(policy: FreezePolicy) -> None:
    assert FreezeConfig(policy=policy, **WHOLE.get(policy, {})).problems() == []


@pytest.mark.parametrize("name", OWNERS)
@pytest.mark.parametrize("policy", FreezePolicy)
def test_a_setting_belongs_to_its_policy_which_needs_it(policy: FreezePolicy, name: str) -> None:
    owner, value = OWNERS[name]
    if policy is owner:
        left = {key: each for key, each in WHOLE[policy].items() if key != name}
        [problem] = FreezeConfig(policy=policy, **left).problems()
        assert problem.startswith(f"freeze.{name} is missing: freeze={policy} needs it, e.g. ")
    else:
        spelt = "[layer2]" if name == "units" else value
        [problem] = FreezeConfig(policy=policy, **WHOLE.get(policy, {}), **{name: value}).problems()
        assert problem == (
            f"freeze.{name}={spelt} needs freeze={owner}, but freeze={policy}: "
            f"use freeze={owner} freeze.{name}={spelt}, or leave freeze.{name} out"
        )


@pytest.mark.parametrize(
    ("policy", "changed", "message"),
    [
        ("depth", {"depth": "1.5"}, "freeze.depth=1.5: must be a whole number of units"),
        ("lpft", {"probe_share": 1.5}, "freeze.probe_share=1.5: must be in [0, 1]"),
        ("gradual", {"phases": 0}, "freeze.phases=0: must be at least 1"),
        ("surgical", {"units": ["a", "b", "a"]}, "freeze.units=[a,b,a]: names a unit twice, name each once"),
        ("lora", {"rank": 0}, "freeze.rank=0: must be at least 1, e.g. 8"),
        ("lora", {"alpha": 0.0}, "freeze.alpha=0.0: must be positive and finite, e.g. twice freeze.rank"),
        ("lora", {"alpha": float("inf")}, "freeze.alpha=inf: must be positive"),
    ],
)
def test_a_wrong_value_is_refused(policy: str, changed: dict[str, Any], message: str) -> None:
    [problem] = FreezeConfig(policy=FreezePolicy(policy), **(WHOLE[FreezePolicy(policy)] | changed)).problems()
    assert problem.startswith(message)


@pytest.mark.parametrize("by", [FreezeBy.parameters, FreezeBy.operations])
def test_a_share_is_a_decimal_of_the_policy_depth(by: FreezeBy) -> None:
    assert FreezeConfig(policy=FreezePolicy.depth, depth="0.5", by=by).problems() == []
    for depth in ("3", "layer2", "all"):
        [problem] = FreezeConfig(policy=FreezePolicy.depth, depth=depth, by=by).problems()
        assert problem == (
            f"freeze.by={by} measures a decimal, and freeze.depth={depth} is none: use freeze.by={by} "
            "freeze.depth=0.5, or leave freeze.by out"
        )
    [problem] = FreezeConfig(policy=FreezePolicy.last, by=by).problems()
    assert problem == (
        f"freeze.by={by} needs freeze=depth, but freeze=last: use freeze=depth freeze.by={by} freeze.depth=0.5, or "
        "leave freeze.by out"
    )


def test_what_a_share_is_measured_by_makes_another_run() -> None:
    keys = {config_key(Config(freeze=FreezeConfig(policy=FreezePolicy.depth, depth="0.5", by=by))) for by in FreezeBy}
    assert len(keys) == 3


def test_the_order_of_units_is_a_spelling() -> None:
    one, other, third = (
        Config(freeze=FreezeConfig(policy=FreezePolicy.surgical, units=units))
        for units in (["a", "b"], ["b", "a"], ["a"])
    )
    assert config_key(one) == config_key(other) != config_key(third)
