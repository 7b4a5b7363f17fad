"""Adapters: frozen layers stay as they are, the start is the plain network, and the end is one too."""

import importlib.util
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.config import Preprocessing
from tlexp.errors import ConfigError
from tlexp.models import (
    Classifier,
    ModelCard,
    Unit,
    build_backbone,
    build_head,
    calibrate,
    feature_width,
    find_units,
    load_classifier,
    save_classifier,
)
from tlexp.models.export import HeadOptions
from tlexp.models.lora import adapt, adaptable_layers, merged_state

SIZES = {"test_resnet": 64, "test_vit": 32, "test_convnext": 64, "test_efficientnet": 64}


def plain(name: str) -> tuple[nn.Module, tuple[Unit, ...]]:
    return deepcopy(calibrated(name))


@cache
def calibrated(name: str) -> tuple[nn.Module, tuple[Unit, ...]]:
    backbone = build_backbone(name, image_size=SIZES[name], seed=3)
    calibrate(backbone, [images(name, seed=1)])
    return backbone, find_units(backbone, image_size=SIZES[name])


def images(name: str, seed: int = 0) -> Tensor:
    return torch.randn(8, 3, SIZES[name], SIZES[name], generator=torch.Generator().manual_seed(seed))


def layers(name: str, backbone: nn.Module, units: tuple[Unit, ...]) -> tuple[str, ...]:
    return adaptable_layers(backbone, units, name=name, image_size=SIZES[name])


def adapted(name: str, *, rank: int = 4, alpha: float = 8, seed: int = 0) -> tuple[nn.Module, Classifier]:
    """The plain backbone, and a classifier of it with adapters, which shares its tensors."""
    backbone, units = plain(name)
    with_adapters, units, trainable = adapt(
        backbone, units, layers(name, backbone, units), rank=rank, alpha=alpha, seed=seed
    )
    head = build_head(kind=HeadOptions().kind, in_features=feature_width(backbone), num_classes=3, seed=0)
    return backbone, Classifier(with_adapters, head, units, 1, trainable=trainable)


def train(classifier: Classifier, name: str, steps: int = 4) -> None:
    classifier.train()
    optimizer = torch.optim.AdamW([each for _, each in classifier.trainable_parameters()], lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(classifier(images(name)), torch.arange(8) % 3).backward()
        optimizer.step()


@pytest.mark.parametrize("name", SIZES)
def test_the_start_is_the_plain_network_to_the_bit_which_stays_as_it_is(name: str) -> None:
    backbone, classifier = adapted(name)
    names = [path for path, _ in backbone.named_parameters()]
    before = {path: tensor.clone() for path, tensor in backbone.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(classifier.eval().features(images(name)), backbone.eval()(images(name)))
    train(classifier, name)
    assert [path for path, _ in backbone.named_parameters()] == names
    assert all(torch.equal(before[path], tensor) for path, tensor in backbone.state_dict().items())
    assert {id(each) for each in backbone.parameters()} < {id(each) for each in classifier.backbone.parameters()}


@pytest.mark.parametrize("name", SIZES)
def test_what_is_written_is_the_plain_architecture_and_says_the_same(name: str, tmp_path: Path) -> None:
    backbone, classifier = adapted(name)
    train(classifier, name)
    expected = Preprocessing(
        image_size=SIZES[name], mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", crop_pct=1, crop_mode="center"
    )
    card = ModelCard(backbone=name, preprocessing=expected, classes=("a", "b", "c"))
    save_classifier(classifier.eval(), tmp_path, description=card)
    again, _ = load_classifier(tmp_path)
    assert [*again.backbone.state_dict()] == [*backbone.state_dict()]
    with torch.no_grad():
        theirs, ours = again(images(name)), classifier(images(name))
        start = classifier.head(backbone.eval()(images(name)))
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    assert (ours - start).abs().max() > 1e-2  # the adapters say something


def test_merging_leaves_the_adapted_network_as_it_is() -> None:
    _, classifier = adapted("test_vit")
    train(classifier, "test_vit", steps=2)
    before = {path: tensor.clone() for path, tensor in classifier.backbone.state_dict().items()}
    merged_state(classifier.backbone)
    assert all(torch.equal(before[path], tensor) for path, tensor in classifier.backbone.state_dict().items())
    plain_one = build_backbone("test_vit", image_size=32)
    assert merged_state(plain_one).keys() == plain_one.state_dict().keys()


def test_adapters_are_linear_and_convolutional_layers_behind_the_stem() -> None:
    backbone, units = plain("test_vit")
    assert [path for path in layers("test_vit", backbone, units) if path.startswith("blocks.1.")] == [
        "blocks.1.attn.qkv", "blocks.1.attn.proj", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2",
    ]  # fmt: skip
    assert all(path.startswith("blocks.") for path in layers("test_vit", backbone, units))
    backbone, units = plain("test_resnet")
    assert [path for path in layers("test_resnet", backbone, units) if path.startswith("layer2.")] == [
        "layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.1",
    ]  # fmt: skip
    assert all(path.startswith("layer") for path in layers("test_resnet", backbone, units))


def test_depthwise_convolutions_get_none() -> None:
    backbone, units = plain("test_convnext")
    modules = dict(backbone.named_modules())
    assert all(getattr(modules[path], "groups", 1) == 1 for path in layers("test_convnext", backbone, units))
    assert any(getattr(module, "groups", 1) > 1 for module in modules.values())


@pytest.mark.parametrize(("name", "read"), [("beit_base_patch16_224", "blocks.0.attn.qkv")])
def test_layers_whose_weight_is_read_without_a_call_get_none(name: str, read: str) -> None:
    """An adapter beside them would never be heard."""
    backbone = build_backbone(name, image_size=224, meta=True)
    units = find_units(backbone, image_size=224)
    found = adaptable_layers(backbone, units, name=name, image_size=224)
    assert isinstance(backbone.get_submodule(read), nn.Linear)
    assert read not in found
    assert "blocks.0.attn.proj" in found


def test_standardised_weights_get_none_for_an_adapter_could_not_be_added_to_them() -> None:
    backbone = build_backbone("test_nfnet", image_size=96, meta=True)
    units = find_units(backbone, image_size=96)
    found = adaptable_layers(backbone, units, name="test_nfnet", image_size=96)
    assert {path.rpartition(".")[2] for path in found} == {"fc1", "fc2"}  # those of squeeze and excitation
    assert "ScaledStdConv2d" in {type(module).__name__ for module in backbone.modules()}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_rank_sets_the_number_of_parameters_and_alpha_the_strength(name: str) -> None:
    def count(rank: int) -> int:
        _, classifier = adapted(name, rank=rank)
        return sum(each.numel() for path, each in classifier.trainable_parameters() if path.startswith("backbone."))

    assert count(6) == 3 * count(2)
    backbone, classifier = adapted(name, rank=4, alpha=8)
    train(classifier, name, steps=2)
    once = merged_state(classifier.backbone)
    _, stronger = adapted(name, rank=4, alpha=24)
    with torch.no_grad():
        for (_, mine), (_, theirs) in zip(
            stronger.trainable_parameters(), classifier.trainable_parameters(), strict=True
        ):
            mine.copy_(theirs)
    thrice = merged_state(stronger.backbone)
    for path, weight in backbone.state_dict().items():
        torch.testing.assert_close(thrice[path] - weight, 3 * (once[path] - weight), rtol=1e-3, atol=1e-6)


def test_the_seed_draws_the_adapters_and_nothing_else() -> None:
    def start(seed: int) -> list[Tensor]:
        return [each for _, each in adapted("test_vit", seed=seed)[1].trainable_parameters()]

    state = torch.random.get_rng_state()
    first, again, other = start(5), start(5), start(6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_a_missing_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, units = plain("test_vit")
    find: Callable[[str], object] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    with pytest.raises(ConfigError, match=r"freeze=lora needs the package peft.*: pip install 'tlexp\[lora\]'"):
        layers("test_vit", backbone, units)


def test_a_network_without_such_layers_is_refused_by_name() -> None:
    backbone = nn.Sequential(nn.PReLU(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    units = find_units(backbone, image_size=64)
    with pytest.raises(ConfigError, match=r"freeze=lora: bare has no plain linear or convolutional layer behind its"):
        adaptable_layers(backbone, units, name="bare", image_size=64)


def test_adapters_come_through_a_copy() -> None:
    _, classifier = adapted("test_resnet")
    train(classifier, "test_resnet", steps=2)
    copied = deepcopy(classifier.eval())
    assert torch.equal(copied(images("test_resnet")), classifier(images("test_resnet")))
    ours, theirs = merged_state(classifier.backbone), merged_state(copied.backbone)
    assert all(torch.equal(tensor, theirs[path]) for path, tensor in ours.items())
