"""An export is enough to rebuild the classifier, to the bit, and a damaged one is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tlexp.config.head import HeadInit, HeadKind, HeadNorm
from tlexp.errors import WeightsError
from tlexp.models import (
    Classifier,
    HeadOptions,
    ModelCard,
    build_backbone,
    build_head,
    export,
    feature_width,
    find_units,
    load_classifier,
    load_weights,
    preprocessing,
    save_classifier,
)
from tlexp.models.export import read_card
from tlexp.models.typicality import ReferenceRows, Typicality

WIDTH = 96
"""Of the features of test_resnet."""
HEADS = [
    HeadOptions(init=HeadInit.normal),
    HeadOptions(kind=HeadKind.mlp, hidden=(9, 7), norm=HeadNorm.batch, dropout=0.2),
]


def build(head: HeadOptions = HEADS[0], pool: str | None = None) -> tuple[Classifier, ModelCard]:
    backbone = build_backbone("test_resnet", image_size=64, global_pool=pool, seed=5)
    units = find_units(backbone, image_size=64)
    options = vars(head)
    classifier = Classifier(
        backbone, build_head(in_features=feature_width(backbone), num_classes=3, seed=5, **options), units, 2
    )
    with torch.no_grad():
        classifier.train()(torch.randn(8, 3, 64, 64))
    card = ModelCard(
        backbone="test_resnet",
        preprocessing=preprocessing("test_resnet", image_size=64),
        classes=("bée", "password=ant", "wasp\n"),
        head=head,
        global_pool=pool,
        origin="random (seed 5)",
    )
    return classifier.eval(), card


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model.json as a run writes it."""
    folder = tmp_path_factory.mktemp("written")
    classifier, card = build()
    save_classifier(classifier, folder, description=card)
    return (folder / "model.json").read_text()


@pytest.fixture
def described(written: str) -> dict[str, Any]:
    """What stands in it."""
    found: dict[str, Any] = json.loads(written)
    return found


@pytest.mark.parametrize("pool", [None, "catavgmax"])
@pytest.mark.parametrize("head", HEADS)
def test_what_comes_back_gives_the_same_logits(tmp_path: Path, head: HeadOptions, pool: str | None) -> None:
    classifier, card = build(head, pool)
    files = save_classifier(classifier, tmp_path / "out", description=card)
    assert {file.name for file in files} == {"model.json", "model.safetensors"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.json", "model.safetensors"]
    again, exported = load_classifier(tmp_path / "out")
    images = torch.randn(4, 3, 64, 64)
    assert torch.equal(classifier(images), again(images))
    assert not again.training
    assert (exported.card, exported.depth, again.depth) == (card, 2, 2)


def test_what_is_typical_goes_along(tmp_path: Path) -> None:
    classifier, card = build()
    rows = torch.randn(5, feature_width(classifier.backbone))
    classifier.typicality = known = Typicality.of(ReferenceRows.of(rows), np.array([0.25, 0.5], np.float32))
    save_classifier(classifier, tmp_path / "whole", description=card)
    save_classifier(classifier, tmp_path / "half", description=card, half=True)
    for folder in ("whole", "half"):
        again, _ = load_classifier(tmp_path / folder)
        assert again.typicality is not None
        assert torch.equal(again.typicality.reference.rows, known.reference.rows)
        assert again.typicality.held_out.tolist() == [0.25, 0.5]
        assert again.state_dict().keys() == classifier.state_dict().keys(), "it is no part of the network"
    classifier.typicality = None
    save_classifier(classifier, tmp_path / "without", description=card)
    assert load_classifier(tmp_path / "without")[0].typicality is None


@pytest.mark.parametrize(
    ("name", "tensor", "told"),
    [
        (
            "rows",
            torch.ones(5, 3),
            r"rows of shape \(5, 3\), torch.float32: must be finite float, one row or more of \d+",
        ),
        ("rows", torch.ones(WIDTH), rf"rows of shape \({WIDTH},\), .*: must be"),
        ("rows", torch.ones(0, WIDTH), r"rows of shape \(0, .*: must be"),
        ("rows", torch.full((2, WIDTH), torch.nan), "rows of .*: must be finite"),
        ("rows", torch.ones(2, WIDTH, dtype=torch.int64), "rows of .*, torch.int64: must be finite float"),
        (
            "held_out",
            torch.ones(2, 1),
            r"held_out of shape \(2, 1\), torch.float32: must be finite float32, one or more",
        ),
        ("held_out", torch.ones(0), r"held_out of shape \(0,\), torch.float32: must be"),
        ("held_out", torch.tensor([0.5, 0.25]), "held_out of .*: must be .* rising"),
        ("held_out", torch.tensor([0.5, torch.inf]), "held_out of .*: must be finite"),
        (
            "held_out",
            torch.ones(2, dtype=torch.bfloat16),
            "held_out of shape .*, torch.bfloat16: must be finite float32",
        ),
        ("held_out", None, r"held_out of shape \(0,\)"),
    ],
    ids=lambda value: "x".join(map(str, value.shape)) if isinstance(value, torch.Tensor) else str(value)[:8],
)
def test_what_is_typical_is_refused_where_no_run_wrote_it(
    name: str, tensor: torch.Tensor | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, card = build()
    rows = torch.randn(5, WIDTH)
    classifier.typicality = Typicality.of(ReferenceRows.of(rows), np.array([0.25, 0.5], np.float32))
    state = classifier.typicality.state() | {name: tensor}
    state = {key: value for key, value in state.items() if value is not None}
    monkeypatch.setattr(Typicality, "state", lambda _: state)
    save_classifier(classifier, tmp_path, description=card)
    with pytest.raises(WeightsError, match=rf"model\.safetensors: typicality\.{told}.*: no run wrote that, so restore"):
        load_classifier(tmp_path)


def test_a_run_becomes_the_start_of_the_next(tmp_path: Path) -> None:
    classifier, card = build()
    save_classifier(classifier, tmp_path, description=card)
    backbone = build_backbone("test_resnet", image_size=64)
    origin = load_weights(backbone, name="test_resnet", pretrained=True, weights=tmp_path, seed=0)
    assert origin.source == f"run {tmp_path}"
    theirs = classifier.backbone.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in backbone.state_dict().items())


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    save_classifier(*build()[:1], tmp_path, description=build()[1])
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"model\.safetensors is missing or is not the file that .*model\.json describes"
    ):
        load_classifier(tmp_path)
    weights.write_bytes(content[:-5])
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read as weights"):
        load_classifier(tmp_path)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 99}'])
def test_a_damaged_card_is_refused(tmp_path: Path, content: str) -> None:
    classifier, card = build()
    save_classifier(classifier, tmp_path, description=card)
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(WeightsError, match=r"model\.json: "):
        load_classifier(tmp_path)


@pytest.mark.parametrize("key", ["backbone", "classes", "head"])
def test_a_card_that_describes_another_model_is_refused(tmp_path: Path, key: str) -> None:
    classifier, card = build()
    save_classifier(classifier, tmp_path, description=card)
    described = json.loads((tmp_path / "model.json").read_text())
    described["card"][key] = {
        "backbone": "resnet81",
        "classes": ["one"],
        "head": {**described["card"]["head"], "x": 1},
    }[key]
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(WeightsError, match=r"model\.json"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone": "resnet50"}, r"has 23,\d{3},\d{3} numbers, and the weights beside it are 37\d,\d{3}: no run"),
        ({"head": {"kind": "mlp", "hidden": [65536, 65536]}}, r"has 4,\d{3},\d{3},\d{3} numbers"),
    ],
)
def test_a_giant_is_refused_before_memory_is_taken_for_it(
    changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, card = build()
    save_classifier(classifier, tmp_path, description=card)
    described = json.loads((tmp_path / "model.json").read_text())
    for key, value in changes.items():
        described["card"][key] = value if isinstance(value, str) else described["card"][key] | value
    (tmp_path / "model.json").write_text(json.dumps(described))
    monkeypatch.setattr(export, "_build", lambda *words: pytest.fail("took memory"))
    with pytest.raises(WeightsError, match=rf"model\.json: the network it describes {told}"):
        load_classifier(tmp_path)


SHARES = {"wanted": [0.5, 0.3, 0.2], "trained": [0.2, 0.3, 0.5]}
SURE = {"thresholds": [0.9, 0.5], "answered": [3, 7], "right": [3, 6]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"temperature": 0}, r"temperature=0: must be in \[1e-30, 1e\+30\]"),
        ({"temperature": -1.5}, "temperature=-1.5: must be in"),
        ({"temperature": 10**400}, r"temperature=1000\S*\.\.\.: must be in"),
        ({"preprocessing.std": [0, 1, 1]}, r"preprocessing.std=\(0, 1, 1\): must be three values in \[1e-06, 1\]"),
        ({"preprocessing.mean": [-1, 0, 0]}, r"preprocessing.mean=\(-1, 0, 0\): must be three values in \[0, 1\]"),
        ({"preprocessing.interpolation": "foo"}, "preprocessing.interpolation=foo: must be one of nearest, bil"),
        ({"preprocessing.image_size": 1 << 20}, r"preprocessing.image_size=1048576: must be 8\.\.2048 pixels"),
        ({"preprocessing.crop_pct": 1e-3}, r"preprocessing.crop_pct=0.001: .* resized to 16,384 pixels at most"),
        ({"preprocessing.crop_mode": "foo"}, "preprocessing.crop_mode=foo: must be one of center, squash, border"),
        ({"classes": ["ant", "bee", "ant"]}, "classes=.*: must be names, each once"),
        ({"head.dropout": 7}, r"head.dropout=7: must be in \[0, 1\)"),
        ({"global_pool": "foo"}, "head.global_pool=foo: must be one of"),
        ({"drop_rate": -1}, r"backbone.drop_rate=-1: must be in \[0, 1\)"),
        ({"max_pixels": 10**12}, r"max_pixels=1000000000000: must be 1\.\.1000000000"),
        ({"bits": 99}, r"bits=99: must be 8\.\.16"),
        ({"prior": SHARES | {"wanted": [1.5, -0.5, 0]}}, "prior.wanted=.*: must be 3 positive shares that add up to 1"),
        ({"prior": SHARES | {"trained": [0.5, 0.5]}}, "prior.trained=.*: must be 3 positive shares"),
        ({"abstention": SURE | {"thresholds": [0.5, 0.9]}}, "abstention.thresholds=.*: must be falling confidences"),
        ({"abstention": SURE | {"answered": [3]}}, "abstention.answered=.*: must be a positive count for each thresh"),
        ({"abstention": SURE | {"answered": [0, 7], "right": [0, 6]}}, "abstention.answered=.*: must be a positive co"),
        ({"abstention": SURE | {"right": [3, 10**400]}}, "abstention.right=.*: must be for each threshold at most"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_a_card_that_no_run_wrote_is_refused_by_key_value_and_rule(
    described: dict[str, Any], changes: dict[str, object], told: str, tmp_path: Path
) -> None:
    for key, value in changes.items():
        block, _, name = key.rpartition(".")
        (described["card"][block] if block else described["card"])[name] = value
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(WeightsError, match=rf"model\.json: .*{told}.*: no run wrote that, so restore the file or exp"):
        read_card(tmp_path / "model.json")


def test_a_card_that_keeps_every_rule_is_taken(described: dict[str, Any], tmp_path: Path) -> None:
    described["card"] |= {"prior": SHARES, "abstention": SURE, "bits": 12, "max_pixels": 10**9, "temperature": 1e-3}
    (tmp_path / "model.json").write_text(json.dumps(described))
    card = read_card(tmp_path / "model.json").card
    assert (card.bits, card.max_pixels, card.temperature) == (12, 10**9, 1e-3)
    assert card.prior is not None
    assert card.abstention is not None


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_of_json_is_refused(described: dict[str, Any], text: str, tmp_path: Path) -> None:
    described["card"]["temperature"] = "HERE"
    (tmp_path / "model.json").write_text(json.dumps(described).replace('"HERE"', text))
    with pytest.raises(WeightsError, match=rf"model\.json: .*holds {text}, which is no number of JSON\); export again"):
        read_card(tmp_path / "model.json")


def test_a_depth_that_the_network_has_not_is_refused(tmp_path: Path) -> None:
    classifier, card = build()
    save_classifier(classifier, tmp_path, description=card)
    described = json.loads((tmp_path / "model.json").read_text()) | {"depth": 99}
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(WeightsError, match=r"model\.json: depth=99: test_resnet has 0\.\.5 units"):
        load_classifier(tmp_path)
