"""Random weights are calibrated by the images alone: no branch is silent, and statistics are those of all images."""

import pytest
import torch
from torch import Tensor, nn

from tlexp.models import build_backbone, calibrate, keeps_statistics

BRANCHES = [
    ("test_resnet", "layer1.0.conv1.weight", 64),
    ("test_byobnet", "stages.1.0.conv1_1x1.conv.weight", 64),
    ("test_convnext", "stages.0.blocks.0.mlp.fc2.weight", 64),
    ("test_vit2", "blocks.3.attn.proj.weight", 160),
    ("test_nfnet", "stages.1.0.conv1.weight", 64),
    ("poolformer_s12", "stages.0.blocks.0.mlp.fc2.weight", 64),
]
"""Model, the weight of a branch that starts silent, and a size."""


def images(count: int, size: int = 64) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3)) * 0.7 + 0.4


def norms(backbone: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in backbone.named_modules() if keeps_statistics(module)}


@torch.no_grad()
def share(backbone: nn.Module, branch: str, batch: Tensor) -> float:
    """How much of the features depends on a branch."""
    backbone.eval()
    whole = backbone(batch)
    weight = backbone.get_parameter(branch)
    before = weight.clone()
    weight.zero_()
    without = backbone(batch)
    weight.copy_(before)
    return float((whole - without).norm() / whole.norm())


@pytest.mark.parametrize(("name", "branch", "size"), BRANCHES, ids=[name for name, _, _ in BRANCHES])
def test_every_branch_speaks(name: str, branch: str, size: int) -> None:
    backbone = build_backbone(name, image_size=size)
    silent = share(backbone, branch, images(4, size))
    calibrate(backbone, [images(8, size)])
    assert silent < 1e-4
    assert share(backbone, branch, images(4, size)) > 5e-3


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_vit2"])
def test_nothing_but_silent_scales_and_statistics_changes(name: str) -> None:
    backbone = build_backbone(name, image_size=160)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    calibrate(backbone, [images(4, 160)])
    changed = {key for key, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[key])}
    expected = {
        "test_vit": set(),
        "test_resnet": {"weight", "running_mean", "running_var", "num_batches_tracked"},
        "test_vit2": {"gamma"},
    }[name]
    assert {key.rpartition(".")[2] for key in changed} == expected
    assert all(bool((before[key].abs() <= 1e-4).all()) for key in changed if key.endswith(("weight", "gamma")))


def test_images_are_not_asked_for_where_there_are_no_statistics() -> None:
    def unwanted():
        raise AssertionError
        yield

    calibrate(build_backbone("test_vit2", image_size=160), unwanted())


def test_one_chunk_gives_what_torch_gives() -> None:
    ours, theirs = (build_backbone("test_resnet", image_size=64) for _ in range(2))
    calibrate(ours, [images(16)])
    theirs.eval()
    for norm in norms(theirs).values():
        nn.init.ones_(norm.weight)
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        theirs(images(16))
    for name, norm in norms(theirs).items():
        for statistic in ("running_mean", "running_var"):
            torch.testing.assert_close(getattr(norms(ours)[name], statistic), getattr(norm, statistic))


def test_every_image_counts_the_same_however_large_its_chunk() -> None:
    backbone = build_backbone("test_resnet", image_size=64)
    first = next(iter(norms(backbone).values()))
    seen: list[Tensor] = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    calibrate(backbone, torch.split(images(11), [6, 3, 2]))
    hook.remove()
    values = torch.cat(seen).transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(first.running_mean.double(), values.mean(1), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(first.running_var.double(), values.var(1), rtol=1e-6, atol=1e-7)


def test_calibrating_again_changes_nothing_and_the_mode_is_left_alone() -> None:
    backbone = build_backbone("test_resnet", image_size=64, drop_rate=0.5)
    calibrate(backbone, torch.split(images(9), 5))
    once = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    assert all(module.training for module in backbone.modules())
    calibrate(backbone, torch.split(images(9), 5))
    assert all(torch.equal(tensor, once[key]) for key, tensor in backbone.state_dict().items())


def test_statistics_fit_the_images_all_the_way_up() -> None:
    backbone = build_backbone("test_resnet", image_size=64)
    calibrate(backbone, [images(32)])
    deep = list(norms(backbone).values())[-1]
    seen: list[Tensor] = []
    deep.register_forward_hook(lambda _, __, made: seen.append(made))
    with torch.no_grad():
        backbone.eval()(images(32))
    assert float(seen[0].mean((0, 2, 3)).abs().max()) < 0.02
    assert float((seen[0].var((0, 2, 3)) - 1).abs().max()) < 0.02
