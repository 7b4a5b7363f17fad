"""The end of a run as people see it."""

import dataclasses
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.composed import load
from tests.conftest import SMALL, Start
from tests.studies.conftest import RECORD
from tlexp.cli.console import _next, _promises, summary
from tlexp.config import config_values
from tlexp.tracking.blocks import WeightsBlock

OWN = ("data=folder", "data.root=FOLDER")
CONTROL = ("backbone=tiny", "backbone.pretrained=false", "labels=2", "train.limit_steps=1")


def test_the_end_says_what_was_understood_and_what_to_type_next(start: Start, tmp_path: Path) -> None:
    lines = summary(start("backbone=tiny", "labels=2", "data.clutter=3"), tmp_path / "run").splitlines()
    assert lines[1].startswith("tiny (timm's test_resnet), freeze=all (5 units frozen), head=linear, data=shapes, ")
    assert lines[3] == "images  3 classes, shapes rendered here, seen at 32 px"
    assert lines[4] == "labels  6 of 72 images learned from; tested on 24 in test"
    following = [line for line in lines if line.startswith("next")]
    assert "python -m tlexp backbone=tiny labels=2 data=folder data.root=FOLDER " in following[0]
    assert "python -m tlexp study=quick backbone=tiny data.clutter=3 " in following[2]
    assert f"python -m tlexp export {tmp_path / 'run'} FOLDER" in following[3]


def test_the_end_tells_how_long_one_waited_and_how_long_the_run_took(start: Start, tmp_path: Path) -> None:
    outcome = start("backbone=tiny", "labels=2")
    text = summary(outcome, tmp_path / "run", seconds=75.04)
    took = outcome.record.metrics["cost/seconds"]
    assert f"\n75.0 s in all, {took:.1f} s of them from network and images to the test, " in text


def test_the_command_tells_its_classes_once_and_how_long_it_took(
    tlexp: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlexp.cli.launch._told", set())  # notes of other tests in this process
    assert tlexp(*SMALL, "backbone=tiny", "labels=2") == 0
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("circle 24") == 1
    found = re.search(r"^(.*) s in all, (.*) s of them", shown.out, re.MULTILINE)
    assert found is not None
    assert float(found[1]) >= float(found[2])


@pytest.mark.parametrize(("words", "told"), [([], True), (["backbone.pretrained=false"], False)])
def test_a_run_from_the_small_weights_names_the_larger_network(
    words: list[str], told: bool, start: Start, tmp_path: Path
) -> None:
    text = summary(start("backbone=tiny", "labels=2", *words), tmp_path)
    assert ("python -m tlexp backbone=lite0 labels=2" in text) == told


def test_the_speed_of_a_head_alone_is_not_told(start: Start, tmp_path: Path) -> None:
    assert "images per second" not in summary(start("backbone=tiny", "labels=2"), tmp_path / "run")
    assert "images per second" in summary(start(*CONTROL, "freeze=none", name="whole"), tmp_path / "whole")


def test_the_speed_of_a_frozen_network_that_every_step_passes_is_told(start: Start, tmp_path: Path) -> None:
    assert "images per second" in summary(start(*CONTROL, "augment=flip"), tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (
            ["backbone=tiny", "freeze=depth", "freeze.depth=layer2", "labels=5"],
            [
                ["backbone=tiny", "freeze=depth", "freeze.depth=layer2", "labels=5", *OWN],
                ["backbone=lite0", "labels=5"],
                ["study=quick", "backbone=tiny"],
            ],
        ),
        (
            ["backbone=tiny", "freeze=surgical", "freeze.units=[layer2]", "data.size=32"],
            [
                ["backbone=tiny", "freeze=surgical", "freeze.units=[layer2]", *OWN],
                ["backbone=lite0", "data.size=32"],
                ["study=quick", "backbone=tiny", "data.size=32"],
            ],
        ),
        (
            ["backbone=tiny", "head.units=[layer1,layer2]", "data.seed=1", "seed=2"],
            [
                ["backbone=tiny", "head.units=[layer1,layer2]", "seed=2", *OWN],
                ["backbone=lite0", "data.seed=1", "seed=2"],
                ["study=quick", "backbone=tiny"],
            ],
        ),
        (
            ["backbone=resnet18", "data=digits"],
            [["backbone=resnet18", *OWN], ["study=quick", "backbone=resnet18", "data=digits"]],
        ),
        (["backbone=pixels", "freeze=all"], [["backbone=pixels", "freeze=all", *OWN]]),
        (
            ["backbone=resnet18", *OWN],
            [["study=quick", "backbone=resnet18", *OWN], ["backbone=resnet18", *OWN, "labels=all"]],
        ),
        (["backbone=resnet18", *OWN, "labels=all"], []),
        (["experiment=shapes", "backbone=tiny"], []),
    ],
)
def test_what_is_suggested_composes(words: list[str], following: list[list[str]], tmp_path: Path) -> None:
    suggested = [words for words, _ in _suggested(words, tmp_path)]
    assert suggested == following
    for each in suggested:
        kind = load(each).config.study.kind
        assert (str(kind) != "none") == ("study=quick" in each)


def _suggested(words: list[str], folder: Path, meant: Path | None = None) -> list[tuple[list[str], str]]:
    """Return the overrides of what is to be typed after a run of these, each with what it is said to be."""
    config = load(words).config
    record = dataclasses.replace(
        RECORD,
        overrides=words,
        config=config_values(config),
        freeze=dataclasses.replace(RECORD.freeze, policy=str(config.freeze.policy)),
        train=dataclasses.replace(RECORD.train, weights=WeightsBlock(source=f"{config.backbone.weights}", digest="")),
    )
    lines = [re.split(r"  +", line) for line in _next(record, folder, own_files=True, meant=meant)]
    return [(shlex.split(line)[3:], told) for _, line, told in lines]


OF_TINY: dict[tuple[str, ...], list[str]] = {
    ("freeze=none",): [],
    ("freeze=last", "freeze.norm=keep"): [],
    ("freeze=depth", "freeze.depth=2", "freeze.norm=keep"): ["freeze=depth", "freeze.depth=2"],
    ("freeze=depth", "freeze.depth=layer2"): ["freeze=depth", "freeze.depth=layer2"],
    ("freeze=depth", "freeze.depth=0.5", "freeze.by=operations"): [],
    ("freeze=surgical", "freeze.units=[layer2]"): ["freeze=surgical", "freeze.units=[layer2]"],
    ("freeze=gradual", "freeze.phases=3"): [],
    ("freeze=lora", "freeze.rank=4"): [],
    ("head.units=[layer1,layer2]", "data.seed=3", "seed=2"): ["head.units=[layer1,layer2]"],
    ("backbone.mean=[0,0,0]", "backbone.image_size=64"): ["backbone.mean=[0,0,0]"],
    ("tune.trials=3", "augment=flip", "data.evaluate=rest"): [],
}
"""Settings of a run, and those of them that mean something else for another network."""


@pytest.mark.parametrize("settings", OF_TINY)
def test_the_same_from_all_labels_differs_in_the_labels_alone(settings: tuple[str, ...], tmp_path: Path) -> None:
    words = ["backbone=tiny", *settings, *OWN, "train.limit_steps=20"]
    suggested = {told: typed for typed, told in _suggested([*words, "labels=5"], tmp_path)}
    assert suggested["the same from all of your labels"] == [*words, "labels=all"]


@pytest.mark.parametrize(("settings", "lost"), OF_TINY.items())
def test_a_larger_network_is_offered_with_all_that_holds_for_it_and_the_rest_is_told(
    settings: tuple[str, ...], lost: list[str], tmp_path: Path
) -> None:
    words = [*settings, *OWN, "labels=5", "train.limit_steps=20"]
    [(typed, told)] = [each for each in _suggested(["backbone=tiny", *words], tmp_path) if "backbone=lite0" in each[0]]
    assert typed == ["backbone=lite0", *(word for word in words if word not in lost)]
    assert shlex.split(told.partition("; without ")[2]) == lost
    load(typed)


def test_who_names_a_folder_too_high_is_sent_to_the_one_below_it_alone(tmp_path: Path) -> None:
    words = ["backbone=tiny", *OWN, "data.classes=[-rest]", "data.group=folder:1", "labels=5"]
    [(typed, told)] = _suggested(words, tmp_path, meant=Path("my photos, all/sorted"))
    assert typed == [
        "backbone=tiny",
        "data=folder",
        "data.group=folder:1",
        "labels=5",
        'data.root="my photos, all/sorted"',
    ]
    assert load(typed).config.data.root == "my photos, all/sorted"
    assert told == "the same with the classes in sorted; if it is itself one, data.train=FOLDER in place of data.root"
    (tmp_path / "model.safetensors").touch()
    _, *others = _suggested(words, tmp_path, meant=Path("sorted"))
    assert [typed[0] for typed, _ in others] == ["predict", "export"]


@pytest.mark.parametrize("beside", ["unsorted/99.png", "sorted/99.png"])
def test_a_run_knows_the_folder_that_is_meant(beside: str, tmp_path: Path, start: Start) -> None:
    images = [f"sorted/{name}/{number}.png" for name in ("cat", "dog", "elk") for number in range(8)]
    for place, name in enumerate([*images, *(f"unsorted/{number}.png" for number in range(8)), beside]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (place * 5, place, 0)).save(path)
    words = ("backbone=tiny", "data=folder", f"data.root={tmp_path / 'photos'}", "labels=2", "train.limit_steps=1")
    outcome = start(*words)
    meant = tmp_path / "photos" / "sorted" if beside.startswith("un") else None
    assert outcome.meant == meant
    lines = [line for line in summary(outcome, tmp_path / "run").splitlines() if line.startswith("next")]
    assert (f"data.root={meant}" in lines[0]) == (meant is not None)
    assert ("labels=all" in "".join(lines)) == (meant is None)


def test_a_network_for_one_s_own_photographs_is_first_of_all_to_predict(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    config = {"backbone": {"name": "tiny"}, "data": {"source": "folder"}, "labels": "20"}
    first, *_, last = _next(dataclasses.replace(RECORD, config=config), tmp_path, own_files=True)
    assert first.startswith(f"next    python -m tlexp predict {tmp_path} FOLDER ")
    assert f"python -m tlexp export {tmp_path} FOLDER" in last
    finished = dataclasses.replace(RECORD, config=config | {"labels": "all"})
    assert not any("study=" in line for line in _next(finished, tmp_path, own_files=True))


def test_complete_settings_are_not_offered_to_a_study(start: Start, tmp_path: Path) -> None:
    outcome = start("experiment=shapes", "backbone=tiny", "labels=2", "train.limit_steps=1")
    assert "study=" not in summary(outcome, tmp_path / "run")


def test_nothing_is_suggested_without_the_files_that_were_read(start: Start, tmp_path: Path) -> None:
    outcome = start("backbone=tiny", "labels=2", "train.limit_steps=1", name="a b")
    lines = summary(outcome, tmp_path / "a b", own_files=False).splitlines()
    [following] = [line for line in lines if line.startswith("next")]
    assert f"export '{tmp_path / 'a b'}' FOLDER" in following
    assert "study=quick" in summary(outcome, tmp_path / "a b")


def test_the_promises_that_hold_are_told_with_what_is_answered(tmp_path: Path) -> None:
    assert _promises(tmp_path) == []
    promises = [(0.8, 0.5, 1.0), (0.9, 0.7, 0.626), (0.95, None, 0.0), (0.99, None, 0.0)]
    found = [dict(zip(("promised", "threshold", "coverage"), each, strict=True)) for each in promises]
    (tmp_path / "evaluation.json").write_text(json.dumps({"answering": found}))
    assert _promises(tmp_path) == [
        "predict --abstain 0.8 answers 100 % of the test images, right in as many as it says, 0.9 answers 63 %; "
        "0.95, 0.99 would take more labelled images"
    ]
    (tmp_path / "evaluation.json").write_text(json.dumps({"answering": []}))
    assert _promises(tmp_path) == []
