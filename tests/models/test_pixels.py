"""Raw pixels pass for a backbone: the same calls, no weights, no units."""

from pathlib import Path

import pytest
import torch

from tlexp.config.freeze import FreezePolicy
from tlexp.config.head import HeadKind
from tlexp.models import (
    Classifier,
    build_backbone,
    build_head,
    feature_width,
    find_units,
    freeze_depth,
    load_weights,
    preprocessing,
)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_features_are_means_of_areas(size: int) -> None:
    backbone = build_backbone("pixels", image_size=size)
    images = torch.rand(3, 3, size, size) * 2 - 1
    expected = images.unflatten(2, (16, -1)).unflatten(4, (16, -1)).mean((3, 5)).flatten(1)
    torch.testing.assert_close(backbone(images), expected)
    assert feature_width(backbone) == backbone.num_features == backbone.head_hidden_size == 768


@pytest.mark.parametrize("size", [8, 20, 225])
def test_any_size_gives_the_same_width_and_a_plain_image_stays_plain(size: int) -> None:
    backbone = build_backbone("pixels", image_size=size)
    torch.testing.assert_close(backbone(torch.full((2, 3, size, size), 0.3)), torch.full((2, 768), 0.3))


def test_values_lie_between_minus_one_and_one() -> None:
    expected = preprocessing("pixels")
    assert [(each - expected.mean[0]) / expected.std[0] for each in (0, 1)] == [-1, 1]
    assert (expected.image_size, expected.crop_pct) == (32, 1.0)
    assert preprocessing("pixels", image_size=96, crop_pct=0.5).image_size == 96


def test_there_is_nothing_to_freeze_or_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("weights were looked for")

    monkeypatch.setattr("tlexp.models.weights.find_remote", unwanted)
    backbone = build_backbone("pixels", image_size=32)
    origins = [
        load_weights(backbone, name="pixels", pretrained=p, weights=None, seed=s) for p in (0, 1) for s in (0, 1)
    ]
    assert {origin.source for origin in origins} == {"none"}
    assert len({origin.digest for origin in origins}) == 1
    units = find_units(backbone, image_size=32)
    assert units == ()
    assert all(
        freeze_depth(policy, None, units, backbone="pixels") == 0
        for policy in map(FreezePolicy, ("none", "all", "last"))
    )


def test_a_row_has_the_same_bits_in_any_company() -> None:
    backbone = build_backbone("pixels", image_size=32)
    head = build_head(kind=HeadKind.linear, in_features=768, num_classes=2, seed=0)
    classifier = Classifier(backbone, head, (), 0).train()
    images = torch.rand(37, 3, 32, 32)
    assert torch.equal(classifier.features(images[36:]), classifier.features(images)[36:])
    assert [name for name, _ in classifier.trainable_parameters()] == ["head.0.weight", "head.0.bias"]
