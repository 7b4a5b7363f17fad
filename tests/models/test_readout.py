import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.models.small_swin import known
from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError
from tlexp.models import build_backbone, feature_shape, feature_width, find_units

MODELS = {
    "test_resnet": 96,
    "test_vit": 96,
    "test_convnext": 96,
    "test_efficientnet": 96,
    "mobilenetv3_small_050": 96,
    known(): 32,
}
"""Maps of either layout, tokens, and modules behind the map; sizes at which a map has several places."""


def mapped(name: str, **options: object) -> nn.Module:
    return build_backbone(name, image_size=MODELS.get(name, 64), head=HeadKind.flatten_mlp, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_the_flat_map_is_what_timm_hands_to_its_head_place_by_place(name: str) -> None:
    backbone, size = mapped(name, seed=4).eval(), MODELS[name]
    images = torch.randn(3, 3, size, size)
    with torch.no_grad():
        expected = build_backbone(name, image_size=size, seed=4).eval().forward_features(images)  # type: ignore[operator]
        found = backbone(images)
    if expected.ndim == 4 and name != known():
        expected = expected.permute(0, 2, 3, 1)
    places, channels = feature_shape(backbone)
    assert places > 1
    assert feature_width(backbone) == places * channels
    assert torch.equal(found.unflatten(1, (places, channels)), expected.reshape(3, places, channels))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_that_is_left_reaches_the_features(name: str) -> None:
    backbone = mapped(name).train()
    (backbone(torch.randn(2, 3, MODELS[name], MODELS[name])) ** 2).sum().backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_the_classifier_of_vgg_leaves_the_backbone() -> None:
    whole, features = (
        build_backbone("vgg16", image_size=224, head=kind, meta=True)
        for kind in (HeadKind.linear, HeadKind.flatten_mlp)
    )
    assert feature_shape(features) == (7 * 7, 512)
    counts = [sum(parameter.numel() for parameter in each.parameters()) for each in (whole, features)]
    assert counts == [134_260_544, 14_714_688]
    assert not any("pre_logits" in key for key in features.state_dict())
    assert find_units(features, image_size=224)[-1].name == "features.28"
    assert find_units(features, image_size=224)[-1].shape == (25088,)


def test_a_copy_gives_the_same_features() -> None:
    backbone = mapped("test_resnet").eval()
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(copy.deepcopy(backbone)(images), backbone(images))


@pytest.mark.parametrize("name", ["crossvit_9_240", "pixels"])
def test_a_backbone_without_a_map_is_refused_by_name(name: str) -> None:
    size = {"crossvit_9_240": 240}.get(name, 32)
    with pytest.raises(ConfigError, match=rf"head=flatten_mlp needs the last map .* backbone\.name={name} has none"):
        build_backbone(name, image_size=size, head=HeadKind.flatten_mlp, meta=True)


def unit_names(name: str) -> list[str]:
    """Return the units in front of the pooling."""
    return [unit.name for unit in find_units(mapped(name, meta=True), image_size=MODELS[name])]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.broad(3)
def test_units_stand_side_by_side_averaged_and_of_one_size(name: str) -> None:
    size, names = MODELS[name], unit_names(name)
    images = torch.randn(2, 3, size, size)
    both = build_backbone(name, image_size=size, head_units=names[-3:-1], seed=3).eval()
    alone = [build_backbone(name, image_size=size, head_units=[each], seed=3).eval() for each in names[-3:-1]]
    with torch.no_grad():
        found, parts = both(images), [each(images) for each in alone]
    assert found.shape == (2, feature_width(both))
    assert torch.allclose(found, torch.cat(parts, 1), atol=1e-6)
    for part in parts:
        assert torch.allclose(part.square().mean(1), torch.ones(2), atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.broad(2)
def test_a_units_features_are_those_that_timm_taps(name: str) -> None:
    """timm's own intermediate maps, all (B, C, h, w), or patches and class token, show which axis is averaged."""
    size, images = MODELS[name], torch.randn(2, 3, MODELS[name], MODELS[name])
    names = [each for each in unit_names(name) if each[-1].isdigit()]
    ours = build_backbone(name, image_size=size, head_units=[names[-1]], seed=3).eval()
    theirs = build_backbone(name, image_size=size, seed=3).eval()
    with torch.no_grad():
        tapped: list[torch.Tensor] = (
            theirs.forward_intermediates(  # type: ignore[operator]
                images, indices=1, intermediates_only=True, return_prefix_tokens=True
            )
            if name == "test_vit"
            else theirs.forward_intermediates(images, indices=1, intermediates_only=True)
        )  # type: ignore[operator]
        [last] = tapped
        expected = torch.cat([last[1][:, 0], last[0].mean((2, 3))], 1) if name == "test_vit" else last.mean((2, 3))
        found = ours(images)
    assert torch.allclose(found, F.rms_norm(expected, expected.shape[1:], eps=1e-12), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.broad(3)
def test_what_comes_behind_the_deepest_unit_leaves_the_backbone(name: str) -> None:
    size, names = MODELS[name], unit_names(name)
    backbone = build_backbone(name, image_size=size, head_units=names[:2]).train()
    (backbone(torch.randn(2, 3, size, size)) * torch.randn(feature_width(backbone))).sum().backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []
    assert names[2] not in [unit.name for unit in find_units(backbone, image_size=size)]


def test_the_order_of_the_names_does_not_matter() -> None:
    images = torch.randn(2, 3, 96, 96)
    rows = [
        build_backbone("test_resnet", image_size=96, head_units=names, seed=1).eval()(images)
        for names in (["layer2", "layer4"], ["layer4", "layer2"])
    ]
    assert torch.equal(*rows)


def test_a_unit_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"head\.units names layer9, which test_resnet has not .* nearest: layer"
    ) as told:
        build_backbone("test_resnet", image_size=96, head_units=["layer9", "layer2", "steam"], meta=True)
    assert len(told.value.problems) == 2
    assert "nearest: stem" in told.value.problems[1]


@pytest.mark.parametrize(
    ("name", "units", "told"),
    [
        ("crossvit_9_240", ["blocks.0"], r"gives no single tensor to its head"),
        ("hrnet_w18_small", ["stage3", "neck"], r"unit stage3 .* hands on no single map or tokens"),
        ("hrnet_w18_small", ["stage3"], r"does not run without what comes behind: name its last unit, neck"),
    ],
)
def test_units_that_cannot_be_read_are_refused(name: str, units: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build_backbone(name, image_size=240 if name.startswith("cross") else 64, head_units=units, meta=True)


def test_a_copy_taps_its_own_units() -> None:
    backbone = build_backbone("test_resnet", image_size=96, head_units=["layer2", "layer3"]).eval()
    images = torch.randn(2, 3, 96, 96)
    before = backbone(images)
    other = copy.deepcopy(backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
    assert torch.equal(other(images), before)
    assert not torch.equal(backbone(images), before)
