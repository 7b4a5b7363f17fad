"""What people are told of the images, of their size, and of a test that says nothing."""

import dataclasses

import numpy as np
import pytest

from tests.conftest import Start
from tlexp.config import Config
from tlexp.experiment.notes import guess_note, understood
from tlexp.tracking.blocks import DataBlock
from tlexp.train.metrics import evaluate

MONKEYS = DataBlock(
    digest="ab" * 32,
    classes=("n0", "n1"),
    counts={"train": {"n0": 20, "n1": 20}, "test": {"n0": 26, "n1": 28}},
    pool={"n0": 1104, "n1": 110},
    pool_from="training/",
    held_out_from="validation/",
    short_sides=(183, 400, 1200),
    skipped=(),
)


def test_it_is_told_which_classes_there_are_and_what_is_tested() -> None:
    assert understood(MONKEYS) == (
        "2 classes (n0 1,104, n1 110); 1,214 to learn from, training/; tested on 54, validation/; "
        "short sides 183 to 1,200 px, half at most 400"
    )


def test_a_part_that_was_split_off_is_told_as_that() -> None:
    assert "tested on 54, a fifth that was split off" in understood(dataclasses.replace(MONKEYS, held_out_from=None))


def test_of_many_classes_the_first_are_named() -> None:
    many = dataclasses.replace(MONKEYS, classes=tuple(f"c{number}" for number in range(242)), pool=None)
    assert understood(many).startswith("242 classes (c0, c1, c2, c3, c4, c5, c6, c7, 234 more)")


def test_records_from_before_say_what_they_know() -> None:
    old = DataBlock(digest="ab" * 32, classes=("a", "b"), counts={"test": {"a": 1, "b": 2}}, skipped=())
    assert understood(old) == "2 classes (a, b); tested on 3"


@pytest.mark.parametrize(("right", "warned"), [(55, True), (95, False)])
def test_a_test_that_says_no_more_than_guessing_is_warned_of(right: int, warned: bool) -> None:
    labels = np.repeat(np.arange(2), 50)
    named = labels.copy()
    named[: 100 - right] = 1
    found = list(guess_note(Config(), evaluate(np.eye(2)[named], labels, label_smoothing=0)))
    assert bool(found) is warned
    assert not warned or "test accuracy 0.550 is not surely above guessing" in found[0]


def test_a_size_below_the_networks_own_is_noted_with_what_its_own_takes(start: Start) -> None:
    stated = ("backbone=lite0", "backbone.image_size=64", "labels=2")
    [note] = [each for each in start(*stated).record.notes if "was trained at" in each]
    assert "was trained at 224 px and sees 64 here" in note
    assert "backbone.image_size=224 takes about 12 times as long" in note


def test_weights_that_were_trained_at_the_size_used_are_not_noted(start: Start) -> None:
    assert not [each for each in start("backbone=tiny", "labels=2").record.notes if "was trained at" in each]
