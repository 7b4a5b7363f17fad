"""The verbs that apply a network: what they print and write, and what they refuse before anything is written."""

import codecs
import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlexp.cli.applied import _table
from tlexp.predictor.table import Scores, predictions_rows
from tlexp.secrets import guard
from tlexp.terminal import cells

Run = Callable[..., int]
CLASSES = ("cat", "dog", "elk")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a small network that tells brightness apart."""
    from tlexp.models.backbone import build_backbone, preprocessing
    from tlexp.models.classifier import Classifier
    from tlexp.models.export import HeadOptions, ModelCard, save_classifier
    from tlexp.models.units import find_units

    backbone = build_backbone("pixels", image_size=8)
    head = HeadOptions().build(backbone, len(CLASSES), seed=0)
    for weight, sign in zip(head.parameters(), (1, 0), strict=True):
        weight.data.zero_()
        weight.data[0], weight.data[2] = -0.01 * sign, 0.01 * sign
    card = ModelCard(backbone="pixels", preprocessing=preprocessing("pixels", image_size=8), classes=CLASSES)
    folder = tmp_path_factory.mktemp("network")
    classifier = Classifier(backbone, head, find_units(backbone, image_size=8), 0)
    save_classifier(classifier, folder, description=card)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs, one of them named as a formula, and a text that is called one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("=1+1.png", 0), ("bright.png", 255), ("grey.png", 128)):
        Image.fromarray(np.full((9, 12, 3), value, np.uint8)).save(folder / name)
    return folder


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_network_that_is_applied_keeps_freed_memory_too(
    verb: str,
    tlexp: Run,
    network: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tlexp.train import keep_freed_memory

    monkeypatch.setenv("TLEXP_MALLOC", "off")
    keep_freed_memory.cache_clear()
    assert tlexp(verb, str(network), str(photos)) == 2
    assert "TLEXP_MALLOC=off: must be default" in capsys.readouterr().err
    keep_freed_memory.cache_clear()


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_it_is_said_how_many_images_were_read(
    verb: str,
    tlexp: Run,
    network: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tlexp.api import console
    from tlexp.predictor import predictor

    monkeypatch.setattr(console, "_SECONDS", 0)
    monkeypatch.setattr(predictor, "_AT_ONCE", 1)
    photos.rename(photos.parent / "cat")
    assert tlexp(verb, str(network), str(photos.parent), *(["--no-tracking"] if verb == "evaluate" else [])) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("images: ")]
    assert told == ["images: 1 of 3 read", "images: 2 of 3 read"]


def test_predict_writes_a_table_and_replaces_none(
    tlexp: Run, network: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos)
    words = ["predict", str(network), "=1+1.png", "bright.png", "--out", "out.csv"]
    assert tlexp(*words) == 0
    assert (photos / "out.csv").read_bytes().startswith(codecs.BOM_UTF8), "or spreadsheets break names beyond ASCII"
    head, first, second = rows(photos / "out.csv")
    columns = ["path", "class", "confidence", "second", "second_confidence", "third", "third_confidence", "typicality"]
    assert head == columns
    assert first[-1] == ""
    shown = capsys.readouterr()
    assert "typicality is left empty: the run kept no held-out images" in shown.err
    assert shown.out.splitlines() == ["out.csv  2 images: 1 cat, 1 elk"]
    assert [first[:2], second[:2]] == [["'=1+1.png", "cat"], ["bright.png", "elk"]], "no spreadsheet computes a name"
    assert tlexp(*words) == 2
    assert "is there already: name another one, or replace it with --overwrite" in capsys.readouterr().err
    assert len(rows(photos / "out.csv")) == 3
    assert tlexp("predict", str(network), ".", "--out", "out.csv", "--overwrite") == 0
    assert len(rows(photos / "out.csv")) == 4


def test_predict_shows_a_table_and_names_what_it_left_out(
    tlexp: Run, network: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "note.jpg").write_text("a text")
    assert tlexp("predict", str(network), str(photos)) == 2
    assert f"{photos}/note.jpg: not an image of a supported format" in capsys.readouterr().err
    assert tlexp("predict", str(network), str(photos), "--on-bad", "skip") == 0
    shown = capsys.readouterr()
    assert [line.split()[1] for line in shown.out.splitlines()] == ["class", "cat", "elk", "elk"]
    assert "left out, for they cannot be read: 1" in shown.err


def test_classes_are_counted_where_the_table_shows_some_of_the_images(
    tlexp: Run, network: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bright = photos / "bright.png"
    for number in range(20):
        shutil.copy(bright, photos / f"more-{number}.png")
    assert tlexp("predict", str(network), str(photos)) == 0
    _, told, counted = capsys.readouterr().out.rsplit("\n", 3)[:-1]
    assert "3 more are not shown" in told
    assert counted == "23 images: 1 cat, 22 elk"
    assert tlexp("predict", str(network), str(photos), "--out", str(tmp_path / "out.csv")) == 0
    assert capsys.readouterr().out.endswith(f"  {counted}\n")


def test_a_file_says_what_an_image_would_have_been_that_is_not_answered(
    tlexp: Run, network: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tlexp.models.abstention import Abstention
    from tlexp.models.export import load_classifier, save_classifier

    classifier, exported = load_classifier(network)
    sure = Abstention(thresholds=(0.9,), answered=(100,), right=(100,))
    save_classifier(classifier, tmp_path / "sure", description=replace(exported.card, abstention=sure))
    assert tlexp("predict", str(tmp_path / "sure"), str(photos), "--abstain", "0.95", "--out", "out.csv") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("answered: 2 of 3, those with a confidence of 0.9 or")
    head, *images = rows(tmp_path / "out.csv")
    assert head[:4] == ["path", "class", "likeliest", "confidence"]
    assert [row[1:3] for row in images] == [["cat", "cat"], ["elk", "elk"], ["", "elk"]]
    assert max(len(cell) for row in images for cell in row[3:]) == 8, "0. and six digits"
    assert tlexp("predict", str(tmp_path / "sure"), str(photos), "--abstain", "0.95") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown[:4]] == ["class", "cat", "elk", "(elk)"]


def test_a_class_that_is_no_answer_stands_in_parentheses() -> None:
    scores = Scores(
        names=("sure.jpg", "unsure.jpg", "far.jpg"),
        probabilities=np.array([[0.1, 0.1, 0.8], [0.2, 0.5, 0.3], [0.9, 0.05, 0.05]]),
        typicalities=np.array([0.5, 0.5, 0.01]),
    )
    table = predictions_rows(scores, CLASSES)
    *lines, told = _table(table, [False, True, True])
    assert [line.split()[1:3] for line in lines[1:]] == [["elk", "0.8000"], ["(dog)", "0.5000"], ["(cat)", "0.9000"]]
    assert told.startswith("in parentheses: the likeliest class where it is no answer")
    assert [line.split()[1] for line in _table(table, [False] * 3)] == ["class", "elk", "dog", "cat"]


def test_a_table_fits_the_terminal_and_says_what_it_leaves_out() -> None:
    scores = Scores(
        names=(f"{'long/' * 20}bees \u871c\u8702/1.jpg", "2.jpg"),
        probabilities=np.array([[0.1, 0.1, 0.8], [0.2, 0.5, 0.3]]),
        typicalities=np.array([0.5, 0.01]),
    )
    table = predictions_rows(scores, CLASSES, outliers=0.05)
    whole = _table(table, [False, False])
    widest = max(map(cells, whole))
    assert _table(table, [False, False], widest) == whole
    *lines, told = _table(table, [False, False], widest - 1)
    assert lines[0].split() == ["path", "class", "confidence", "second", "second_confidence", "typicality", "outlier"]
    assert told == "no room here for third: --out FILE.csv writes all columns"
    *lines, told = _table(table, [False, False], 80)
    assert [cells(line) <= 80 for line in lines] == [True] * 3
    assert lines[0].split() == ["path", "class", "confidence", "typicality", "outlier"]
    assert lines[1].startswith("...")
    assert lines[1].split()[-5:] == ["\u871c\u8702/1.jpg", "elk", "0.8000", "0.5000", "no"]
    assert told == "no room here for second and third: --out FILE.csv writes all columns"
    two = predictions_rows(replace(scores, probabilities=scores.probabilities[:, :2]), CLASSES[:2])
    assert _table(two, [False, False], 60)[-1] == "no room here for second: --out FILE.csv writes all columns"


def test_no_part_of_a_secret_is_left_of_a_path_that_is_cut() -> None:
    guard(["--password", "0123456789abcdef"])
    scores = Scores(names=(f"{'long/' * 20}0123456789abcdef/1.jpg",), probabilities=np.array([[0.1, 0.1, 0.8]]))
    table = predictions_rows(scores, CLASSES)
    assert not [room for room in range(20, 80) if "cdef" in "".join(_table(table, [False], room))]


def test_predict_fits_its_table_to_a_terminal_alone(
    network: Path, photos: Path, tlexp: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for terminal in (False, True):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal, raising=False)
        assert tlexp("predict", str(network), str(photos)) == 0
        assert ("third_confidence" in capsys.readouterr().out) != terminal


def test_a_table_that_is_cut_shows_what_is_doubtful_and_what_is_unsure_first() -> None:
    names = tuple(f"{number}.jpg" for number in range(1023))
    sure = np.linspace(0.9, 0.4, 1023)
    probabilities = np.stack([sure, 1 - sure, 0 * sure], axis=1)
    table = predictions_rows(Scores(names=names, probabilities=probabilities), CLASSES)
    whole = _table(table[:21], [False] * 20)
    assert [line.split()[0] for line in whole] == ["path", *names[:20]], "all of them, in the order given"
    more = "; 1,003 more are not shown: --out FILE.csv writes all in the order given, a folder's by name"
    *lines, told = _table(table, [False] * 1023)
    unsure = [line.split()[2] for line in lines[1:]]
    assert unsure == sorted(unsure)
    assert unsure[0] == "0.5002"
    assert told == f"the least sure first{more}"
    marked = [[*row, "yes" if row[0] == "3.jpg" else "no"] for row in table]
    *lines, _, told = _table(marked, [number in (3, 7, 900) for number in range(1023)])
    assert [line.split()[:2] for line in lines[1:4]] == [["3.jpg", "(cat)"], ["900.jpg", "(dog)"], ["7.jpg", "(cat)"]]
    assert len(lines) == 21
    assert told == f"those in parentheses first, then the least sure{more}"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere", "photos"], "nowhere: no such folder"),
        (["photos", "photos"], "holds no model.json"),
        (["NETWORK", "empty"], "no image lies in this folder"),
        (["NETWORK", "photos", "--out", "photos"], "photos is there already: name another"),
        (["NETWORK", "photos", "--out", "no/where.csv"], "the folder no is not there"),
    ],
)
def test_what_cannot_be_predicted_is_said_in_a_sentence(
    words: list[str], text: str, tlexp: Run, network: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos.parent / "empty").mkdir()
    before = sorted(photos.parent.rglob("*"))
    assert tlexp("predict", *[str(network) if word == "NETWORK" else word for word in words]) == 2
    assert text in capsys.readouterr().err
    assert sorted(photos.parent.rglob("*")) == before


def test_evaluate_makes_a_folder_with_a_page_and_replaces_none(
    tlexp: Run, network: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, photo in (("cat", "=1+1"), ("dog", "grey"), ("elk", "bright")):
        (tmp_path / "others" / name).mkdir(parents=True)
        (photos / f"{photo}.png").rename(tmp_path / "others" / name / "1.png")
    words = ["evaluate", str(network), "others", "--out", "out", "--no-tracking"]
    assert tlexp(*words) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "3 images measured, 1 mistake"
    assert [line.split()[:2] for line in shown.splitlines()[1:3]] == [["measure", "value"], ["accuracy", "0.6667"]]
    assert rows(tmp_path / "out" / "predictions.csv")[2][:3] == ["others/dog/1.png", "dog", "elk"]
    assert tlexp(*words) == 2
    assert "out is there already" in capsys.readouterr().err
    assert tlexp("evaluate", str(network), "photos", "--out", "more", "--no-tracking") == 2
    assert not (tmp_path / "more").exists()
