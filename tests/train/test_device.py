import os

import pytest
import torch

from tlexp.config.train import Precision
from tlexp.errors import ConfigError, OutOfMemoryError
from tlexp.train.device import (
    autocast_dtype,
    choose_device,
    deterministic,
    kept_generators,
    seed_generators,
    within_memory,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """Pretend that the machine has so many CUDA devices, and MPS or not."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "name", "expected"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda:0"),
        (2, False, "cpu", "cpu"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (1, True, "mps", "mps"),
    ],
)
def test_the_named_device_is_taken(machine, cuda, mps, name, expected):
    machine(cuda, mps)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize(("cuda", "name"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1"), (1, "mps")])
def test_a_missing_device_is_a_configuration_error(machine, cuda, name):
    machine(cuda)
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    has = "cpu, cuda:0" if cuda else "cpu"
    assert str(caught.value) == f"train.device={name} is not there: this machine has {has}; use train.device=auto"


@pytest.mark.parametrize(
    ("precision", "device", "native", "expected"),
    [
        (Precision.auto, CPU, True, None),
        (Precision.auto, CUDA, True, torch.bfloat16),
        (Precision.auto, CUDA, False, None),
        (Precision.fp32, CUDA, True, None),
        (Precision.bf16, CPU, False, torch.bfloat16),
    ],
)
def test_precision_follows_setting_and_device(monkeypatch, precision, device, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native)
    assert autocast_dtype(precision, device) is expected


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("workspace", [None, ":16:8"])
def test_deterministic_switches_are_restored(monkeypatch, before, workspace):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if workspace:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)
    torch.use_deterministic_algorithms(before)
    try:
        with deterministic(True):
            assert torch.are_deterministic_algorithms_enabled()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert torch.are_deterministic_algorithms_enabled() is before
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == workspace
        with deterministic(False):
            assert torch.are_deterministic_algorithms_enabled() is before
    finally:
        torch.use_deterministic_algorithms(False)


def test_generators_are_seeded_by_seed_and_step_and_restored():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draws = {}
    with kept_generators(CPU):
        for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
            seed_generators(seed, step, CPU)
            draw = tuple(torch.rand(2).tolist())
            assert draws.setdefault((seed, step), draw) == draw
    assert len(set(draws.values())) == 3
    assert torch.equal(torch.rand(2), expected)


def test_memory_errors_of_every_allocator_are_told_alike():
    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.\nMore advice.")

    with pytest.raises(OutOfMemoryError) as caught:
        within_memory(fail, "a step with 8 images: use train.batch_size=4")
    text = "out of memory: a step with 8 images: use train.batch_size=4 [CUDA out of memory. Tried to allocate 1 GiB.]"
    assert str(caught.value) == text
    assert caught.value.__context__ is None
    assert within_memory(lambda: 5, "") == 5


def test_errors_of_other_kinds_pass():
    def fail():
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        within_memory(fail, "a step")
