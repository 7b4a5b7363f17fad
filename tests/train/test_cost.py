import sys

import pytest
import torch

from tlexp.train.cost import peak_bytes, reset_peak


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell")
def test_peak_memory_is_in_bytes_and_never_falls():
    device = torch.device("cpu")
    reset_peak(device)
    before = peak_bytes(device)
    assert 10**8 < before <= peak_bytes(device) < 10**11


def test_a_system_that_does_not_tell_gives_none(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert peak_bytes(torch.device("cpu")) is None
