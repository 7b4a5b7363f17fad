from pathlib import Path
from types import SimpleNamespace

import pytest

from tlexp.config.tracking import TrackingConfig
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report import told


def test_the_page_that_compares_shows_what_competes_before_controls(
    findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow charts ten runs at first, the newest unless told otherwise, and controls come last."""
    shown = SimpleNamespace(comparison="http://host/#/experiments/1/runs?searchFilter=s", uri="http://host")
    for name, found in (("read_table", None), ("analyse", findings), ("write_report", []), ("show_sweep", shown)):
        monkeypatch.setattr(told, name, lambda *_, found=found, **__: found)
    [line] = [line for line in told.report(tmp_path, tracking=TrackingConfig()).splitlines() if "compare" in line[:8]]
    assert line == f"compare {shown.comparison}&orderByKey=attributes.start_time&orderByAsc=true"
