import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., int]


def test_plan_prints_json_and_nothing_else(tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert tlexp("plan", "--json", "backbone=vgg16", "freeze=last", "tracking=off") == 0
    plan = json.loads(capsys.readouterr().out)
    assert list(plan) == [
        "schema", "backbone", "policy", "depth", "units", "backbone_parameters", "head_parameters",
        "trainable_parameters", "total_parameters",
    ]  # fmt: skip
    assert list(plan["units"][0]) == [
        "index", "name", "parameters", "trainable_parameters", "trainable", "norm", "shape",
    ]  # fmt: skip
    assert plan["total_parameters"] == plan["backbone_parameters"] + plan["head_parameters"]
    assert plan["trainable_parameters"] < plan["total_parameters"]
    assert list(tmp_path.iterdir()) == []


def test_plan_for_people(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("plan", "freeze=depth", "freeze.depth=layer1") == 0
    shown = capsys.readouterr().out
    assert "2 of 5 units frozen" in shown
    assert tlexp("plan", "freeze=depth", "freeze.depth=9") == 2
    assert "freeze.depth=9 is out of range" in capsys.readouterr().err
