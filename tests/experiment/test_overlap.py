"""A measure on images that were learned from says so first, wherever they lie and whatever they are called."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.photographs import CLASSES, draw_photos, trained
from tlexp.cli.command import _dispatch
from tlexp.experiment.evaluation import measure_photos, write_measured
from tlexp.experiment.export import export
from tlexp.experiment.labelled import find_labelled
from tlexp.experiment.overlap import Accuracy, Overlap, own_test
from tlexp.models.abstention import Abstention
from tlexp.predictor import Predictor


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def run_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(photos, tmp_path_factory.mktemp("run"), "train.limit_steps=1", "labels=10")


def test_what_was_learned_from_is_said_first_and_written(
    run_folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        for name in CLASSES:
            for path in (photos / split / name).iterdir():
                (tmp_path / "all" / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "all" / name / f"{split}{path.name}")
    out = tmp_path / "out"
    assert _dispatch(["evaluate", str(run_folder), str(tmp_path / "all"), "--out", str(out), "--no-tracking"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    test = own_test(run_folder)
    assert test is not None
    assert first.startswith(
        "20 of 34 images were learned from, and count in no measure here; accuracy on the 14 others: "
    )
    assert first.endswith(f"; the run's own test, on 10 images that it had not seen, says {test}")
    assert second.startswith("14 of 34 (20 learned from left out) images measured, ")
    written = json.loads((out / "evaluation.json").read_text())
    assert (written["overlap"]["images"], written["overlap"]["seen"]) == (34, 20)
    assert written["overlap"]["others"]["images"] == 14
    page = (out / "index.html").read_text()
    assert page.index("20 of 34 images were learned from") < page.index("images measured")
    assert test.accuracy == json.loads((run_folder / "evaluation.json").read_text())["test"]["metrics"]["accuracy"]


def test_what_is_measured_is_the_others_where_there_are_any(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(run_folder)
    always = Abstention.of(np.full(100, 0.1), np.ones(100, bool), None)  # thresholds that all images reach
    predictor.card = dataclasses.replace(predictor.card, abstention=always)
    for name, other in zip(CLASSES, CLASSES[::-1], strict=True):  # mistakes, for the most part
        shutil.copytree(photos / "train" / name, tmp_path / "in" / other)
    mixed = find_labelled(tmp_path / "in", CLASSES, follow_links=False)
    measured = measure_photos(predictor, mixed, on_bad="refuse")
    write_measured(tmp_path / "out", measured, predictor, mixed.photos, title="t")
    assert measured.scores.seen is not None
    for name, seen in zip(measured.scores.names, measured.scores.seen, strict=True):
        if seen:
            Path(name).unlink()
    alone = find_labelled(tmp_path / "in", CLASSES, follow_links=False)
    others = measure_photos(predictor, alone, on_bad="refuse")
    write_measured(tmp_path / "others", others, predictor, alone.photos, title="t")
    found, expected = (json.loads((tmp_path / each / "evaluation.json").read_text()) for each in ("out", "others"))
    assert found.pop("overlap")["others"]["accuracy"] == expected["test"]["metrics"]["accuracy"]
    assert found == expected
    assert measured.intervals == others.intervals
    pages = [(tmp_path / each / "index.html").read_text() for each in ("out", "others")]
    assert pages[0].partition("<h2>")[2] == pages[1].partition("<h2>")[2]
    for name in ("confusion_matrix", "reliability", "risk_coverage"):
        drawn = [(tmp_path / each / "figures" / f"{name}.png").read_bytes() for each in ("out", "others")]
        assert drawn[0] == drawn[1], name
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        told = {row["path"]: row["learned_from"] for row in csv.DictReader(file)}
    assert [name for name, learned in told.items() if learned == "no"] == list(others.scores.names)
    assert "learned_from" not in (tmp_path / "others" / "predictions.csv").read_text()


def test_images_that_were_all_learned_from_are_measured(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(run_folder)
    mixed = find_labelled(photos / "train", CLASSES, follow_links=False)
    scores = predictor.score(mixed.photos)
    assert scores.seen is not None
    for name, seen in zip(scores.names, scores.seen, strict=True):
        if seen:
            (tmp_path / Path(name).parent.name).mkdir(exist_ok=True)
            shutil.copy(name, tmp_path / Path(name).parent.name)
    measured = measure_photos(predictor, find_labelled(tmp_path, CLASSES, follow_links=False), on_bad="refuse")
    assert measured.warning()[0].startswith("20 of 20 images were learned from: this says little of new ones")
    assert measured.told().startswith("20 images measured")


def test_an_export_knows_it_too_and_nothing_is_said_of_new_images(
    run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    export(run_folder, tmp_path / "out", half=True)
    predictor = Predictor.load(tmp_path / "out")
    learned = measure_photos(predictor, find_labelled(photos / "train", CLASSES, follow_links=False), on_bad="refuse")
    assert learned.overlap is not None
    assert (learned.overlap.seen, learned.overlap.own_test) == (20, own_test(tmp_path / "out"))
    new = find_labelled(photos / "test", CLASSES, follow_links=False)
    assert measure_photos(predictor, new, on_bad="refuse").warning() == []
    predictor.familiarity = None
    assert measure_photos(predictor, new, on_bad="refuse").overlap is None


def test_the_others_are_counted_without_those_that_were_seen() -> None:
    seen, right = np.array([True, True, False, False]), np.array([True, True, True, False])
    overlap = Overlap.of(seen, right, None)
    assert overlap is not None
    assert overlap.others == Accuracy.of(1, 2)
    assert overlap.told().endswith("accuracy on the 2 others: 0.500 (0.095 .. 0.905)")
    assert Overlap.of(None, right, None) is Overlap.of(~seen & seen, right, None) is None
