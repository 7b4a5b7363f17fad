"""What a run takes of the machine's memory."""

import sys

import torch

if sys.platform != "win32":
    import resource


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement of peak memory where the device can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """Return the peak of allocated CUDA memory since `reset_peak`; elsewhere the process's peak resident memory.

    None where the operating system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB, macOS in bytes
