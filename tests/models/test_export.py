"""An export is enough to rebuild the classifier, to the bit, and a damaged one is refused."""

import json
from pathlib import Path

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
    feature_width,
    find_units,
    load_classifier,
    load_weights,
    preprocessing,
    save_classifier,
)
from tlexp.models.typicality import ReferenceRows, Typicality

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
