"""The weights that come with the package: there, small, told in every record, refused when they were tampered with."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import Start
from tlexp import paths
from tlexp.compose.load import load
from tlexp.errors import ConfigError, WeightsError
from tlexp.experiment import build
from tlexp.models.statefile import read_weights

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
    record = start("backbone.pretrained=false", "freeze=none").record
    assert record.train.weights.source == "random (seed 0)"
    assert record.train.selection.winner["lr"] == 1e-3, "the rate of training from scratch"
    assert any("starts from random weights" in note for note in record.notes)
    assert start("freeze=none", name="other").record.train.selection.winner["lr"] == 1e-4


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
