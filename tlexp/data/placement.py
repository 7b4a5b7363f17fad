"""Where tensors lie: copies to a device that nobody waits for, and how much of its memory they may fill."""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return values on the device.

    From the memory of the host a GPU takes them while its work goes on: only copies of pinned memory are not waited
    for. Torch gives that memory to nobody else before they are done.
    """
    if values.device.type != "cpu" or device.type in ("cpu", "mps"):  # mps may read them after the call has returned
        return values.to(device)
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


def room_bytes(device: torch.device, host_bytes: int) -> int:
    """Return how many bytes of images or features may be kept on a device.

    Of a GPU's own memory half of what is free, or held by torch for nothing; the rest is for training.

    Args:
        device: Where they would lie.
        host_bytes: What they may fill where the device has no memory of its own.
    """
    if device.type != "cuda":
        return host_bytes
    free, _ = torch.cuda.mem_get_info(device)
    return (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)) // 2
