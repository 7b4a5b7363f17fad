"""Flipped bits in the feature cache: none may reach a row, every one is found, set aside, named and made good.

As a program, this file is the harness:

    python tests/faults/test_cache_flips.py small                        # every bit of a small entry
    python tests/faults/test_cache_flips.py large --flips 10000 [--seed 1]
    python tests/faults/test_cache_flips.py small --plant no_verify|no_quarantine

`--plant` puts a bug into the cache, which the harness must catch.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cache.conftest import a_key, some_images
from tlexp.cache.cut_folder import CutFolder
from tlexp.cache.entry import CacheEntry
from tlexp.cache.store import Store

PLANTS = {
    "no_verify": (CacheEntry, "verify", lambda self: None),
    "no_quarantine": (CutFolder, "set_aside", lambda self, path: False),
}


@dataclass
class Found:
    """What the cache did about the flips."""

    flips: int = 0
    wrong: int = 0
    unseen: int = 0
    unnamed: int = 0
    left: int = 0

    @property
    def faults(self) -> int:
        return self.wrong + self.unseen + self.unnamed + self.left

    def __str__(self) -> str:
        return (
            f"{self.flips} flips: {self.wrong} gave wrong rows, {self.unseen} were not computed again, "
            f"{self.unnamed} not named, {self.left} not set aside"
        )


def test_every_seventh_bit_of_a_small_entry(tmp_path: Path) -> None:
    """Each byte is hit, and each bit of a byte."""
    found = flip(tmp_path, rows=3, width=4, every=7)
    assert found.flips > 400
    assert found.faults == 0, found


@pytest.mark.slow
def test_every_bit_of_a_small_entry(tmp_path: Path) -> None:
    found = flip(tmp_path, rows=3, width=4)
    assert found.flips > 3000
    assert found.faults == 0, found


def test_random_bits_of_a_large_entry(tmp_path: Path) -> None:
    found = flip(tmp_path, rows=4096, width=512, random_flips=100)
    assert found.faults == 0, found


@pytest.mark.parametrize("plant", PLANTS)
def test_the_harness_catches_a_planted_bug(plant: str, tmp_path: Path) -> None:
    assert flip(tmp_path, rows=3, width=4, every=61, plant=plant).faults > 0


@pytest.mark.slow
def test_ten_thousand_bits_of_a_large_entry(tmp_path: Path) -> None:
    assert flip(tmp_path, rows=4096, width=512, random_flips=10_000).faults == 0


# --- the harness


def flip(
    root: Path,
    *,
    rows: int,
    width: int,
    every: int = 1,
    random_flips: int | None = None,
    seed: int | None = None,
    plant: str | None = None,
) -> Found:
    """Flip bits of one entry, one at a time, and ask for its rows each time as a new process would.

    Every `every`-th bit, or so many at random.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    key, images = a_key(shape=(width,), dtype="float16"), some_images(rows)
    truth = torch.from_numpy(np.random.default_rng(0).standard_normal((rows, width))).half()
    writer = Store(root, max_bytes=10**9)
    writer.open(key).add(images, truth)
    (path,) = root.rglob("*.safetensors")
    content = path.read_bytes()
    bits: Iterator[int] = iter(range(0, 8 * len(content), every))
    if random_flips is not None:
        print(f"seed {seed}", flush=True)
        draw = random.Random(seed)
        bits = iter([draw.randrange(8 * len(content)) for _ in range(random_flips)])
    found, began = Found(), time.monotonic()
    with planted(plant):
        for bit in bits:
            flipped = bytes([content[bit // 8] ^ 1 << bit % 8])
            with path.open("r+b") as file:
                file.seek(bit // 8)
                file.write(flipped)
            one_flip(root, path, found, images=images, truth=truth, width=width)
            with path.open("r+b") as file:
                file.seek(bit // 8)
                file.write(content[bit // 8 : bit // 8 + 1])
    print(f"{len(content)} bytes, {time.monotonic() - began:.1f} s, {found}", flush=True)
    return found


def one_flip(root: Path, path: Path, found: Found, *, images: np.ndarray, truth: torch.Tensor, width: int) -> None:
    """Ask for the rows of a damaged entry, and put it back where it was."""
    told: list[str] = []
    store = Store(root, max_bytes=10**9, warn=told.append)
    store.writable = False  # thousands of files more would only take time
    taken, use = store.open(a_key(shape=(width,), dtype="float16")).fill(images, lambda positions: truth[positions])
    aside = path.parent / "quarantine" / path.name
    found.flips += 1
    found.wrong += taken.take(np.arange(len(images))).numpy().tobytes() != truth.numpy().tobytes()
    found.unseen += use.misses != len(images)
    found.unnamed += sum(path.name in text for text in told) != 1
    found.left += path.exists() or not aside.exists()
    if aside.exists():
        aside.rename(path)


@contextmanager
def planted(plant: str | None) -> Iterator[None]:
    if plant is None:
        yield
        return
    owner, name, bug = PLANTS[plant]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, bug)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["small", "large"])
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--plant", choices=list(PLANTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "small":
            found = flip(Path(folder), rows=3, width=4, plant=arguments.plant)
        else:
            found = flip(
                Path(folder),
                rows=4096,
                width=512,
                random_flips=arguments.flips,
                seed=arguments.seed,
                plant=arguments.plant,
            )
    sys.exit(found.faults > 0)


if __name__ == "__main__":
    main()
