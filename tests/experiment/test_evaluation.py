"""A network is measured on other photographs as on its run's own."""

import csv
import dataclasses
import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.photographs import CLASSES, draw_photos, trained
from tlexp.experiment import evaluation
from tlexp.experiment.evaluation import measure_photos, track_measured, write_measured
from tlexp.experiment.labelled import find_labelled
from tlexp.experiment.overlap import Overlap
from tlexp.models.abstention import Abstention
from tlexp.predictor import Predictor
from tlexp.tracking.reference import Home


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def run_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(photos, tmp_path_factory.mktemp("run"), "train.limit_steps=1")


@pytest.fixture(scope="module")
def predictor(run_folder: Path) -> Predictor:
    return Predictor.load(run_folder)


def test_the_run_s_own_test_images_measure_as_in_the_run(
    predictor: Predictor, run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    labelled = find_labelled(photos / "test", CLASSES, follow_links=False)
    measured = measure_photos(predictor, labelled, on_bad="refuse")
    write_measured(tmp_path / "new" / "out", measured, predictor, labelled.photos, title="a <b> & c")
    ours, runs = (json.loads((folder / "evaluation.json").read_text()) for folder in (tmp_path / "new/out", run_folder))
    assert ours == {name: runs[name] for name in ("classes", "test", "answering", "false_alarms")}
    assert ours["false_alarms"]
    low, high = measured.intervals["balanced_accuracy"]
    assert low <= ours["test"]["metrics"]["balanced_accuracy"] <= high
    page = (tmp_path / "new/out/index.html").read_text()
    shown = [each for each in ours["false_alarms"] if each["possible"]]
    assert shown
    for each in shown:
        assert f"<td>{each['level']:g}</td><td>{each['marked']}</td><td>{each['rate']:.4f}</td>" in page
    figures = {path.stem for path in (tmp_path / "new/out/figures").iterdir()}
    assert figures == {"confusion_matrix", "reliability", "risk_coverage"}


def test_a_page_shows_mistakes_by_name(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "test" / "dog", tmp_path / "in" / "cat")
    labelled = find_labelled(tmp_path / "in", CLASSES, follow_links=False)
    measured = measure_photos(predictor, labelled, on_bad="refuse")
    write_measured(tmp_path / "new" / "out", measured, predictor, labelled.photos, title="a <b> & c")
    with (tmp_path / "new/out/predictions.csv").open(newline="") as file:
        wrong = [row["path"] for row in csv.DictReader(file) if row["right"] == "no"]
    page = (tmp_path / "new/out/index.html").read_text()
    assert "a &lt;b&gt; &amp; c" in page
    assert wrong
    assert sorted(re.findall(r"<figcaption>([^<]+)<br>", page)) == sorted(wrong), "mistakes by name"
    assert page.count("data:image/jpeg") == len(wrong)


def test_a_page_explains_its_measures_and_what_promises_come_to(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    labelled = find_labelled(photos / "test", CLASSES, follow_links=False)
    measured = measure_photos(predictor, labelled, on_bad="refuse")

    def page(name: str, abstention: Abstention | None) -> str:
        card = dataclasses.replace(predictor.card, abstention=abstention)
        asked = Predictor(predictor._classifier, card)
        write_measured(tmp_path / name, measured, asked, labelled.photos, title=name)
        return (tmp_path / name / "index.html").read_text()

    shown = page("some", Abstention(thresholds=(0.5,), answered=(40,), right=(40,)))
    for name, *_ in measured.rows():
        assert re.search(rf"<td>{name}<small>[A-Z].*\.</small></td>", shown), name
    assert "all classes give 0.6931." in shown
    right = measured.evaluation.metrics["accuracy"]
    row = "".join(f"<td>{cell}</td>" for cell in ("0.9", "0.5000", "10", "1.0000", f"{right:.4f}"))
    assert row in shown, "what the promise comes to here, where all are answered"
    assert "A promise of 0.95, 0.99 would take more labelled images." in shown
    none = page("none", Abstention(thresholds=(0.5,), answered=(4,), right=(0,)))
    assert "A promise of 0.8, 0.9, 0.95, 0.99 would take" in none
    assert "so many would be answered" not in none
    assert "--abstain" not in page("without", None)


def test_a_full_disk_leaves_nothing(
    predictor: Predictor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = find_labelled(photos / "test", CLASSES, follow_links=False)
    measured = measure_photos(predictor, labelled, on_bad="refuse")

    def full(path: Path, content: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(evaluation, "publish", full)
    with pytest.raises(OSError, match="No space"):
        write_measured(tmp_path / "out", measured, predictor, labelled.photos, title="t")
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_is_a_run_of_the_store_that_names_its_origin(
    predictor: Predictor, photos: Path, tmp_path: Path, store: str
) -> None:
    labelled = find_labelled(photos / "test", CLASSES, follow_links=False)
    measured = measure_photos(predictor, labelled, on_bad="refuse")
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "evaluation.json").write_text("{}")
    (tmp_path / "out" / "figures" / "a.png").write_bytes(b"a")
    overlap = Overlap(images=10, seen=3, others=None, own_test=None)
    tracked = track_measured(
        tmp_path / "out",
        dataclasses.replace(measured, overlap=overlap),
        origin="outputs/RUN",
        place="photos",
        home=Home(uri=store, experiment="e"),
        warn=pytest.fail,
    )
    assert tracked is not None
    from mlflow import MlflowClient

    run = MlflowClient(tracking_uri=store).get_run(tracked.run_id)
    assert run.data.tags["tlexp.origin"] == "outputs/RUN"
    assert run.data.params["learned_from"] == "3 of 10"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/accuracy"] == measured.evaluation.metrics["accuracy"]


def test_a_store_that_is_away_is_told_with_a_command_that_writes_the_evaluation(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    labelled = find_labelled(photos / "test", CLASSES, follow_links=False)
    measured = measure_photos(predictor, labelled, on_bad="refuse")
    told: list[str] = []
    away = Home(uri="http://127.0.0.1:9", experiment="e")
    assert track_measured(tmp_path, measured, origin="my run", place="photos", home=away, warn=told.append) is None
    [sentence] = told
    assert sentence.endswith("later with: tlexp evaluate 'my run' photos --uri http://127.0.0.1:9")


def test_what_was_left_out_is_counted(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "test" / "dog", tmp_path / "dog")
    shutil.copytree(photos / "test" / "cat", tmp_path / "elk")
    (tmp_path / "dog" / "note.jpg").write_text("a text")
    measured = measure_photos(predictor, find_labelled(tmp_path, CLASSES, follow_links=False), on_bad="skip")
    assert measured.evaluation.recall[0] is None
    named = int(measured.evaluation.confusion[:, 0].sum())
    told = f"macro_f1 counts as 0 the classes without images that were named: cat ({named}x)"
    assert (told in measured.notes) == (named > 0)
    assert measured.told().startswith("5 of 11 (5 of unknown classes, 1 unreadable left out) images measured, ")
