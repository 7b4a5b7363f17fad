"""What is kept on a device, and how it comes there."""

import pytest
import torch

from tests.waiting import DEVICE, counting
from tlexp.data.placement import room_bytes, to_device

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def test_a_copy_is_not_waited_for_and_what_is_there_stays() -> None:
    values = torch.arange(3)
    assert to_device(values, CPU) is values
    with counting() as waits:
        there = to_device(values, DEVICE)
        assert to_device(there, DEVICE) is there
        values.to(DEVICE)
    assert (waits.copies, waits.waited_for) == (2, [(3,)])  # the last one was


def test_a_gpu_reads_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the copy would be waited for, whatever it is asked."""
    asked: list[object] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: asked.append("pinned") or values)
    monkeypatch.setattr(torch.Tensor, "to", lambda values, *given, **named: asked.append((given, named)) or values)
    to_device(torch.arange(3), CUDA)
    assert asked == ["pinned", ((CUDA,), {"non_blocking": True})]


def test_half_of_a_gpus_own_free_memory_may_be_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    assert room_bytes(CUDA, 1) == (1000 + 200) // 2
    assert [room_bytes(torch.device(kind), 7) for kind in ("cpu", "mps", "meta")] == [7] * 3
