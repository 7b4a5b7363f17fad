import json
from pathlib import Path

import numpy as np
import pytest

import tlexp
from tests.api.conftest import SMALL
from tests.conftest import probability_bits
from tlexp import cli
from tlexp.tracking import read_record


def test_a_result_tells_what_its_files_hold(result: tlexp.RunResult, place: Path) -> None:
    evaluation = json.loads((result.folder / "evaluation.json").read_text())
    assert result.folder.parent == (place / "outputs").absolute()
    assert result.record == read_record(result.folder)
    assert result.metrics == result.record.metrics
    assert list(result.interval) == evaluation["test"]["accuracy_interval"]
    assert result.confusion.to_numpy().tolist() == evaluation["test"]["confusion"]
    assert list(result.confusion.index) == list(result.confusion.columns) == evaluation["classes"]
    assert result.notes == tuple(result.record.notes)


def test_predictions_are_named_and_count_as_the_measures_do(result: tlexp.RunResult) -> None:
    table = result.predictions
    assert list(table.columns) == ["path", "label", "predicted", "confidence", "right"]
    assert len(table) == len(set(table["path"])) == 24
    assert table["right"].mean() == pytest.approx(result.metrics["test/accuracy"])
    counted = table.groupby(["label", "predicted"]).size().unstack(fill_value=0)
    for label, row in result.confusion.iterrows():
        assert [counted.loc[label].get(name, 0) for name in row.index] == row.tolist()


def test_it_prints_well(result: tlexp.RunResult) -> None:
    accuracy, (low, high) = result.metrics["test/accuracy"], result.interval
    told = f"test accuracy {accuracy:.3f} ({low:.3f} .. {high:.3f})"
    assert repr(result) == f"<RunResult {told}, {str(result.folder)!r}>"
    page = result._repr_html_()
    assert told in page
    assert "a, b&#x27;s" in page
    assert "<th>test</th>" in page


def test_its_network_predicts_what_the_run_did(result: tlexp.RunResult) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    table = tlexp.load(result.folder).predict([image, image])
    assert len(table) == 2
    assert set(table["class"]) <= set(result.confusion.index)


def test_the_command_with_the_same_words_gives_the_same_bits(
    result: tlexp.RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["backbone=tiny", "tracking=off", "labels=10", *(f"{name}={value}" for name, value in SMALL.items())]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tlexp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    [folder] = tmp_path.glob("outputs/*")
    typed = read_record(folder)
    assert typed.key == result.record.key
    assert typed.config == result.record.config
    assert sorted(typed.overrides) == sorted(result.record.overrides)
    assert probability_bits(folder) == probability_bits(result.folder)
    for split in ("train", "val", "test"):
        name = f"{split}/loss"
        assert typed.metrics[name] == result.metrics[name]
