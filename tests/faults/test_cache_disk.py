"""A disk that is full, read-only or refuses: the run goes on uncached with one warning, and leaves no broken file."""

import errno
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cache.conftest import Computer, a_key, some_images, true_rows
from tlexp.cache.store import Store

COUNT, WIDTH = 640, 256


def fill_twice(folder: Path) -> list[str]:
    """Fill two cuts in a folder that takes little or nothing; the rows have to be right. Return what was told."""
    told: list[str] = []
    store, images = Store(folder, max_bytes=10**9, warn=told.append), some_images(COUNT)
    for view in (0, 1):
        cut = store.open(a_key(shape=(WIDTH,), view=view))
        for _ in range(2):
            rows, use = cut.fill(images, Computer(images, WIDTH))
            assert torch.equal(rows.take(np.arange(COUNT)), true_rows(images, WIDTH))
        assert use.misses == 0
    return told


def check_what_is_left(folder: Path) -> int:
    """Return how many entries stand there, all of them whole, and nothing half-written beside them."""
    assert not list(folder.rglob("*.tmp"))
    report = Store(folder, max_bytes=10**9).verify()
    assert report.bad == ()
    return report.files


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    told = fill_twice(small_disk / "cache")
    assert len(told) == 1
    assert told[0] == (
        f"the cache folder {small_disk / 'cache'} cannot be written (No space left on device): features are kept in "
        "memory for this run; name another folder with cache.dir, or say cache=off"
    )
    assert check_what_is_left(small_disk / "cache") >= 3


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        told = fill_twice(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(told) == 1
    assert "cannot be written (File too large)" in told[0]
    assert check_what_is_left(tmp_path) == 0


@pytest.mark.parametrize("name", ["fsync", "replace", "mkdir"])
@pytest.mark.parametrize("number", range(8))
def test_any_call_that_fails(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = iter(range(10**6)), getattr(os, name)

    def failing(*args: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        told = fill_twice(tmp_path / "cache")
    assert len(told) <= 1
    check_what_is_left(tmp_path / "cache")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("mine")
    (told,) = fill_twice(tmp_path / "cache")
    assert "cannot be written (" in told
    assert (tmp_path / "cache").read_text() == "mine"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name) / "cache"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("filled", [False, True])
def test_a_folder_of_another_user(filled: bool, open_folder: Path) -> None:
    # Root may write anywhere.
    open_folder.mkdir()
    if filled:
        images = some_images(100)
        Store(open_folder, max_bytes=10**9).open(a_key(shape=(WIDTH,), view=0)).fill(images, Computer(images, WIDTH))
    for path in [open_folder, *open_folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    os.seteuid(65534)
    try:
        (told,) = fill_twice(open_folder)
    finally:
        os.seteuid(0)
    assert "cannot be written (Permission denied)" in told
    assert check_what_is_left(open_folder) == 2 * filled
