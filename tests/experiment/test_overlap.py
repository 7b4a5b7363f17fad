"""A measure on images that were learned from says so first, wherever they lie and whatever they are called."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.photographs import CLASSES, draw_photos, trained
from tlexp.cli.command import _dispatch
from tlexp.experiment.evaluation import measure_photos
from tlexp.experiment.export import export
from tlexp.experiment.labelled import find_labelled
from tlexp.experiment.overlap import Accuracy, Overlap, own_test
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
        "20 of 34 images were learned from: this says little of new ones; accuracy on the 14 others: "
    )
    assert first.endswith(f"; the run's own test, on 10 images that it had not seen, says {test}")
    assert second.startswith("34 images measured, ")
    written = json.loads((out / "evaluation.json").read_text())
    assert (written["overlap"]["images"], written["overlap"]["seen"]) == (34, 20)
    assert written["overlap"]["others"]["images"] == 14
    page = (out / "index.html").read_text()
    assert page.index("20 of 34 images were learned from") < page.index("34 images measured")
    assert test.accuracy == json.loads((run_folder / "evaluation.json").read_text())["test"]["metrics"]["accuracy"]


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
