"""What people are told of a test that says nothing, and of what a pass over many images would take less."""

import numpy as np
import pytest

from tests.composed import load
from tlexp.config import Config
from tlexp.config.head import HeadConfig, HeadKind
from tlexp.experiment import notes
from tlexp.experiment.notes import collapse_note, guess_note, precision_note
from tlexp.train.metrics import evaluate


@pytest.mark.parametrize(("right", "warned"), [(55, True), (95, False)])
def test_a_test_that_says_no_more_than_guessing_is_warned_of(right: int, warned: bool) -> None:
    labels = np.repeat(np.arange(2), 50)
    named = labels.copy()
    named[: 100 - right] = 1
    found = list(guess_note(Config(), evaluate(np.eye(2)[named], labels, label_smoothing=0)))
    assert bool(found) is warned
    assert not warned or "test accuracy 0.550 is not surely above guessing" in found[0]


@pytest.mark.parametrize(
    ("words", "images", "native", "told"),
    [
        ([], 2000, True, True),
        ([], 1999, True, False),
        ([], 2000, False, False),
        (["train.precision=fp32"], 2000, True, False),
        (["train.precision=bf16"], 2000, True, False),
        (["freeze=none"], 2000, True, False),
    ],
)
def test_half_precision_is_offered_where_it_saves_a_processor_minutes(
    words: list[str], images: int, native: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "computes_bf16", lambda device: native)
    config = load(["backbone=tiny", "freeze=all", "train.device=cpu", *words]).config
    found = list(precision_note(config, images))
    assert bool(found) is told
    assert not told or "2,000 images pass the frozen network: train.precision=bf16" in found[0]


@pytest.mark.parametrize(
    ("named", "head", "told"),
    [
        ([0] * 100, "linear", True),
        ([1] * 100, "linear", True),
        ([1] * 12 + [0] * 78 + [1] * 10, "linear", False),  # .88 right, fewer than by naming the frequent class
        ([0] * 100, "logreg", False),
    ],
)
def test_training_that_came_to_name_one_class_alone_is_told(named: list[int], head: str, told: bool) -> None:
    labels = np.repeat([0, 1], [90, 10])
    config = Config(head=HeadConfig(kind=HeadKind(head)))
    found = list(collapse_note(config, evaluate(np.eye(2)[named], labels, label_smoothing=0)))
    assert [text.startswith("training came to nothing: ") and "is 0.500, and" in text for text in found] == [
        True
    ] * told
