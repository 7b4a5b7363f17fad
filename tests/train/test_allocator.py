"""A process keeps what it frees, so that no batch waits for pages that the one before it had."""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tlexp.errors import ConfigError
from tlexp.experiment.session import Session
from tlexp.train import allocator, choose_device
from tlexp.train.allocator import keep_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"
FORWARD = """
import resource, runpy, sys, torch
from torch import nn
network = nn.Sequential(nn.Conv2d(3, 48, 3, 2, 1), nn.ReLU(), nn.Conv2d(48, 48, 3, 1, 1, groups=48), nn.ReLU())
images = torch.zeros(32, 3, 224, 224)

def pages():
    with torch.no_grad():
        for turn in range(6):
            if turn == 2:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            network(images)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

as_it_comes = pages()
runpy.run_path(sys.argv[1])["keep_freed_memory"]()
print(as_it_comes, pages())
"""
"""Of torch alone, for it is loaded anew; tensors of 77 MB, as the first layers of lite0 make them.

How many pages four passes have to wait for, the heap having grown in two before.
"""

SMALLER = """
import re, runpy, sys, torch
allocator = runpy.run_path(sys.argv[1])
allocator["keep_freed_memory"]()

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10

tensors = [torch.zeros(1 << 18) for _ in range(200)]
last = tensors.pop()
del tensors
kept = resident()
allocator["give_back_freed_memory"]()
print(kept - resident())
"""
"""How much of 199 MiB that are freed below what is not goes back."""


def library(monkeypatch: pytest.MonkeyPatch, mallopt: Callable[[int, int], int]) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Let the process decide again, and hear what it asks of a C library that agrees."""
    asked: list[tuple[int, int]] = []
    library(monkeypatch, lambda *words: asked.append(words) or 1)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    keep_freed_memory.cache_clear()
    yield asked
    keep_freed_memory.cache_clear()


@pytest.mark.skipif(not GLIBC, reason="only glibc gives memory back at once and has a switch for it")
def test_passes_do_not_wait_for_pages_of_the_one_before() -> None:
    # Counted, not timed: what a page costs differs from machine to machine. The heap may still grow once or twice.
    command = [sys.executable, "-c", FORWARD, allocator.__file__]
    others = {name: value for name, value in os.environ.items() if name != allocator.VARIABLE}
    environment = others | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    as_it_comes, kept = map(int, done.stdout.split())
    assert kept < 0.25 * as_it_comes


@pytest.mark.skipif(not GLIBC, reason="only glibc keeps memory because it was told to")
def test_what_is_kept_can_be_given_back() -> None:
    others = {name: value for name, value in os.environ.items() if name != allocator.VARIABLE}
    command = [sys.executable, "-c", SMALLER, allocator.__file__]
    done = subprocess.run(command, env=others, check=True, capture_output=True, text=True)
    assert int(done.stdout) > 150 << 20


def test_a_session_begins_with_it_and_the_process_decides_once(anew: list[tuple[int, int]]) -> None:
    choose_device("cpu")
    assert anew == []
    Session()
    Session()
    assert anew == [(-3, 1 << 30), (-1, (1 << 31) - 1)]


def test_the_environment_leaves_it_as_it_comes(anew: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(allocator.VARIABLE, "default")
    assert not keep_freed_memory()
    assert anew == []


def test_a_value_that_is_none_is_refused(anew: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(allocator.VARIABLE, "off")
    with pytest.raises(ConfigError, match="TLEXP_MALLOC=off: must be default"):
        keep_freed_memory()
    assert anew == []


def test_other_libraries_are_left_alone(anew: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
    keep_freed_memory.cache_clear()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # one that has no such switch
    assert not keep_freed_memory()
    assert anew == []


def test_an_older_one_that_refuses_so_much_gets_the_most_it_takes(
    anew: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    library(monkeypatch, lambda *words: anew.append(words) or int(words[1] != 1 << 30))
    assert keep_freed_memory()
    assert anew == [(-3, 1 << 30), (-3, 1 << 25), (-1, (1 << 31) - 1)]
