"""Norms are known by their type, whatever they are called."""

import pytest
import timm.layers
import torch
from torch import nn

from tests.models.test_units import FAMILIES, QUICK
from tlexp.models import build_backbone, preprocessing
from tlexp.models.norms import is_norm

NORMS = [
    nn.BatchNorm1d(4), nn.BatchNorm2d(4), nn.SyncBatchNorm(4), nn.InstanceNorm2d(4, affine=True), nn.LayerNorm(4),
    nn.GroupNorm(2, 4), nn.RMSNorm(4),
    *(
        getattr(timm.layers, name)(4)
        for name in (
            "BatchNormAct2d", "EvoNorm2dB0", "FilterResponseNormTlu2d", "GroupNorm1", "LayerNorm", "LayerNorm2d",
            "LayerNormAct2d", "RmsNorm", "RmsNorm2d", "RmsNormAct2d", "SimpleNorm", "SimpleNorm2d",
        )
    ),
]  # fmt: skip
OTHERS = [
    nn.Linear(4, 4), nn.Conv2d(4, 4, 1), nn.PReLU(4), nn.Embedding(2, 4), nn.MultiheadAttention(4, 1),
    timm.layers.ConvNormAct(4, 4), timm.layers.NormMlpClassifierHead(4, 2), timm.layers.ScaledStdConv2d(4, 4, 1),
    timm.layers.LayerScale(4),
]  # fmt: skip


@pytest.mark.parametrize("module", NORMS, ids=lambda module: type(module).__name__)
def test_norms_of_torch_and_timm_are(module: nn.Module) -> None:
    assert is_norm(module)


def test_what_is_derived_from_a_norm_is_one() -> None:
    class Mine(timm.layers.RmsNorm):
        pass

    assert is_norm(Mine(4))


@pytest.mark.parametrize("module", OTHERS, ids=lambda module: type(module).__name__)
def test_what_holds_norms_or_is_named_after_them_is_not(module: nn.Module) -> None:
    assert not is_norm(module)


@pytest.mark.parametrize(
    "family", [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in FAMILIES]
)
@pytest.mark.broad(3)
def test_no_layer_of_timm_that_is_called_a_norm_is_missed(family: str) -> None:
    """By name it would be a guess; that none by name is missed by type is a check."""
    name = FAMILIES[family]
    backbone = build_backbone(name, image_size=preprocessing(name).image_size, meta=True)
    with torch.no_grad():
        missed = {
            type(module).__name__
            for module in backbone.modules()
            if "norm" in type(module).__name__.lower() and [*module.parameters(recurse=False)] and not is_norm(module)
        }
    assert not missed
