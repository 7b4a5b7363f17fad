import os
import re

import pytest
import torch

from tlexp.config.train import Precision
from tlexp.errors import ConfigError, OutOfMemoryError
from tlexp.experiment.session import Session
from tlexp.train.device import (
    autocast_dtype,
    choose_device,
    deterministic,
    kept_generators,
    seed_generators,
    settle_process,
    spared,
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


@pytest.mark.parametrize("workspace", [None, ":16:8"])
def test_a_process_is_settled_before_torch_reads_its_environment(monkeypatch, workspace):
    """A session and its runs, and what is applied, begin with it; what the user has chosen stands."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace or "")
    if workspace is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    Session()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (workspace or ":4096:8")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    settle_process()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (workspace or ":4096:8")


@pytest.mark.parametrize("before", [False, True])
def test_deterministic_switches_are_restored(before):
    torch.use_deterministic_algorithms(before)
    try:
        with deterministic(True):
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled() is before
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


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GiB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: str(error)[:40],
)
def test_memory_ends_in_many_words(error):
    def fail():
        raise error

    with pytest.raises(OutOfMemoryError, match="a step"):
        within_memory(fail, "a step")


ROOM = 5
"""So many images fit the pretended accelerator."""


def doubled(calls, error):
    def work(images):
        calls.append(len(images))
        if len(images) > ROOM:
            raise error
        return [images, 2 * images]

    return work


def test_chunks_are_halved_until_they_fit_and_stay_so():
    calls, images = [], torch.arange(16, dtype=torch.float32, device="meta")[:, None]
    work = spared(doubled(calls, torch.AcceleratorError("CUDA error: out of memory")))
    made = work(images)
    assert [(each.shape, each.device.type) for each in made] == [((16, 1), "meta")] * 2
    assert calls == [16, 8, 4, 4, 4, 4]
    calls.clear()
    assert work(images[:6])[0].shape == (6, 1)
    assert calls == [4, 2]
    assert spared(doubled(calls, RuntimeError()))(images[:0])[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("count", "device", "error"),
    [
        (8, "cpu", torch.OutOfMemoryError("CUDA out of memory")),  # chunks of one size, for their bits' sake
        (8, "meta", RuntimeError("shapes cannot be multiplied")),
    ],
)
def test_what_is_no_lack_of_memory_of_an_accelerator_passes(count, device, error):
    with pytest.raises(type(error), match=re.escape(str(error))):
        spared(doubled([], error))(torch.zeros(count, 1, device=device))


def test_one_image_that_does_not_fit_is_told():
    def work(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        spared(work)(torch.zeros(4, 1, device="meta"))


def test_errors_of_other_kinds_pass():
    def fail():
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        within_memory(fail, "a step")
