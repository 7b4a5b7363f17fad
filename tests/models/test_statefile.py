"""Whatever lies in a weights file: tensors, or a message that names the file; never code that runs."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tlexp.errors import WeightsError
from tlexp.models.digest import tensors_digest
from tlexp.models.statefile import read_weights

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(3)}


class Touch:
    """Unpickling this creates a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
def test_files_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path)
    found = read_weights(path)
    assert same(found.tensors)
    assert found.source == f"file {path}"


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_checkpoints_keep_the_weights_under_a_key(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: TENSORS, "optimizer": {"lr": 0.1}}, tmp_path / "c.pth")
    assert same(read_weights(tmp_path / "c.pth").tensors)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "pytorch_model.pth"])
def test_folders_are_searched_for_a_weights_file(tmp_path: Path, name: str) -> None:
    save_file(TENSORS, tmp_path / name) if name.endswith("safetensors") else torch.save(TENSORS, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    assert same(read_weights(tmp_path).tensors)


def test_a_run_gives_its_backbone_alone(tmp_path: Path) -> None:
    whole = {f"backbone.{name}": tensor for name, tensor in TENSORS.items()} | {"head.0.weight": torch.ones(2)}
    save_file(whole, tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps({"schema": 1, "digest": tensors_digest(whole)}))
    found = read_weights(tmp_path)
    assert same(found.tensors)
    assert found.source == f"run {tmp_path}"


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        *((suffix, content) for suffix in (".pth", ".safetensors") for content in ("empty", "text", "cut")),
        (".safetensors", "longer"),  # a zip archive, as .pth is, may have a tail
    ],
)
def test_broken_files_are_named_with_the_way_out(tmp_path: Path, suffix: str, content: str) -> None:
    path = tmp_path / f"w{suffix}"
    save_file(TENSORS, path) if suffix == ".safetensors" else torch.save(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello, world\n", "cut": whole[:-9], "longer": whole + b"\0"}[content])
    with pytest.raises(WeightsError, match=r"weights file .*w\..* cannot be read as weights .*backbone.weights=FILE"):
        read_weights(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    canary, path = tmp_path / "canary", tmp_path / "w.pth"
    torch.save({"a": Touch(canary)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"w\.pth: holds more than tensors .*could run code; save the weights alone"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Touch(canary)))
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_weights(path)
    assert not canary.exists()


def test_a_numpy_scalar_beside_the_weights_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save({"state_dict": TENSORS, "best": np.float64(0.5)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds more than tensors .*torch.save\(model.state_dict\(\), FILE\)"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.ones(3)])
def test_a_file_without_named_tensors_says_what_it_holds(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"holds no named tensors but {type(content).__name__}"):
        read_weights(tmp_path / "w.pth")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"backbone.weights=.*gone\.pth: there is no such file; name a"):
        read_weights(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match=r"the folder holds none of model\.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "w.onnx").touch()
    with pytest.raises(WeightsError, match=r"must end in \.safetensors, \.pth"):
        read_weights(tmp_path / "w.onnx")


def test_a_file_that_holds_itself_has_no_tensors(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["state_dict"] = content
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no named tensors"):
        read_weights(tmp_path / "a.pth")


def test_a_refusal_without_a_word_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise pickle.UnpicklingError

    (tmp_path / "a.pth").write_bytes(b"x")
    monkeypatch.setattr("torch.load", refuse)
    with pytest.raises(WeightsError, match=r"holds more than tensors \(UnpicklingError\)"):
        read_weights(tmp_path / "a.pth")
