"""The end of a run as people see it."""

from pathlib import Path

import pytest

from tests.conftest import Start
from tlexp.cli.console import summary

CONTROL = ("backbone=tiny", "backbone.pretrained=false", "labels=2", "train.limit_steps=1")


def test_the_end_says_what_was_understood_and_what_to_type_next(start: Start, tmp_path: Path) -> None:
    lines = summary(start("backbone=tiny", "labels=2", "data.clutter=3"), tmp_path / "run").splitlines()
    assert any(line.startswith("images  3 classes (circle 24, square 24, triangle 24)") for line in lines)
    following = [line for line in lines if line.startswith("next")]
    assert "python -m tlexp study=quick backbone=tiny data.clutter=3 " in following[1]
    assert f"python -m tlexp export {tmp_path / 'run'} FOLDER" in following[2]


@pytest.mark.parametrize(("words", "told"), [([], True), (["backbone.pretrained=false"], False)])
def test_a_run_from_the_small_weights_names_the_larger_network(
    words: list[str], told: bool, start: Start, tmp_path: Path
) -> None:
    text = summary(start("backbone=tiny", "labels=2", *words), tmp_path)
    assert ("python -m tlexp backbone=lite0 labels=2" in text) == told


def test_the_speed_of_a_head_alone_is_not_told(start: Start, tmp_path: Path) -> None:
    assert "images per second" not in summary(start("backbone=tiny", "labels=2"), tmp_path / "run")
    assert "images per second" in summary(start(*CONTROL, "freeze=none", name="whole"), tmp_path / "whole")


def test_complete_settings_are_not_offered_to_a_study(start: Start, tmp_path: Path) -> None:
    outcome = start("experiment=shapes", "backbone=tiny", "labels=2", "train.limit_steps=1")
    assert "study=" not in summary(outcome, tmp_path / "run")
