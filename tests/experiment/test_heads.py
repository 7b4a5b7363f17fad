"""What holds of every head on every kind of backbone."""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.composed import composed, load
from tests.conftest import Start
from tests.models.small_swin import known
from tlexp.config import Config
from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError
from tlexp.experiment.build import Network, build_classifier, build_network, describe_model
from tlexp.experiment.plan import build_plan
from tlexp.models import Classifier, WeightsOrigin, feature_width, load_classifier, save_classifier

CLASSES = ["a", "b", "c"]
UNITS = {
    "test_resnet": "layer3,layer4",
    "test_vit": "blocks.2,blocks.4",
    "test_convnext": "stages.1,stages.3",
    "test_efficientnet": "blocks.3,neck",
    known(): "layers.0,layers.2",
}
"""Backbones with maps of both layouts and with tokens, and two units of each."""
SIDE_BY_SIDE = [kind for kind in HeadKind if not kind.sees_map]
HEADS = [(kind, False) for kind in HeadKind] + [(kind, True) for kind in SIDE_BY_SIDE]
QUICK = ("test_resnet", "test_vit", known())
"""Backbones, of maps of either layout and of tokens, on which the default run trains heads."""
FEW = ((HeadKind.linear, False), (HeadKind.linear, True), (HeadKind.flatten_mlp, False), (HeadKind.attention, False))
"""Heads that see something of their own: pooled features, those of units, the map in order and as a set."""


def paired(heads: list[tuple[HeadKind, bool]], names: Iterable[str] = UNITS) -> list[Any]:
    """Return every head on one backbone and a few on the others, as parameters; all on all are slow."""
    return [
        pytest.param(
            name,
            kind,
            units,
            id=f"{name}-{kind}{'-units' * units}",
            marks=() if name in names and (name == "test_resnet" or (kind, units) in FEW) else pytest.mark.slow,
        )
        for name in UNITS
        for kind, units in heads
    ]


def words(name: str, kind: HeadKind, units: bool, *more: str) -> list[str]:
    side = 32 if name == known() else 64
    stated = [f"head.units=[{UNITS[name]}]"] if units else []
    start = ["backbone=timm", f"backbone.name={name}", "backbone.pretrained=false", f"backbone.image_size={side}"]
    return [*start, f"head={kind}", *stated, "data.num_classes=3", *more]


@functools.cache
def network_of(name: str, sees_map: bool, units: bool) -> Network:
    """Return a network that heads share which see the same of it."""
    kind = HeadKind.attention if sees_map else HeadKind.linear
    return build_network(load(words(name, kind, units)).config)


def built(config: Config) -> tuple[Network, Classifier]:
    network = network_of(config.backbone.name, config.head.kind.sees_map, bool(config.head.units))
    network = network.frozen_as(config)
    classifier = build_classifier(config, network, len(CLASSES))
    if config.head.kind is HeadKind.knn:  # one that remembers nothing has nothing to say
        rows = torch.randn(4, feature_width(network.backbone)), torch.arange(4) % 3
        neighbours = dict(zip(("0.features", "0.labels"), rows, strict=True))
        classifier.head.load_state_dict({**classifier.head.state_dict(), **neighbours})
    return network, classifier


def noise(config: Config, count: int = 4) -> torch.Tensor:
    side = config.backbone.image_size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kind", "units"), paired(HEADS))
@pytest.mark.broad(3)
def test_a_head_comes_back_and_gives_the_same_logits(name: str, kind: HeadKind, units: bool, tmp_path: Path) -> None:
    config = composed(*words(name, kind, units)).config
    network, classifier = built(config)
    card = describe_model(config, network, WeightsOrigin(source="random", digest=""), CLASSES)
    save_classifier(classifier, tmp_path, description=card)
    again, exported = load_classifier(tmp_path)
    images = noise(config)
    logits = classifier.eval()(images)
    assert logits.shape == (4, 3)
    assert logits.dtype is torch.float32
    assert torch.equal(again(images), logits)
    assert exported.card == card


TRAINED = [(kind, units) for kind, units in HEADS if not kind.solved]


@pytest.mark.parametrize(("name", "kind", "units"), paired(TRAINED))
@pytest.mark.broad(3)
def test_the_plan_counts_what_is_there(name: str, kind: HeadKind, units: bool) -> None:
    config = composed(*words(name, kind, units)).config
    plan = build_plan(config)
    _, classifier = built(config)
    assert plan["total_parameters"] == sum(parameter.numel() for parameter in classifier.parameters())
    trained = sum(parameter.numel() for _, parameter in classifier.trainable_parameters())
    assert plan["trainable_parameters"] == plan["head_parameters"] == trained


@pytest.mark.parametrize("kind", sorted(set(HeadKind) - {HeadKind.knn}))
def test_the_seed_decides(kind: HeadKind) -> None:
    config = load(words("test_resnet", kind, False, "head.init=normal")).config
    first, again = (built(config)[1].head.state_dict() for _ in range(2))
    other = built(dataclasses.replace(config, seed=7))[1].head.state_dict()
    assert all(torch.equal(first[key], value) for key, value in again.items())
    assert any(not torch.equal(first[key], value) for key, value in other.items())


@pytest.mark.parametrize("freeze", ["all", "last", "none"])
@pytest.mark.parametrize(("name", "kind", "units"), paired(TRAINED, QUICK))
@pytest.mark.broad(5)
def test_all_that_trains_has_a_gradient_and_the_frozen_rest_stays(
    name: str, freeze: str, kind: HeadKind, units: bool
) -> None:
    config = load(words(name, kind, units, f"freeze={freeze}", "head.init=normal")).config
    _, classifier = built(config)
    classifier.zero_grad()
    before = classifier.frozen_digest()
    trained = dict(classifier.trainable_parameters())
    F.cross_entropy(classifier.train()(noise(config)), torch.tensor([0, 1, 2, 0])).backward()
    given = {key for key, parameter in classifier.named_parameters() if parameter.grad is not None}
    assert given == trained.keys()
    with torch.no_grad():
        for parameter in trained.values():
            parameter.sub_(parameter.grad)  # type: ignore[arg-type]
    assert classifier.frozen_digest() == before


def probabilities(folder: Path) -> bytes:
    with np.load(folder / "predictions.npz") as file:
        return bytes(file["probability"].tobytes())


WAYS = {
    "flatten_mlp": ["head=flatten_mlp", "head.hidden=[8]", "head.init=normal"],
    "attention": ["head=attention", "head.init=normal"],
    "cosine": ["head=cosine"],
    "units": ["head=linear"],
}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("test_resnet", way) for way in WAYS),
        ("test_vit", "units"),
        (known(), "attention"),
        pytest.param("test_vit", "attention", marks=pytest.mark.slow),
        pytest.param(known(), "units", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_the_same_to_the_bit_with_and_without_cache_and_image_by_image(
    name: str, way: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLEXP_CACHE_DIR", str(tmp_path / "cache"))
    units = [f"head.units=[{UNITS[name]}]"] if way == "units" else []
    chosen = [*words(name, HeadKind.linear, False)[:4], *WAYS[way], *units, "optim.lr=1e-3", "optim.weight_decay=0.1"]
    depth = len(build_network(load(chosen).config, meta=True).units)
    ways = {"cold": [], "off": ["cache=off"], "live": ["freeze=depth", f"freeze.depth={depth}"]}
    runs = {each: start(*chosen, *more, "labels=2", "train.limit_steps=2", name=each) for each, more in ways.items()}
    assert runs["live"].record.train.cache is None
    assert len({probabilities(tmp_path / each) for each in runs}) == 1


def test_heads_that_see_other_features_share_no_rows(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLEXP_CACHE_DIR", str(tmp_path / "cache"))
    heads = {"pooled": [], "map": ["head=flatten_mlp"], "units": ["head.units=[layer3,layer4]"]}
    for name, head in heads.items():
        assert start(*head, name=name).record.train.cache.hits == 0
    assert start("head=attention", name="again").record.train.cache.misses == 0
    assert start("head=knn", "head.units=[layer4,layer3]", name="solved").record.train.cache.misses == 0


SCALE = "must be positive and finite, or null to be learned"


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (
            "head.units=[layer3,layer4] head.global_pool=max",
            "head.units=[layer3,layer4]: each unit is averaged, leave out head.global_pool=max",
        ),
        ("head=cosine head.units=[layer4,layer3,layer4]", "head.units=[layer4,layer3,layer4]: name each unit once"),
        (
            "head=attention head.units=[layer4]",
            "head.units=[layer4]: head=attention sees the last map alone, leave out head.units",
        ),
        (
            "head=flatten_mlp head.hidden=[8] head.units=[layer3,layer4]",
            "head.units=[layer3,layer4]: head=flatten_mlp sees the last map alone, leave out head.units",
        ),
        ("head=cosine head.scale=0", f"head.scale=0: {SCALE}"),
        ("head=cosine head.scale=-2.5", f"head.scale=-2.5: {SCALE}"),
        (
            "head=cosine head.scale=inf",
            "head.scale=inf: must be a finite number. Factor on the cosines of head=cosine, (0, inf); null",
        ),
        (
            "head=cosine head.scale=nan",
            "head.scale=nan: must be a finite number. Factor on the cosines of head=cosine, (0, inf); null",
        ),
        *(
            (f"head={kind} head.scale=10", f"head.scale=10 needs head=cosine: head={kind} has no cosines")
            for kind in HeadKind
            if kind is not HeadKind.cosine and not kind.hidden_layers
        ),
    ],
)
def test_what_a_head_cannot_do_is_refused_in_a_line(stated: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(stated.split())
    [problem] = refused.value.problems
    assert problem.startswith(told)
    assert "\n" not in problem
