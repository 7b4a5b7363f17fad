"""Weights are what was asked for, or an error with the ways out; never random ones by surprise."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from tlexp.errors import WeightsError
from tlexp.models import build_backbone, load_weights

NAME, REPOSITORY = "test_resnet", "timm/test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


def snapshot(cache: Path) -> Path:
    folder, commit = cache / f"models--{REPOSITORY.replace('/', '--')}", "1" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    return folder / "snapshots" / commit


def source() -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    return timm.create_model(NAME).state_dict()


def load(*, name: str = NAME, pretrained: bool = True, weights: Path | None = None):
    backbone = build_backbone(NAME, image_size=64, seed=3)
    return backbone, load_weights(backbone, name=name, pretrained=pretrained, weights=weights, seed=3)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.r160_in1k"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_cached_pretrained_weights_are_loaded_without_network(own_cache: Path, file: str, name: str) -> None:
    expected = source()
    path = snapshot(own_cache) / file
    save_file(expected, path) if file.endswith("safetensors") else torch.save(expected, path)
    backbone, origin = load(name=name)
    assert origin.source == f"hub {REPOSITORY}"
    assert all(torch.equal(tensor, expected[key]) for key, tensor in backbone.state_dict().items())


def test_weights_that_cannot_be_had_name_everything_and_the_ways_out(own_cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load()
    text = str(caught.value)
    for part in (
        "backbone.name=test_resnet",
        "tag r160_in1k",
        REPOSITORY,
        "model.safetensors",
        str(own_cache),
        "HF_HUB_OFFLINE is set",
        "connect once",
        "backbone.weights=FILE",
        "backbone=lite0",
        "python -m tlexp backbone=timm backbone.name=test_resnet backbone.pretrained=false",
    ):
        assert part in text


def test_a_model_without_pretrained_weights_says_so() -> None:
    with pytest.raises(WeightsError, match=r"backbone.name=cspresnet50d: timm has no pretrained weights .*\nWays out"):
        load(name="cspresnet50d")


def test_damaged_cached_weights_are_an_error(own_cache: Path) -> None:
    path = snapshot(own_cache) / "model.safetensors"
    save_file(source(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read as weights"):
        load()


def test_cached_weights_that_leave_parts_random_are_an_error(own_cache: Path) -> None:
    state = source()
    del state["layer3.0.conv1.weight"]
    save_file(state, snapshot(own_cache) / "model.safetensors")
    with pytest.raises(WeightsError, match=r"hub .*does not fit test_resnet: 1 missing: layer3\.0\.conv1\.weight"):
        load()


def test_random_weights_are_those_of_the_seed_and_say_so() -> None:
    backbone, origin = load(pretrained=False)
    assert origin.source == "random (seed 3)"
    again = build_backbone(NAME, image_size=64, seed=3).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in backbone.state_dict().items())
    assert load(pretrained=False)[1] == origin


def test_a_stated_file_goes_before_pretrained_ones(tmp_path: Path) -> None:
    save_file(source(), tmp_path / "w.safetensors")
    assert load(weights=tmp_path / "w.safetensors")[1].source == f"file {tmp_path / 'w.safetensors'}"
    with pytest.raises(WeightsError, match="no such file"):
        load(weights=tmp_path / "gone.safetensors", pretrained=False)


def test_the_digest_is_that_of_the_tensors_whichever_file_they_came_from(tmp_path: Path, own_cache: Path) -> None:
    state = source()
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "b.pth")
    save_file(state, snapshot(own_cache) / "model.safetensors")
    digests = {load(weights=tmp_path / name)[1].digest for name in ("a.safetensors", "b.pth")} | {load()[1].digest}
    assert len(digests) == 1
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"] + 1e-6
    save_file(state, tmp_path / "a.safetensors")
    assert load(weights=tmp_path / "a.safetensors")[1].digest not in digests
