import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.sync import SyncReport

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


def test_sync_names_what_it_closed(
    tlexp: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def synced(*_: object, **__: object) -> SyncReport:
        return SyncReport(stores=("s",), written=1, present=2, closed=("ab", "cd"), broken=())

    monkeypatch.setattr("tlexp.sync.sync", synced)
    assert tlexp("sync") == 0
    assert capsys.readouterr().out.splitlines() == [
        "s: runs written: 1, there already: 2, not written: 0, closed: 2",
        "  ab: left open by a dead process, and has no record here; closed as KILLED",
        "  cd: left open by a dead process, and has no record here; closed as KILLED",
    ]
