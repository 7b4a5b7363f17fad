"""Weights of another program find their places, or every kind of misfit is listed."""

import pytest
import timm
import torch
from torch import Tensor, nn

from tlexp.errors import WeightsError
from tlexp.models import build_backbone
from tlexp.models.transplant import transplant

NAME = "test_resnet"


def whole(name: str = NAME, **options: object) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return timm.create_model(name, **options).state_dict()


def fresh(name: str = NAME, size: int = 64) -> nn.Module:
    return build_backbone(name, image_size=size)


def carry(backbone: nn.Module, tensors: dict[str, Tensor], *, name: str = NAME, strict: bool = True) -> None:
    transplant(backbone, tensors, name=name, source="file w.pth", strict=strict)


def arrived(backbone: nn.Module, tensors: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, tensors[name]) for name, tensor in backbone.state_dict().items())


@pytest.mark.parametrize(
    "prefix", ["", "module.", "backbone.", "model.", "module.model.", "_orig_mod.module.", "encoder."]
)
def test_prefixes_of_wrappers_are_taken_off(prefix: str) -> None:
    source, backbone = whole(), fresh()
    carry(backbone, {prefix + name: tensor for name, tensor in source.items()})
    assert arrived(backbone, source)


def test_a_head_beside_a_prefixed_backbone_is_left() -> None:
    source, backbone = whole(num_classes=0), fresh()
    named = {f"backbone.{name}": tensor for name, tensor in source.items()}
    carry(backbone, named | {"head.0.weight": torch.ones(3, 3), "ema_decay": torch.ones(1)})
    assert arrived(backbone, source)


@pytest.mark.parametrize("classes", [1000, 5])
def test_the_classifier_of_the_source_is_left(classes: int) -> None:
    source, backbone = whole(num_classes=classes), fresh()
    carry(backbone, source)
    assert arrived(backbone, source)


def test_an_auxiliary_head_of_the_source_is_left() -> None:
    source = whole("inception_v3", aux_logits=True)
    assert any(name.startswith("AuxLogits.") for name in source)
    backbone = build_backbone("inception_v3", image_size=96)
    carry(backbone, source, name="inception_v3")
    assert arrived(backbone, source)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "levit_128s", "repvit_m1"])
def test_both_heads_of_a_distilled_model_are_left(name: str) -> None:
    source, backbone = whole(name), build_backbone(name, image_size=224)
    carry(backbone, source, name=name)
    assert arrived(backbone, source)


def test_position_embeddings_are_fitted_to_another_size_by_the_architectures_own_filter() -> None:
    source = whole("vit_tiny_patch16_224")
    backbone = fresh("vit_tiny_patch16_224", 64)
    carry(backbone, source, name="vit_tiny_patch16_224")
    state = backbone.state_dict()
    assert state["pos_embed"].shape == (1, 17, 192)
    torch.testing.assert_close(state["pos_embed"][:, 0], source["pos_embed"][:, 0])
    assert torch.equal(state["blocks.3.mlp.fc1.weight"], source["blocks.3.mlp.fc1.weight"])


def test_the_first_naming_of_an_architecture_is_understood() -> None:
    """ConvNeXt's authors call downsample_layers.0 what timm calls stem."""
    source, backbone = whole("convnext_atto"), fresh("convnext_atto")
    theirs = {}
    for name, tensor in source.items():
        name = name.replace("stem.", "downsample_layers.0.").replace("head.fc.", "head.").replace("head.norm.", "norm.")
        if ".downsample." in name:
            _, stage, _, rest = name.split(".", 3)
            name = f"downsample_layers.{stage}.{rest}"
        for ours, other in ((".blocks.", "."), ("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2")):
            name = name.replace(ours, other)
        theirs[name] = tensor
    carry(backbone, theirs, name="convnext_atto")
    assert arrived(backbone, source)


def test_half_precision_arrives_in_single() -> None:
    source, backbone = whole(), fresh()
    carry(backbone, {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in source.items()})
    assert {tensor.dtype for tensor in backbone.parameters()} == {torch.float32}


def test_counters_of_old_checkpoints_may_be_missing() -> None:
    source, backbone = whole(), fresh()
    carry(backbone, {name: tensor for name, tensor in source.items() if not name.endswith("num_batches_tracked")})


def test_a_misfit_lists_missing_unexpected_and_misshapen_names_and_changes_nothing() -> None:
    backbone = fresh()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    source = whole()
    source["conv1.0.weight"] = torch.ones(2, 2)
    source |= {f"layer1.9.extra{i}": torch.ones(1) for i in range(7)}
    del source["layer2.0.conv1.weight"]
    with pytest.raises(WeightsError) as caught:
        carry(backbone, source)
    text = str(caught.value)
    assert (
        "file w.pth does not fit test_resnet: 1 missing: layer2.0.conv1.weight; 7 unexpected: layer1.9.extra0" in text
    )
    assert "1 of another shape: conv1.0.weight (2, 2) instead of (16, 3, 3, 3)" in text
    assert "layer1.9.extra4, ..." in text
    assert "layer1.9.extra5" not in text
    assert "backbone.weights=FILE" in text
    assert arrived(backbone, before)


@pytest.mark.parametrize(("into", "of"), [("resnet18", "resnet34"), ("resnet34", "resnet18"), ("resnet18", "test_vit")])
def test_another_architecture_is_refused(into: str, of: str) -> None:
    with pytest.raises(WeightsError, match=f"does not fit {into}"):
        carry(fresh(into), whole(of), name=into)


@pytest.mark.parametrize("of", ["resnet18", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("into", ["vit_tiny_patch16_224", "convnext_atto"])
def test_a_filter_that_stumbles_over_a_foreign_state_is_a_misfit(into: str, of: str) -> None:
    with pytest.raises(WeightsError, match=f"does not fit {into}"):
        carry(fresh(into, 224), whole(of), name=into)


def test_what_an_export_left_out_for_its_head_is_told() -> None:
    into, whole = build_backbone("test_resnet", image_size=32), build_backbone("test_resnet", image_size=32)
    part = {key: value for key, value in whole.state_dict().items() if not key.startswith("layer4")}
    with pytest.raises(WeightsError, match=r"a run exports what its head needs: take its head\.units or head again"):
        transplant(into, part, name="test_resnet", source="run x", strict=True)
    foreign = {**part, "layer1.foreign": part["conv1.0.weight"]}
    with pytest.raises(WeightsError) as other:
        transplant(into, foreign, name="test_resnet", source="x", strict=True)
    assert "exports what its head needs" not in str(other.value)
