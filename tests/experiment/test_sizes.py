"""What people are told of the size at which a network sees the images."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from tests.composed import load
from tests.conftest import Start
from tlexp.experiment.sizes import size_notes
from tlexp.models import preprocessing


def test_a_size_below_the_networks_own_is_noted_with_what_its_own_takes(start: Start) -> None:
    stated = ("backbone=lite0", "backbone.image_size=64", "labels=2")
    [note] = [each for each in start(*stated).record.notes if "was trained at" in each]
    assert "was trained at 224 px and sees 64 here" in note
    assert "backbone.image_size=224 takes about 12 times as long" in note


def test_a_size_that_is_little_below_has_a_decimal() -> None:
    config = load(["backbone=lite0", "backbone.image_size=192"]).config
    [note] = size_notes(config, preprocessing(config.backbone.name, image_size=192), SimpleNamespace(short_sides=None))
    assert "backbone.image_size=224 takes about 1.4 times as long" in note


@pytest.mark.parametrize(("more", "told"), [([], True), (["backbone.pretrained=false"], False)])
def test_the_size_of_packaged_weights_is_that_of_their_card(more: Sequence[str], told: bool) -> None:
    config = load(["backbone=tiny", "backbone.image_size=32", *more]).config
    notes = [*size_notes(config, preprocessing(config.backbone.name, image_size=32), SimpleNamespace(short_sides=None))]
    assert [note.startswith("tiny was trained at 64 px and sees 32 here: ") for note in notes] == [True] * told


def test_weights_that_were_trained_at_the_size_used_are_not_noted() -> None:
    config = load(["backbone=tiny"]).config
    images = SimpleNamespace(short_sides=None)
    assert not [*size_notes(config, preprocessing(config.backbone.name, image_size=64), images)]
