from pathlib import Path

import pytest

from tests.studies.conftest import ONE, Study
from tlexp.studies.planning.costs import Estimate


def test_a_begun_study_keeps_what_it_began_with(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its finished runs take no time, but do not bring back what was left out; nor does a busier machine end it."""
    words = [*ONE, "study.labels=[2,4,6]", "study.minutes=60"]
    about = tmp_path / "multirun" / "s" / "study.json"
    monkeypatch.setattr(Estimate, "total", lambda _, plan: 9000.0 if len(plan.budgets) > 2 else 9.0)
    assert study(*words) == 0
    shown = capsys.readouterr().out
    assert "left out: labels=6: to fit study.minutes=60; with it about 2.5 h" in shown
    began = about.read_text()
    for seconds in (9.0, 9000.0):
        monkeypatch.setattr(Estimate, "total", lambda *_, seconds=seconds: seconds)
        assert study(*words, "--dry-run") == 0
        shown = capsys.readouterr().out
        assert "left out when it began: labels=6 (another study.minutes= plans anew)" in shown
        assert "2 runs, 0 to do" in shown
    monkeypatch.setattr(Estimate, "total", lambda *_: 9.0)
    assert study(*words) == 0
    assert about.read_text() == began
    assert study(*words, "study.minutes=600", "--dry-run") == 0
    assert "3 runs, 1 to do" in capsys.readouterr().out


def test_seeds_that_nobody_stated_are_left_out_first_and_stay_so(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*ONE, "study.seeds=null", "study.minutes=60"]
    monkeypatch.setattr(Estimate, "total", lambda _, plan: 9000.0 if len(plan.seeds) > 3 else 9.0)
    assert study(*words) == 0
    shown = capsys.readouterr().out
    assert "left out: further data seeds: to fit study.minutes=60; with it about 2.5 h" in shown
    assert "3 data seeds, 3 runs, 3 to do" in shown
    monkeypatch.setattr(Estimate, "total", lambda *_: 9.0)
    assert study(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "left out when it began: further data seeds" in shown
    assert "3 data seeds, 3 runs, 0 to do" in shown
    assert study(*words, "study.seeds=10", "--dry-run") == 0
    assert "10 data seeds, 10 runs, 7 to do" in capsys.readouterr().out
