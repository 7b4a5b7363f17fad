import re

import pytest

from tests.studies.conftest import Study


def test_minutes_leave_out_columns_then_budgets_in_a_stated_order(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["study.depths=[0,1,2,3,4,all]", "study.labels=[2,4,6]", "study.scratch_labels=[2,4,6]", "--dry-run"]
    assert study(*words, "study.minutes=0.0001") == 0
    shown = capsys.readouterr().out
    assert re.findall(
        r"^left out: (.*?): to fit study.minutes=0.0001; with it about \d+ (?:s|min|h)$", shown, re.M
    ) == [
        "from scratch, 4 x the steps",
        "1 of 5 units frozen (to stem)",
        "2 of 5 units frozen (to layer1)",
        "3 of 5 units frozen (to layer2)",
        "4 of 5 units frozen (to layer3)",
        "from scratch",
        "labels=6",
    ]
    assert re.search(r"^freeze-0 .* 2,4 ", shown, re.M)
    assert re.search(r"^freeze-5 .* 2,4 ", shown, re.M)
    told = re.search(r"study.minutes=0.0001 cannot be met: what is left takes about (\d+ \w+) at least", shown)
    assert told is not None
    assert f"about {told[1]}, " in shown
    assert study(*words, "study.minutes=1000") == 0
    shown = capsys.readouterr().out
    assert "left out" not in shown
    assert "cannot be met" not in shown


def test_an_estimate_counts_what_comes_once(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All runs are there, and what is left is the start, which has been measured, and the report."""
    quick = "study=quick", "study.controls=false", "study.labels=[2]"
    assert study(*quick) == 0
    capsys.readouterr()
    monkeypatch.setattr("tlexp.studies.planning.costs.time.process_time", lambda: 5 * 3600.0)
    assert study(*quick, "--dry-run") == 0
    assert "0 to do, about 5.0 h, 5.0 h of them to start and to report" in capsys.readouterr().out
