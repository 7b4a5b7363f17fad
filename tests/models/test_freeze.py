"""What trains under each policy, of each kind of network; and that nothing else moves."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.config.freeze import FreezeBy, FreezeNorm, FreezePolicy
from tlexp.config.head import HeadInit, HeadKind
from tlexp.config.optim import Optimizer
from tlexp.errors import ConfigError
from tlexp.models import (
    Classifier,
    Freezing,
    Unit,
    build_backbone,
    build_head,
    calibrate,
    find_units,
    freeze_depth,
    keeps_statistics,
    resolve_freezing,
)
from tlexp.models.lora import adapt
from tlexp.train.optim import build_optimizer


def units(*names: str) -> list[Unit]:
    return [unit(index, name) for index, name in enumerate(names)]


def unit(index: int, name: str, size: int = 1, operations: int = 1) -> Unit:
    return Unit(
        index=index, name=name, parameters=(), buffers=(), modules=(), size=size, operations=operations, shape=None
    )


RESNET = units("stem", "layer1", "layer2", "layer3", "layer4")
VIT = units("stem", "blocks.0", "blocks.1", "neck")


@pytest.mark.parametrize(
    ("policy", "depth", "of", "expected"),
    [
        ("none", None, RESNET, 0),
        ("all", None, RESNET, 5),
        ("last", None, RESNET, 4),
        ("last", None, VIT, 2),
        ("depth", "0", RESNET, 0),
        ("depth", "5", RESNET, 5),
        ("depth", "all", RESNET, 5),
        ("depth", "0.5", RESNET, 3),
        ("depth", "layer2", RESNET, 3),
        ("depth", "blocks.1", VIT, 3),
        ("depth", "neck", VIT, 4),
    ],
)
def test_depth(policy: str, depth: str | None, of: list[Unit], expected: int) -> None:
    assert freeze_depth(FreezePolicy(policy), depth, of, backbone="b") == expected


def test_a_fraction_is_measured_by_what_is_asked_for() -> None:
    staged = [unit(0, "stem", 1, 4), unit(1, "layer1", 3, 5), unit(2, "layer2", 6, 1), unit(3, "layer3", 10, 0)]
    depths = {by: freeze_depth(FreezePolicy.depth, "0.5", staged, backbone="b", by=by) for by in FreezeBy}
    assert depths == {FreezeBy.units: 2, FreezeBy.parameters: 3, FreezeBy.operations: 1}
    assert freeze_depth(FreezePolicy.depth, "0.99", staged, backbone="b", by=FreezeBy.parameters) == 3
    assert Freezing(depth=3).shares(staged) == (0.5, 1.0)
    assert Freezing(depth=0).shares([]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        ("14", r"freeze.depth=14 is out of range for b: 0..5 \(stem, layer1, layer2, layer3, layer4\)"),
        ("layer9", r"freeze.depth=layer9 is not a unit of b: 0..5 \(stem, layer1, layer2, layer3, layer4\)"),
        ("1.0", r"freeze.depth=1.0: must be a whole number of units"),
        (None, r"freeze.depth is missing: b has units 0..5 \(stem"),
    ],
)
def test_refusals_list_the_units(depth: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        freeze_depth(FreezePolicy.depth, depth, RESNET, backbone="b")


# --- every policy on every kind of network

FAMILIES = {
    "test_resnet": 64,
    "test_vit": 32,
    "test_convnext": 64,
    "test_efficientnet": 64,
    "swin": 64,
}
NAMED = {
    "test_resnet": ("layer2",),
    "test_vit": ("blocks.1", "blocks.3"),
    "test_convnext": ("stages.1",),
    "test_efficientnet": ("stem", "blocks.2"),
    "swin": ("layers.1",),
}


@cache
def found(name: str) -> tuple[nn.Module, tuple[Unit, ...]]:
    """A backbone in which every branch speaks and no signal fades: else gradients would be lost to rounding."""
    side = FAMILIES[name]
    if name == "swin":  # the smallest of timm's is a hundred times larger
        small = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": 4, "img_size": side}
        backbone: nn.Module = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **small)
    else:
        backbone = build_backbone(name, image_size=side)
    calibrate(backbone, [torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(1))])
    return backbone, find_units(backbone, image_size=side)


@cache
def batch(name: str) -> tuple[Tensor, Tensor]:
    side = FAMILIES[name]
    return torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3


def resolve(name: str, policy: FreezePolicy, *, named: tuple[str, ...] = (), depth: str | None = None) -> Freezing:
    return resolve_freezing(policy, *found(name), name=name, image_size=FAMILIES[name], named=named, depth=depth)


@dataclass
class Built:
    classifier: Classifier
    freezing: Freezing
    expected: set[str]
    """Names of the backbone's parameters that are to train, found in another way than by the code under test."""


def built(name: str, policy: FreezePolicy, norm: FreezeNorm = FreezeNorm.follow) -> Built:
    backbone, units = found(name)
    backbone = deepcopy(backbone)
    named = NAMED[name] if policy is FreezePolicy.surgical else ()
    freezing = resolve(name, policy, named=named, depth="2" if policy is FreezePolicy.depth else None)
    trainable = freezing.trainable
    if freezing.adapted:
        backbone, units, trainable = adapt(backbone, units, freezing.adapted, rank=2, alpha=4, seed=0)
    width = int(backbone.num_features)
    head = build_head(kind=HeadKind.linear, in_features=width, num_classes=3, init=HeadInit.normal, seed=1)
    classifier = Classifier(backbone, head, units, freezing.depth, trainable=trainable, norm=norm)
    return Built(classifier, freezing, expected(classifier, policy, named))


def expected(classifier: Classifier, policy: FreezePolicy, named: tuple[str, ...]) -> set[str]:
    parameters, units = dict(classifier.backbone.named_parameters()), classifier.units
    if policy is FreezePolicy.bias:
        return {name for name in parameters if name.endswith(".bias")}
    if policy is FreezePolicy.lora:
        return {name for name in parameters if ".lora_" in name}
    if policy is FreezePolicy.norm:  # in these networks alone a norm's weight is a vector
        norms = {
            name.rpartition(".")[0] for name, each in parameters.items() if name.endswith("weight") and each.ndim < 2
        }
        return {name for name in parameters if name.rpartition(".")[0] in norms}
    if policy.phased:  # in the end
        return set(parameters)
    chosen = {
        FreezePolicy.none: units,
        FreezePolicy.all: (),
        FreezePolicy.last: [unit for unit in units if unit.name != "neck"][-1:]
        + [u for u in units if u.name == "neck"],
        FreezePolicy.depth: units[2:],
        FreezePolicy.surgical: [unit for unit in units if unit.name in named],
    }
    assert policy in chosen, f"say here which units train under {policy}, found in another way than by the code"
    return {name for unit in chosen[policy] for name in unit.parameters}


def state(classifier: Classifier) -> dict[str, Tensor]:
    tensors = [*classifier.backbone.named_parameters(), *classifier.backbone.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def train_steps(classifier: Classifier, name: str, steps: int = 2) -> None:
    classifier.train()
    optimizer = torch.optim.SGD([each for _, each in classifier.trainable_parameters()], lr=0.1)
    images, labels = batch(name)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(classifier(images), labels).backward()
        optimizer.step()


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in after.items() if not torch.equal(before[name], tensor)}


def statistics(classifier: Classifier, *, of: set[str] | None = None) -> set[str]:
    """The running statistics of layers, or of those of which the parameters `of` hold a whole layer."""
    modules = {name: each for name, each in classifier.backbone.named_modules() if keeps_statistics(each)}
    whole = {name for name in modules if of is None or {f"{name}.weight", f"{name}.bias"} <= of}
    return {f"{name}.{part}" for name in whole for part in ("running_mean", "running_var", "num_batches_tracked")}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("policy", FreezePolicy)
class TestEveryPolicyOnEveryNetwork:
    @pytest.mark.broad(3)
    def test_what_trains_moves_and_every_other_bit_stays(self, policy: FreezePolicy, name: str) -> None:
        each = built(name, policy)
        before, digest = state(each.classifier), each.classifier.frozen_digest()
        train_steps(each.classifier, name)
        allowed = each.expected | statistics(each.classifier, of=each.expected)
        assert moved(before, state(each.classifier)) == allowed
        assert each.classifier.frozen_digest() == digest

    def test_the_optimiser_holds_what_trains_and_nothing_else(self, policy: FreezePolicy, name: str) -> None:
        classifier = (each := built(name, policy)).classifier
        for decay in (None, 0.7):
            optimizer = build_optimizer(
                classifier, name=Optimizer.adamw, lr=1, weight_decay=1, momentum=0.9, layer_decay=decay
            )
            held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
            wanted = [classifier.backbone.get_parameter(path) for path in each.expected]
            assert sorted(held) == sorted(map(id, [*wanted, *classifier.head.parameters()]))

    def test_a_module_of_which_something_is_frozen_stays_in_eval(self, policy: FreezePolicy, name: str) -> None:
        classifier = (each := built(name, policy)).classifier.train().eval().train()
        for path, module in classifier.backbone.named_modules():
            own = {f"{path}.{part}".lstrip(".") for part, _ in module.named_parameters(recurse=False)}
            if own:
                assert module.training == (own <= each.expected), path
        for unit in classifier.units:
            if not each.expected.issuperset(unit.parameters):
                modules = [classifier.backbone.get_submodule(path) for path in unit.modules]
                assert not any(m.training for m in modules if not [*m.parameters(recurse=False)]), unit.name

    def test_what_leaves_the_frozen_prefix_needs_no_graph_and_what_leaves_the_next_unit_does(
        self, policy: FreezePolicy, name: str
    ) -> None:
        classifier = (each := built(name, policy)).classifier
        frozen = [each.expected.isdisjoint(unit.parameters) for unit in classifier.units]
        assert classifier.depth == each.freezing.depth == next((i for i, f in enumerate(frozen) if not f), len(frozen))
        assert each.freezing.frozen_units(found(name)[1]) == [u.name for u in classifier.units if frozen[u.index]]
        assert classifier.features(batch(name)[0]).requires_grad == (classifier.depth < len(classifier.units))

    def test_the_units_partition_all_parameters_and_modules(self, policy: FreezePolicy, name: str) -> None:
        classifier = built(name, policy).classifier
        parameters = [path for unit in classifier.units for path in unit.parameters]
        modules = [path for unit in classifier.units for path in unit.modules]
        assert sorted(parameters) == sorted(path for path, _ in classifier.backbone.named_parameters())
        assert sorted(modules) == sorted(path for path, _ in classifier.backbone.named_modules())


@pytest.mark.parametrize("norm", FreezeNorm)
@pytest.mark.parametrize("policy", [FreezePolicy.surgical, FreezePolicy.norm, FreezePolicy.bias, FreezePolicy.lora])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_statistics_move_where_norm_says(name: str, policy: FreezePolicy, norm: FreezeNorm) -> None:
    each = built(name, policy, norm)
    before, digest = state(each.classifier), each.classifier.frozen_digest()
    train_steps(each.classifier, name, steps=1)
    found_moved = moved(before, state(each.classifier)) & statistics(each.classifier)
    assert (
        found_moved
        == {
            FreezeNorm.follow: statistics(each.classifier, of=each.expected),
            FreezeNorm.keep: set(),
            FreezeNorm.update: statistics(each.classifier),
        }[norm]
    )
    assert each.classifier.frozen_digest() == digest


@pytest.mark.parametrize("name", FAMILIES)
def test_named_units_at_their_extremes_are_the_simpler_policies(name: str) -> None:
    names = tuple(unit.name for unit in found(name)[1])
    last = names[-2:] if names[-1] == "neck" else names[-1:]
    assert resolve(name, FreezePolicy.surgical, named=names) == resolve(name, FreezePolicy.none)
    assert resolve(name, FreezePolicy.surgical, named=names[::-1]) == resolve(name, FreezePolicy.none)
    assert resolve(name, FreezePolicy.surgical, named=last) == resolve(name, FreezePolicy.last)
    assert resolve(name, FreezePolicy.surgical, named=names[2:]) == resolve(name, FreezePolicy.depth, depth="2")


@pytest.mark.parametrize("name", FAMILIES)
def test_norms_and_biases_overlap_in_the_shifts_of_norms(name: str) -> None:
    norms, biases = (resolve(name, policy).trainable for policy in (FreezePolicy.norm, FreezePolicy.bias))
    assert norms & biases == {path for path in norms if path.endswith("bias")}
    assert norms - biases == {path for path in norms if path.endswith("weight")}


def test_an_unknown_unit_is_refused_with_the_nearest_and_all_names() -> None:
    with pytest.raises(ConfigError) as refused:
        resolve("test_resnet", FreezePolicy.surgical, named=("layer2", "layr3", "blocks.1"))
    assert list(refused.value.problems) == [
        "freeze.units: layr3 is not a unit of test_resnet (did you mean layer3 or layer4 or layer2?); its units are "
        "stem, layer1, layer2, layer3, layer4",
        "freeze.units: blocks.1 is not a unit of test_resnet; its units are stem, layer1, layer2, layer3, layer4",
    ]


@pytest.mark.parametrize(
    ("name", "policy", "message"),
    [
        ("vgg11", "norm", "freeze=norm: vgg11 has no scale or shift in any normalisation layer: use freeze=last"),
        ("gemma4_vit_167m", "bias", "freeze=bias: gemma4_vit_167m has no bias: use freeze=last"),
    ],
)
def test_networks_that_have_no_such_parameters_are_refused_by_name(name: str, policy: str, message: str) -> None:
    backbone = build_backbone(name, image_size=224, meta=True)
    units = find_units(backbone, image_size=224)
    with pytest.raises(ConfigError, match=message):
        resolve_freezing(FreezePolicy(policy), backbone, units, name=name, image_size=224)


def test_biases_by_other_names_count_and_tables_of_positions_do_not() -> None:
    backbone = build_backbone("beit_base_patch16_224", image_size=224, meta=True)
    units = find_units(backbone, image_size=224)
    chosen = resolve_freezing(FreezePolicy.bias, backbone, units, name="beit", image_size=224).trainable
    assert {name.rpartition(".")[2] for name in chosen} == {"bias", "q_bias", "v_bias"}
