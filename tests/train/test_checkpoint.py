import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tlexp.config.optim import Optimizer
from tlexp.errors import ConfigError, TrainingError
from tlexp.train.checkpoint import Checkpoint, FitProgress
from tlexp.train.optim import build_optimizer

ARRAYS = {
    "logits": np.arange(6, dtype=np.float32).reshape(3, 2).T,  # not contiguous
    "labels": np.array([0, 1, 1]),
    "probabilities": np.array([[0.1, 0.9]]),
    "none": np.zeros((0, 2)),
}
VALUES = {"seconds": 0.1 + 0.2, "flops": None, "curve": [[1, "loss", 1e-300]], "name": "größe"}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path, key="a" * 64, seconds=60)


def trained(build_classifier, depth=1, seed=0):
    classifier = build_classifier(depth, seed=seed).train()
    optimizer = build_optimizer(
        classifier, name=Optimizer.adamw, lr=0.1, weight_decay=0.1, momentum=0.9, layer_decay=0.5
    )
    for _ in range(2):
        classifier(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))).sum().backward()
        optimizer.step()
    return classifier, optimizer


def test_outcomes_come_back_exactly(tmp_path, checkpoint):
    assert checkpoint.finished("select.0") is None
    checkpoint.finish("select.0", arrays=ARRAYS, values=VALUES)
    outcome = Checkpoint(tmp_path, key="a" * 64, seconds=60).finished("select.0")
    assert outcome.values == VALUES
    assert outcome.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert outcome.arrays[name].dtype == array.dtype
        assert np.array_equal(outcome.arrays[name], array)
    assert checkpoint.finished("select.1") is None


def test_a_finished_fit_has_no_state_any_more(checkpoint, build_classifier):
    classifier, optimizer = trained(build_classifier)
    checkpoint.save_state("final", classifier, optimizer, FitProgress(step=2))
    checkpoint.finish("final", arrays={}, values={})
    assert checkpoint.load_state("final", classifier, optimizer) is None
    assert checkpoint.finished("final").arrays == {}


def test_state_comes_back_exactly_and_holds_no_frozen_parameters(tmp_path, checkpoint, build_classifier):
    classifier, optimizer = trained(build_classifier)
    progress = FitProgress(step=2, images=8, seconds=0.1, first_seconds=0.05, flops=7, curve=[(1, "loss", 0.3)])
    checkpoint.save_state("final", classifier, optimizer, progress)
    fresh = build_classifier(1).train()
    fresh_optimizer = build_optimizer(
        fresh, name=Optimizer.adamw, lr=0.1, weight_decay=0.1, momentum=0.9, layer_decay=0.5
    )
    again = Checkpoint(tmp_path, key="a" * 64, seconds=60)
    assert again.load_state("select", fresh, fresh_optimizer) is None
    assert again.load_state("final", fresh, fresh_optimizer) == progress
    for name, tensor in classifier.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name])
    states = optimizer.state_dict()["state"], fresh_optimizer.state_dict()["state"]
    assert states[0].keys() == states[1].keys()
    for index, state in states[0].items():
        assert all(torch.equal(value, states[1][index][name]) for name, value in state.items())
    content = (tmp_path / "final.state.safetensors").read_bytes()
    assert b"stage1.0.weight" in content
    assert b"stem.0.weight" not in content


def test_other_frozen_weights_are_refused(tmp_path, checkpoint, build_classifier):
    checkpoint.save_state("final", *trained(build_classifier), FitProgress(step=2))
    other = trained(build_classifier, seed=1)
    with pytest.raises(TrainingError, match=r"other frozen weights than those loaded now: .*\(backbone\.weights\)"):
        checkpoint.load_state("final", *other)


def test_the_state_of_another_network_is_refused(checkpoint, build_classifier):
    classifier, optimizer = trained(build_classifier, depth=0)
    checkpoint.save_state("final", classifier, optimizer, FitProgress(step=2))
    wide = build_classifier(0, width=8)
    optimizer = build_optimizer(wide, name=Optimizer.adamw, lr=0.1, weight_decay=0.1, momentum=0.9, layer_decay=None)
    with pytest.raises(TrainingError, match="holds the state of another network"):
        checkpoint.load_state("final", wide, optimizer)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_named(tmp_path, checkpoint, build_classifier, kept):
    classifier, optimizer = trained(build_classifier)
    checkpoint.save_state("final", classifier, optimizer, FitProgress(step=2))
    checkpoint.finish("select", arrays=ARRAYS, values=VALUES)
    for name in ("final.state", "select.done"):
        path = tmp_path / f"{name}.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(TrainingError, match=r"final\.state\.safetensors is not a whole checkpoint .*: delete the file"):
        checkpoint.load_state("final", classifier, optimizer)
    with pytest.raises(TrainingError, match=r"select\.done\.safetensors is not a whole checkpoint .*: delete the file"):
        checkpoint.finished("select")


@pytest.mark.parametrize("metadata", [None, {"schema": "1"}, {"schema": "2", "fit": "select", "values": "{}"}])
def test_a_foreign_file_is_refused(tmp_path, checkpoint, metadata):
    save_file({"logits": torch.zeros(2)}, tmp_path / "select.done.safetensors", metadata=metadata)
    with pytest.raises(TrainingError, match="is not a whole checkpoint of this program"):
        checkpoint.finished("select")


def test_the_file_of_another_fit_is_refused(tmp_path, checkpoint):
    checkpoint.finish("select", arrays=ARRAYS, values=VALUES)
    (tmp_path / "select.done.safetensors").rename(tmp_path / "final.done.safetensors")
    with pytest.raises(TrainingError, match="of another schema or fit"):
        checkpoint.finished("final")


def test_another_runs_folder_is_refused(tmp_path, checkpoint):
    with pytest.raises(ConfigError) as caught:
        Checkpoint(tmp_path, key="b" * 64, seconds=60)
    assert "belongs to other settings, images, start weights or another kind of device (aaaa" in str(caught.value)
    assert "bring them back, or start anew without resume" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json", '"text"', json.dumps({"schema": "1"})])
def test_a_broken_mark_is_named(tmp_path, content):
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(TrainingError, match=r"checkpoint\.json is not a checkpoint's mark"):
        Checkpoint(tmp_path, key="k", seconds=60)


def test_a_full_disk_leaves_the_former_state(tmp_path, monkeypatch, checkpoint, build_classifier):
    classifier, optimizer = trained(build_classifier)
    checkpoint.save_state("final", classifier, optimizer, FitProgress(step=2))

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tlexp.train.checkpoint.publish", full)
    with pytest.raises(TrainingError, match=r"final\.state\.safetensors: no space left on the disk at /"):
        checkpoint.save_state("final", classifier, optimizer, FitProgress(step=3))
    assert checkpoint.load_state("final", classifier, optimizer).step == 2


def test_no_file_stands_half_written(tmp_path, checkpoint, build_classifier):
    checkpoint.save_state("final", *trained(build_classifier), FitProgress(step=2))
    checkpoint.finish("select", arrays=ARRAYS, values=VALUES)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.json", "final.state.safetensors", "select.done.safetensors"}


@pytest.mark.parametrize(("seconds", "due"), [(0.0, False), (1e-9, True), (3600.0, False)])
def test_due_follows_the_stated_seconds(tmp_path, seconds, due):
    assert Checkpoint(tmp_path, key="k", seconds=seconds).due() is due


@pytest.mark.parametrize("fit_id", ["", "../final", "a/b", ".hidden"])
def test_fit_ids_stay_inside_the_folder(checkpoint, fit_id):
    with pytest.raises(AssertionError):
        checkpoint.finished(fit_id)


def test_the_optimisers_state_has_its_parameters_layout_again(checkpoint, build_classifier):
    """Sums over another layout run in another order; bits would differ from an uninterrupted fit."""
    classifier, optimizer = trained(build_classifier, depth=0)
    checkpoint.save_state("final", classifier, optimizer, FitProgress(step=2))
    fresh = build_classifier(0).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(fresh, name=Optimizer.adamw, lr=0.1, weight_decay=0.1, momentum=0.9, layer_decay=0.5)
    checkpoint.load_state("final", fresh, optimizer)
    assert any(not parameter.is_contiguous() for parameter in fresh.parameters())
    assert all(optimizer.state[parameter]["exp_avg"].stride() == parameter.stride() for parameter in fresh.parameters())
