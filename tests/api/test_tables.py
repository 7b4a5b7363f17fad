import dataclasses
from pathlib import Path

import pytest

import tlexp
from tlexp.tracking import RunStatus, publish_record


def test_there_is_a_row_for_each_record_however_the_run_ended(result: tlexp.RunResult, tmp_path: Path) -> None:
    for name, status in (("one", RunStatus.killed), ("two", RunStatus.oom)):
        folder = tmp_path / "multirun/mine/runs/0123456789abcdef" / name
        folder.mkdir(parents=True)
        cut = {"status": status, "reason": "why", "metrics": {}, "point": {"optim.lr": "0.1"}}
        publish_record(folder, dataclasses.replace(result.record, started=f"2099-{name}", **cut))
    damaged = tmp_path / "outputs/damaged/record.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    whole = tmp_path / "outputs/whole"
    whole.mkdir()
    publish_record(whole, result.record)
    copied = tmp_path / "mlruns/tlexp/0123"
    copied.mkdir(parents=True)
    publish_record(copied, result.record)
    with pytest.warns(UserWarning, match=r"^left out: .*damaged/record\.json cannot be read"):
        table = tlexp.runs(tmp_path)
    assert table["status"].tolist() == ["finished", "killed", "oom"]
    assert table["study"].fillna("").tolist() == ["", "mine", "mine"]
    assert table["labels"].tolist() == ["10"] * 3
    assert table["optim.lr"].notna().tolist() == [False, True, True]
    assert table["test/accuracy"].iloc[0] == result.metrics["test/accuracy"]
    assert table["test/accuracy"].isna().tolist() == [False, True, True]


def test_an_empty_folder_has_no_rows_and_a_missing_one_is_told(tmp_path: Path) -> None:
    assert list(tlexp.runs(tmp_path).columns) == ["folder", "study", "status", "reason", "started"]
    with pytest.raises(tlexp.ConfigError, match=r"^no such folder: .*/nowhere; name folders of runs"):
        tlexp.runs(tmp_path / "nowhere")
