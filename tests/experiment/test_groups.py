"""Whole runs on images that belong together: what a split that parts them would say too much, and what a run leaves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.composed import load
from tests.conftest import Start
from tlexp.compose.preflight import Preflight
from tlexp.config import Preprocessing
from tlexp.data.budget import hold_out
from tlexp.data.images import Joined
from tlexp.errors import DataError
from tlexp.experiment.images import draw_labels, open_images
from tlexp.experiment.plan import build_plan, plan_table
from tlexp.models.export import read_card
from tlexp.predictor import Predictor
from tlexp.train import Listener

PATTERN = "data.group='pattern:^[^_]+'"
WORDS = ["data=folder", "backbone=pixels", "head=knn", "labels=all"]
EXPECTED = Preprocessing(image_size=16, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0)


def write_patients(root: Path, *, patients: int, each: int, start: int = 0) -> Path:
    """Write images by which a patient is known at once, and nothing else: labels were drawn for whole patients."""
    rng = np.random.default_rng(start)
    for patient in range(start, start + patients):
        folder = root / ("cat", "dog")[patient % 2]
        folder.mkdir(parents=True, exist_ok=True)
        face = rng.integers(0, 256, (8, 8, 3))
        for number in range(each):
            pixels = (face + rng.integers(-8, 9, face.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(
                folder / f"p{patient:02}_{number}.png"
            )
    return root


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients") / "photos", patients=40, each=5)


def predictions(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions.npz") as file:
        return dict(file)


def test_a_split_that_parts_groups_says_too_much_by_all_that_was_planted(
    start: Start, patients: Path, tmp_path: Path
) -> None:
    words = [*WORDS, "head=logreg", f"data.root={patients}"]
    parted = start(*words, name="parted")
    whole = start(*words, PATTERN, name="whole")
    assert parted.splits["test"].metrics["accuracy"] == 1.0
    assert whole.splits["test"].metrics["accuracy"] < 0.9
    assert parted.record.data.digest != whole.record.data.digest
    assert parted.record.key != whole.record.key
    cards = [read_card(tmp_path / name / "model.json").card for name in ("parted", "whole")]
    answered = [list(card.abstention.answered) for card in cards]
    assert [counts[-1] for counts in answered] == [160, 32], "thresholds count images, or groups"
    assert [counts == sorted(set(counts)) for counts in answered] == [True, False], (
        "what groups are worth need not rise"
    )
    assert len(Predictor.of_folder(tmp_path / "whole").predict(patients / "cat")) == 100


def test_over_many_splits_the_excess_is_what_was_planted(patients: Path) -> None:
    config = load(["data=folder", f"data.root={patients}", PATTERN]).config
    source = open_images(config, EXPECTED, Listener())
    images = Joined(parts=(source.pool, source.held_out))
    labels, groups = images.labels, source.group_codes(images)
    pixels = np.stack([np.asarray(images.read(place), np.float64).ravel() for place in range(len(labels))])
    squares = (pixels**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * pixels @ pixels.T
    accuracy: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(100):
        for whole in accuracy:
            pool, held_out = hold_out(labels, seed=seed, classes=source.classes, groups=groups if whole else None)
            nearest = pool[distances[np.ix_(held_out, pool)].argmin(axis=1)]
            accuracy[whole].append(float(np.mean(labels[nearest] == labels[held_out])))
    assert np.mean(accuracy[False]) > 0.99  # a neighbour of the same patient is always there
    assert 0.35 < np.mean(accuracy[True]) < 0.65  # nothing but patients was planted: chance


def test_a_run_tells_of_its_groups(start: Start, patients: Path, tmp_path: Path) -> None:
    outcome = start(*WORDS[:3], "labels=5", f"data.root={patients}", PATTERN)
    groups = outcome.record.data.groups
    assert (groups.stated, groups.pool, groups.budget, groups.held_out) == ("data.group=pattern:^[^_]+", 32, 10, 8)
    assert "200 images are 40 groups, which no split parts (data.group=pattern:^[^_]+)" in outcome.record.notes
    assert "; 32 groups to learn from, 8 to test on" in outcome.record.data.told
    found = predictions(tmp_path / "run")
    assert found["group"].dtype == np.int64
    assert np.bincount(found["group"]).tolist() == [5] * 8
    assert all(len(set(found["label"][found["group"] == group].tolist())) == 1 for group in range(8))
    plain = start(*WORDS[:3], "labels=5", f"data.root={patients}", name="plain")
    assert "group" not in predictions(tmp_path / "plain")
    assert "groups" not in json.loads((tmp_path / "plain" / "record.json").read_text())["data"]
    assert plain.record.data.groups is None


def test_groups_under_several_classes_are_noted(start: Start, patients: Path) -> None:
    def noted(name: str, pattern: str) -> list[str]:
        words = [*WORDS[:3], "labels=5", f"data.root={patients}", f"data.group='pattern:{pattern}'"]
        return [note for note in start(*words, name=name).record.notes if "several classes" in note]

    (note,) = noted("tens", "(?<=p)[0-9]")  # p00 lies under cat, p01 under dog
    assert note.startswith("4 groups lie under several classes")
    assert noted("own", "^[^_]+") == []


def test_leaks_stand_beside_the_record(start: Start, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    write_patients(root / "train", patients=8, each=3)
    write_patients(root / "test", patients=4, each=3, start=6)
    words = [*WORDS, f"data.root={root}", PATTERN]
    with pytest.raises(DataError, match=r"2 groups are both in the training pool and in the test split \(p06, p07\)"):
        start(*words, name="refused")
    listed = start(*words, "data.on_leak=list", name="listed")
    moved = start(*words, "data.on_leak=move", name="moved")
    tables = [(tmp_path / name / "leaks.csv").read_text() for name in ("listed", "moved")]
    assert tables[0] == tables[1]
    assert len(list(csv.reader(tables[0].splitlines()))) == 1 + 12
    assert "leaks.csv" in listed.record.files
    assert [sum(run.record.data.pool.values()) for run in (listed, moved)] == [24, 18]
    assert listed.record.data.counts["test"] == moved.record.data.counts["test"]
    assert any("leaks.csv lists them" in note for note in moved.record.notes)
    assert [run.record.data.groups.leaked for run in (listed, moved)] == [2, 0]
    stated = "(data.group=pattern:^[^_]+)"
    assert f"36 images are 10 groups, 2 of which are learned from and tested on {stated}" in listed.record.notes
    assert f"30 images are 10 groups, which no split parts {stated}" in moved.record.notes
    config = load(["backbone=tiny", "data=folder", *words[-2:], "data.on_leak=list"]).config
    assert plan_table(build_plan(config, Preflight().counts(config.data))).endswith(
        "they are 8 groups to learn from and 4 to test on, 2 of which are on both sides "
        "(data.group=pattern:^[^_]+, data.on_leak=list)"
    )


def test_a_budget_of_one_group_cannot_be_selected_in_and_says_what_would_do(patients: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    write_patients(root / "train", patients=2, each=8)
    write_patients(root / "test", patients=2, each=2, start=50)
    words = ["data=folder", f"data.root={root}", PATTERN]

    def drawn(*more: str):
        config = load([*words, *more]).config
        return draw_labels(config, open_images(config, EXPECTED, Listener()))

    with pytest.raises(DataError) as error:
        drawn("labels=4")
    assert str(error.value) == (
        "one group holds all images of class cat (4 images), dog (4 images), and a group stays on one side: nothing is "
        "left in the label budget to compare settings on; use more labels where the class has more groups, give "
        "data.group smaller groups, or take the default settings with tune.validate=false"
    )
    assert drawn("labels=1").folds == drawn("labels=4", "tune.validate=false").folds == ()


def test_a_probe_takes_its_default_penalty_where_nothing_could_be_compared_and_nothing_is_to_be(
    start: Start, tmp_path: Path
) -> None:
    root = tmp_path / "photos"
    write_patients(root / "train", patients=2, each=8)
    write_patients(root / "test", patients=2, each=2, start=50)
    words = ["data=folder", f"data.root={root}", PATTERN, "freeze=none", "head.init=probe", "labels=4"]
    train = start(*words, "tune.validate=false", "train.limit_steps=1").record.train
    assert (train.probe.trials, train.selection.kind, train.temperature) == (0, "none", None)
    with pytest.raises(DataError, match="nothing is left in the label budget to compare settings on"):
        start(*words, name="refused")


@pytest.mark.parametrize(
    ("words", "kept", "folds"),
    [(("head=linear", "train.class_weights=balanced"), [0, 6, 6], 1), (("head=logreg",), [0, 0, 0], 3)],
)
def test_a_validation_set_without_a_class_is_selected_on(
    start: Start, tmp_path: Path, words: tuple[str, ...], kept: list[int], folds: int
) -> None:
    """Each of three patients has two of three classes: one of them is validated on, or each in turn."""
    root, rng = tmp_path / "photos", np.random.default_rng(0)
    for place, (patient, kind) in enumerate(
        [(0, "a"), (0, "b"), (1, "b"), (1, "c"), (2, "c"), (2, "a"), *zip(range(3, 6), "abc", strict=True)]
    ):
        folder = root / ("train" if place < 6 else "test") / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(6):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"p{patient}_{kind}{number}.png")
    outcome = start("data=folder", "backbone=pixels", f"data.root={root}", PATTERN, "labels=12", *words)
    assert sorted(outcome.record.data.counts["val"].values()) == kept
    assert outcome.record.train.selection.folds == folds
    assert all(map(np.isfinite, outcome.splits["test"].metrics.values()))
    assert all(trial.loss > 0 for trial in outcome.record.train.selection.trials)


def test_a_plan_tells_how_many_groups_there_are(patients: Path) -> None:
    config = load(["backbone=tiny", "data=folder", f"data.root={patients}", PATTERN, "labels=20"]).config
    plan = build_plan(config, Preflight().counts(config.data))
    assert plan["images"]["groups"] == {"stated": "data.group=pattern:^[^_]+", "pool": 32, "held_out": 8}
    assert plan_table(plan).endswith(
        "they are 32 groups to learn from and 8 to test on, which no split parts (data.group=pattern:^[^_]+)"
    )


def test_names_of_groups_are_read_again_by_nobody_else(start: Start, patients: Path, tmp_path: Path) -> None:
    """A patient's name in a table stands in no file of a run that has no leaks."""
    table = tmp_path / "groups.csv"
    names = sorted(str(path.relative_to(patients)) for path in patients.glob("*/*.png"))
    table.write_text("path,group\n" + "".join(f"{name},Mrs. {name[4:7]} Doe\n" for name in names))
    start(*WORDS[:3], "labels=5", f"data.root={patients}", f"data.group={table}")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and b" Doe" in path.read_bytes()]
