"""What is frozen stays frozen to the bit, gives the same output always, and costs no graph."""

from copy import deepcopy
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.config.freeze import FreezeNorm
from tlexp.config.head import HeadInit, HeadKind
from tlexp.models import Classifier, Unit, build_backbone, build_head, feature_width, find_units, keeps_statistics

RESNET, MOBILENET = ("test_resnet", 64), ("mobilenetv2_050", 64)
VIT, SWIN = ("test_vit", 32), ("swin_tiny_patch4_window7_224", 32)


def build(model: tuple[str, int], depth: int, *, norm: FreezeNorm = FreezeNorm.follow, **options: float) -> Classifier:
    backbone, units = found(*model, **options)
    width = feature_width(backbone)
    head = build_head(kind=HeadKind.linear, in_features=width, num_classes=3, init=HeadInit.normal, seed=1)
    return Classifier(deepcopy(backbone), head, units, min(depth, len(units)), norm=norm)


@cache
def found(name: str, size: int, **options: float) -> tuple[nn.Module, tuple[Unit, ...]]:
    backbone = build_backbone(name, image_size=size, **options)
    return backbone, find_units(backbone, image_size=size)


@cache
def images(size: int, count: int = 6) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def train_steps(classifier: Classifier, size: int, steps: int = 3) -> None:
    classifier.train()
    chosen = [parameter for _, parameter in classifier.trainable_parameters()]
    optimizer = torch.optim.SGD(chosen, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(classifier(images(size) * 2 + 1), torch.arange(6) % 3).backward()
        optimizer.step()


@pytest.mark.parametrize("depth", [0, 1, 3, 99])
@pytest.mark.parametrize("model", [RESNET, MOBILENET, VIT], ids=lambda model: model[0])
def test_training_leaves_every_frozen_bit(model: tuple[str, int], depth: int) -> None:
    classifier = build(model, depth)
    before = {name: tensor.clone() for name, tensor in classifier.backbone.state_dict().items()}
    digest = classifier.frozen_digest()
    train_steps(classifier, model[1])
    after = classifier.backbone.state_dict()
    frozen = {name for unit in classifier.units[: classifier.depth] for name in (*unit.parameters, *unit.buffers)}
    assert classifier.frozen_digest() == digest
    assert all(torch.equal(before[name], after[name]) for name in frozen & before.keys())
    moved = [unit for unit in classifier.units if any(not torch.equal(before[n], after[n]) for n in unit.parameters)]
    assert [unit.index for unit in moved] == list(range(classifier.depth, len(classifier.units)))


def test_the_digest_sees_parameters_and_buffers_of_the_frozen_part_only() -> None:
    classifier = build(RESNET, 2)
    digest = classifier.frozen_digest()
    with torch.no_grad():
        classifier.backbone.layer4[0].bn1.running_mean += 1
        assert classifier.frozen_digest() == digest
        classifier.backbone.layer1[0].bn1.running_mean += 1
        assert classifier.frozen_digest() != digest


@pytest.mark.parametrize("depth", [0, 2, 99])
@pytest.mark.parametrize("model", [RESNET, SWIN], ids=lambda model: model[0])
def test_train_does_not_undo_eval(model: tuple[str, int], depth: int) -> None:
    classifier = build(model, depth, drop_rate=0.1)
    classifier.train().eval()
    assert not any(module.training for module in classifier.modules())
    classifier.train()
    modules = dict(classifier.backbone.named_modules())
    for unit in classifier.units:
        modes = {modules[name].training for name in unit.modules}
        assert modes <= {unit.index >= classifier.depth}
    assert classifier.training
    assert classifier.head.training


def prefix_output(classifier: Classifier, last: str, batch: Tensor) -> Tensor:
    """What leaves the last frozen unit while the classifier runs."""
    seen: list[Tensor] = []
    hook = classifier.backbone.get_submodule(last).register_forward_hook(lambda _, __, made: seen.append(made))
    classifier(batch)
    hook.remove()
    return seen[0]


def test_a_frozen_prefix_does_not_see_the_other_images_of_the_batch() -> None:
    classifier = build(RESNET, 3).train()
    strangers = torch.cat([images(64)[:1], torch.randn(31, 3, 64, 64) * 5])
    alone = prefix_output(classifier, "layer2", images(64)[:1])
    torch.testing.assert_close(prefix_output(classifier, "layer2", strangers)[:1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", [RESNET, MOBILENET, VIT], ids=lambda model: model[0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_row_of_a_frozen_backbone_has_the_same_bits_in_any_company(
    model: tuple[str, int], layout: torch.memory_format
) -> None:
    classifier = build(model, 99).train()
    batch = images(model[1], 37).to(memory_format=layout)
    together = classifier.features(batch)
    for rows in (slice(0, 1), slice(36, 37), slice(3, 9), slice(30, 37)):
        assert torch.equal(classifier.features(batch[rows]), together[rows])


def test_chunks_change_nothing_but_the_last_bits() -> None:
    classifier = build(RESNET, 99).eval()
    with torch.no_grad():
        torch.testing.assert_close(classifier.features(images(64, 37)), classifier.backbone(images(64, 37)))


def test_stochastic_depth_is_off_in_the_frozen_part_and_on_in_the_rest() -> None:
    classifier = build(SWIN, 4, drop_path_rate=0.2).train()
    batch = images(32, 8)
    first, second = (prefix_output(classifier, "layers.2", batch) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(classifier(batch), classifier(batch))
    parts = classifier.backbone, classifier.head, classifier.units
    whole = Classifier(*parts, len(classifier.units)).train()
    assert torch.equal(whole(batch), whole(batch))
    free = Classifier(*parts, 0).train()
    assert not torch.equal(prefix_output(free, "layers.2", batch), prefix_output(free, "layers.2", batch))


def test_a_frozen_backbone_builds_no_graph() -> None:
    classifier = build(RESNET, 99).train()
    features = classifier.features(images(64))
    assert not features.requires_grad
    assert not features.is_inference()
    assert not prefix_output(build(RESNET, 3).train(), "layer2", images(64)).requires_grad
    assert prefix_output(build(RESNET, 2).train(), "layer2", images(64)).requires_grad


def test_nothing_frozen_is_the_plain_model() -> None:
    classifier = build(RESNET, 0).train()
    plain = nn.Sequential(build_backbone("test_resnet", image_size=64), classifier.head).train()
    assert torch.equal(classifier(images(64)), plain(images(64)))
    theirs = classifier.backbone.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in plain[0].state_dict().items())


@pytest.mark.parametrize("depth", [0, 2, 99])
def test_outputs_are_float32_inside_autocast(depth: int) -> None:
    classifier = build(RESNET, depth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert classifier.features(images(64)).dtype is torch.float32
        assert classifier(images(64)).dtype is torch.float32


def test_layers_grow_along_the_units_and_end_at_the_head() -> None:
    classifier = build(RESNET, 0)
    assert classifier.layer_of("backbone.conv1.0.weight") == 0
    assert classifier.layer_of("backbone.layer3.0.conv1.weight") == 3
    assert classifier.layer_of("head.0.weight") == len(classifier.units) == 5
    for name, _ in classifier.named_parameters():
        assert 0 <= classifier.layer_of(name) <= 5


def test_trainable_parameters_are_the_suffix_and_the_head() -> None:
    classifier = build(RESNET, 3)
    named = dict(classifier.trainable_parameters())
    expected = {f"backbone.{name}" for unit in classifier.units[3:] for name in unit.parameters}
    assert named.keys() == expected | {"head.0.weight", "head.0.bias"}
    assert all(parameter is dict(classifier.named_parameters())[name] for name, parameter in named.items())


def test_the_state_has_one_name_per_tensor() -> None:
    assert {name.partition(".")[0] for name in build(RESNET, 3).state_dict()} == {"backbone", "head"}


def statistics(backbone: nn.Module) -> dict[str, Tensor]:
    """The running statistics by the name of their layer, as they are now."""
    return {
        name: torch.stack([module.running_mean, module.running_var]).clone()
        for name, module in backbone.named_modules()
        if keeps_statistics(module)
    }


@pytest.mark.parametrize("depth", [0, 2, 99])
@pytest.mark.parametrize("norm", FreezeNorm)
@pytest.mark.parametrize("model", [RESNET, MOBILENET], ids=lambda model: model[0])
def test_statistics_move_where_norm_says_and_frozen_parameters_never(
    model: tuple[str, int], norm: FreezeNorm, depth: int
) -> None:
    classifier = build(model, depth, norm=norm, drop_rate=0.1)
    digest = classifier.frozen_digest()
    before = statistics(classifier.backbone)
    parameters = {name: parameter.clone() for name, parameter in classifier.backbone.named_parameters()}
    train_steps(classifier, model[1])
    after = statistics(classifier.backbone)
    unit_of = {name: unit.index for unit in classifier.units for name in unit.modules}
    for name in before:
        moves = {"follow": unit_of[name] >= classifier.depth, "keep": False, "update": True}[norm]
        assert torch.equal(before[name], after[name]) != moves, name
    assert classifier.frozen_digest() == digest
    for unit in classifier.units:
        moved = [n for n in unit.parameters if not torch.equal(parameters[n], classifier.backbone.get_parameter(n))]
        assert bool(moved) == (unit.index >= classifier.depth)
    modules = dict(classifier.backbone.named_modules())
    frozen = {name for unit in classifier.units[: classifier.depth] for name in unit.modules}
    assert not any(modules[name].training for name in frozen - before.keys())


def test_kept_statistics_leave_the_affine_parameters_of_trainable_units_to_train() -> None:
    classifier = build(RESNET, 2, norm=FreezeNorm.keep)
    modules = {name: module for name, module in classifier.backbone.named_modules() if keeps_statistics(module)}
    before = {name: module.weight.detach().clone() for name, module in modules.items()}
    train_steps(classifier, 64)
    moved = {name for name, module in modules.items() if not torch.equal(before[name], module.weight)}
    assert moved == modules.keys() & {name for unit in classifier.units[2:] for name in unit.modules}


def test_updated_statistics_are_those_of_the_batch_and_of_no_filling() -> None:
    classifier = build(RESNET, 99, norm=FreezeNorm.update).train()
    plain = deepcopy(classifier.backbone).train()
    features = classifier.features(images(64, 37))
    with torch.no_grad():
        assert torch.equal(features, plain(images(64, 37)))
    ours, theirs = statistics(classifier.backbone), statistics(plain)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not features.requires_grad


def test_prediction_moves_no_statistics_and_does_not_see_the_company() -> None:
    classifier = build(RESNET, 99, norm=FreezeNorm.update).train()
    classifier.features(images(64))
    before = statistics(classifier.eval().backbone)
    together = classifier.features(images(64, 37))
    assert torch.equal(classifier.features(images(64, 37)[36:]), together[36:])
    after = statistics(classifier.backbone)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_digest_leaves_out_updated_statistics_and_nothing_else() -> None:
    classifier = build(RESNET, 2, norm=FreezeNorm.update)
    digest = classifier.frozen_digest()
    layer = classifier.backbone.layer1[0]
    with torch.no_grad():
        layer.bn1.running_mean += 1
        layer.bn1.num_batches_tracked += 1
        assert classifier.frozen_digest() == digest
        layer.bn1.bias += 1
        assert classifier.frozen_digest() != digest
    assert build(VIT, 99, norm=FreezeNorm.update).frozen_digest() == build(VIT, 99).frozen_digest()


def test_a_network_without_statistics_is_the_same_whatever_norm_says() -> None:
    batch = images(32)[:3]
    expected = build(VIT, 99).train().features(batch)
    for norm in FreezeNorm:
        classifier = build(VIT, 99, norm=norm).train()
        assert torch.equal(classifier.features(batch), expected)
        assert not any(module.training for module in classifier.backbone.modules())


def test_named_parameters_alone_train_and_all_else_keeps_its_bits_and_its_mode() -> None:
    classifier = build(RESNET, 1)
    unit = classifier.units[2]
    modules = dict(classifier.backbone.named_modules())
    # The last norm of a block: it starts at zero, so nothing before it would hear of a loss.
    norm = [name for name in unit.modules if keeps_statistics(modules[name])][-1]
    chosen = {f"{norm}.weight", f"{norm}.bias"}
    classifier.refreeze(2, chosen)
    assert {f"backbone.{name}" for name in chosen} | {"head.0.weight", "head.0.bias"} == dict(
        classifier.trainable_parameters()
    ).keys()
    before = {name: tensor.clone() for name, tensor in classifier.backbone.state_dict().items()}
    digest = classifier.frozen_digest()
    train_steps(classifier, 64)
    moved = {name for name, tensor in classifier.backbone.state_dict().items() if not torch.equal(before[name], tensor)}
    assert moved == chosen | {f"{norm}.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert classifier.frozen_digest() == digest
    assert {name for name, module in classifier.train().backbone.named_modules() if module.training} == {norm}


def test_the_digest_sees_what_is_frozen_behind_and_beside_what_trains() -> None:
    classifier = build(RESNET, 1)
    classifier.refreeze(1, {"layer1.0.conv1.weight"})
    seen = {"layer1.0.conv2.weight", "layer1.0.bn1.running_mean", "layer3.0.conv1.weight", "layer3.0.bn1.running_var"}
    state = classifier.backbone.state_dict()
    for name in (*seen, "layer1.0.conv1.weight"):
        digest = classifier.frozen_digest()
        with torch.no_grad():
            state[name] += 1
        assert (classifier.frozen_digest() != digest) == (name in seen), name


def test_refreezing_is_building_anew() -> None:
    again, anew = build(RESNET, 3, norm=FreezeNorm.update), build(RESNET, 1, norm=FreezeNorm.update)
    train_steps(again, 64)
    again.refreeze(1)
    anew.load_state_dict(again.state_dict())
    assert [name for name, _ in again.trainable_parameters()] == [name for name, _ in anew.trainable_parameters()]
    assert again.frozen_digest() == anew.frozen_digest()
    modes = [{name: module.training for name, module in each.train().named_modules()} for each in (again, anew)]
    assert modes[0] == modes[1]
    again.refreeze(len(again.units))
    assert all(parameter.grad is None for parameter in again.backbone.parameters())
    assert not any(parameter.requires_grad for parameter in again.backbone.parameters())


@pytest.mark.parametrize("depth", [0, 2])
def test_the_digest_sees_statistics_that_are_to_be_kept_where_units_train(depth: int) -> None:
    for norm in (FreezeNorm.keep, FreezeNorm.follow):
        classifier = build(RESNET, depth, norm=norm)
        before = classifier.frozen_digest()
        name = [name for name, _ in classifier.backbone.named_buffers() if name.endswith("running_mean")][-1]
        classifier.backbone.get_buffer(name).add_(1)
        assert (classifier.frozen_digest() != before) == (norm is FreezeNorm.keep)
