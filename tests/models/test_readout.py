import copy

import pytest
import torch
from torch import nn

from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError
from tlexp.models import build_backbone, feature_shape, feature_width, find_units

MODELS = {
    "test_resnet": 96,
    "test_vit": 96,
    "test_convnext": 96,
    "test_efficientnet": 96,
    "mobilenetv3_small_050": 96,
    "swin_tiny_patch4_window7_224": 224,
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
    if expected.ndim == 4 and not name.startswith("swin"):
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
