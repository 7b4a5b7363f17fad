import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tlexp.arrays import Positions
from tlexp.cache.entry import Digests
from tlexp.cache.key import CutKey
from tlexp.cache.store import Store

WIDTH = 6


def a_key(**changes: object) -> CutKey:
    """Return a key as a run could have it."""
    values: dict[str, object] = {
        "cut": "pooled",
        "weights": "w" * 64,
        "backbone": "resnet18",
        "global_pool": None,
        "whole_map": False,
        "head_units": ("layer3", "layer4"),
        "image_size": 64,
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "decoder": 1,
        "protocol": 1,
        "shape": (WIDTH,),
        "dtype": "float32",
        "autocast": None,
        "device": "cpu AVX2",
        "chunk": 32,
        "channels_last": True,
        "deterministic": False,
        "libraries": ("torch 2.14.1", "timm 1.0.31"),
        "augment": "none",
        "view": None,
        "view_seed": None,
    }
    return CutKey(**{**values, **changes})  # type: ignore[arg-type]


def some_images(count: int, start: int = 0) -> Digests:
    """Return digests of images that nobody else has."""
    each = [hashlib.sha256(f"image {number}".encode()).digest() for number in range(start, start + count)]
    return np.frombuffer(b"".join(each), np.uint8).reshape(count, 32)


def true_rows(images: Digests, width: int = WIDTH) -> torch.Tensor:
    """Return the rows that belong to images: a function of their digests."""
    places = np.arange(width)
    return torch.from_numpy((images[:, places % 32] + places[None] // 32).astype(np.float32)) / 7


class Computer:
    """Computes true rows and remembers of which positions."""

    def __init__(self, images: Digests, width: int = WIDTH) -> None:
        self.images, self.width = images, width
        self.calls: list[list[int]] = []

    def __call__(self, positions: Positions) -> torch.Tensor:
        self.calls.append(positions.tolist())
        return true_rows(self.images[positions], self.width)

    @property
    def computed(self) -> list[int]:
        return sorted(position for call in self.calls for position in call)


@pytest.fixture
def told() -> list[str]:
    """What the store said."""
    return []


@pytest.fixture
def store(tmp_path: Path, told: list[str]) -> Store:
    return Store(tmp_path / "cache", max_bytes=10**9, warn=told.append)


@pytest.fixture
def again(tmp_path: Path, told: list[str]) -> Callable[[], Store]:
    """Open the same folder as another process would."""
    return lambda: Store(tmp_path / "cache", max_bytes=10**9, warn=told.append)
