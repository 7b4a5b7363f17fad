"""The device: which one, how precisely and how repeatably it computes, and when its memory is full."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

from tlexp.config.train import Precision, device_problem
from tlexp.errors import ConfigError, OutOfMemoryError

T = TypeVar("T")
# Keeps these draws apart from those of batches and weights that start from the same seed.
_STREAM = 0x7261696E


def choose_device(name: str, *, setting: str = "train.device") -> torch.device:
    """Return the device of a name; auto takes cuda, else mps, else cpu.

    Args:
        name: auto, cpu, mps, cuda or cuda:<n>.
        setting: What names it, for messages.

    Raises:
        ConfigError: There is no such device, or this machine has none.
    """
    if problem := device_problem(name, setting):
        raise ConfigError(problem)
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if _count(kind))
    device = torch.device(name)
    if (device.index or 0) >= _count(device.type):
        raise ConfigError(f"{setting}={name} is not there: this machine has {_devices()}; use {setting}=auto")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the dtype of autocast, or None for plain float32; auto is bfloat16 where CUDA computes it natively."""
    if precision is Precision.auto:
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else None
    return torch.bfloat16 if precision is Precision.bf16 else None


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Allow only deterministic kernels inside, and restore the switches afterwards; does nothing when not enabled.

    An operation that has no deterministic kernel raises torch's RuntimeError, which names it.
    """
    if not enabled:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS refuses to be deterministic
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            del os.environ["CUBLAS_WORKSPACE_CONFIG"]
        else:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = workspace


@contextmanager
def kept_generators(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators of the CPU and of `device` as they were found."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
    else:
        with torch.random.fork_rng(devices=[device.index or 0], device_type=device.type):
            yield


def seed_generators(seed: int, step: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of `device` from (seed, step), e.g. for dropout."""
    mixed = int(np.random.SeedSequence((seed, step, _STREAM)).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(mixed)
    elif device.type == "mps":
        torch.mps.manual_seed(mixed)


def within_memory(work: Callable[[], T], told: str) -> T:
    """Return what `work` returns.

    Args:
        work: What may need more memory than there is.
        told: What was tried, with its sizes, and the way out.

    Raises:
        OutOfMemoryError: Memory did not suffice.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
    # Raised outside the handler: as its context, torch's error would keep its frames and their tensors alive.
    raise OutOfMemoryError(f"out of memory: {told} [{first_line}]")


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that memory ran out.

    The CPU's allocator and MPS have no exception type of their own, so the text of a plain RuntimeError decides there.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    texts = (
        "DefaultCPUAllocator: can't allocate memory",
        "DefaultCPUAllocator: not enough memory",
        "MPS backend out of memory",
    )
    return type(error) is RuntimeError and any(text in str(error) for text in texts)


def _count(kind: str) -> int:
    """Return how many devices of a kind this machine has."""
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(torch.backends.mps.is_available()) if kind == "mps" else 1


def _devices() -> str:
    """Return the devices of this machine in words."""
    names = ["cpu"] + (["mps"] if _count("mps") else [])
    return ", ".join(names + [f"cuda:{index}" for index in range(_count("cuda"))])
