"""The device: which one, how precisely and how repeatably it computes, and when its memory is full."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from tlexp.config.train import Precision, device_problem
from tlexp.errors import ConfigError, OutOfMemoryError
from tlexp.train.allocator import keep_freed_memory

T = TypeVar("T")
# Keeps these draws apart from those of batches and weights that start from the same seed.
_STREAM = 0x7261696E
# The CPU's allocator, MPS, the CUDA driver, and the libraries that take memory of their own.
_FULL = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|MPS backend out of memory|CUDA error: out of memory|"
    r"CU[A-Z]+_\w*ALLOC\w*_FAILED"
)


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
        return torch.bfloat16 if device.type == "cuda" and computes_bf16(device) else None
    return torch.bfloat16 if precision is Precision.bf16 else None


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16: a GPU, or a CPU with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def settle_process() -> None:
    """Settle what holds for the whole process; called before its first large tensor and its first product on a GPU.

    The C library keeps what is freed. cuBLAS gets the workspace without which it refuses to be deterministic: torch
    reads that variable once. float32 means float32: by default convolutions on a GPU round to TF32's 10 bits.

    Raises:
        ConfigError: The environment asks for an allocator that there is not.
    """
    keep_freed_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Allow only deterministic kernels inside, and restore the switches afterwards; does nothing when not enabled.

    An operation that has no deterministic kernel raises torch's RuntimeError, which names it. On a GPU the process has
    to be settled.
    """
    if not enabled:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark


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


def spared(work: Callable[[Tensor], Sequence[Tensor]]) -> Callable[[Tensor], list[Tensor]]:
    """Return what does `work` on images (B, ...), on fewer of them at once from where an accelerator's memory ends.

    Each call of `work` gets half as many as the one that failed.
    """
    most = sys.maxsize

    def sparing(images: Tensor) -> list[Tensor]:
        nonlocal most
        parts: list[Sequence[Tensor]] = []
        start = 0
        while start < len(images) or not parts:
            part = images[start : start + most]
            made = _attempt(work, part)
            if made is None:
                most = len(part) // 2
            else:
                parts.append(made)
                start += len(part)
        return list(parts[0]) if len(parts) == 1 else [torch.cat(each) for each in zip(*parts, strict=True)]

    return sparing


def _attempt(work: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> Sequence[Tensor] | None:
    """Return what work makes of images; None where memory ran out and fewer of them may fit."""
    try:
        return work(images)
    except RuntimeError as error:
        if not _can_halve(images) or not _is_out_of_memory(error):
            raise
    return None  # outside the handler: there, the error would keep its frames and their tensors alive


def _can_halve(images: Tensor) -> bool:
    """Return whether fewer images at once take less memory; on the CPU all pass in chunks of one size anyway."""
    return len(images) > 1 and images.device.type != "cpu"


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that memory ran out.

    Only torch's own allocator on CUDA has a type for it; where another asks for memory, the text decides.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _FULL.search(str(error)) is not None


def _count(kind: str) -> int:
    """Return how many devices of a kind this machine has."""
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(torch.backends.mps.is_available()) if kind == "mps" else 1


def _devices() -> str:
    """Return the devices of this machine in words."""
    names = ["cpu"] + (["mps"] if _count("mps") else [])
    return ", ".join(names + [f"cuda:{index}" for index in range(_count("cuda"))])
