from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tlexp.config.data import DataSource, OnBad
from tlexp.data.checked import Reading
from tlexp.data.images import Source
from tlexp.data.sources import open_source

Write = Callable[..., Path]
Open = Callable[..., Source]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write images as root/<name>, each with content of its own."""

    def write_images(*names: str, size: tuple[int, int] = (12, 9)) -> Path:
        root = tmp_path / "photos"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = int.from_bytes(name.encode("utf-8", "surrogateescape")[-12:], "big")
            pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return root

    return write_images


@pytest.fixture
def opened() -> Open:
    """Open a source, with everything that is not given at a plain value."""

    def open_plain(root: Path | None = None, **changes: Any) -> Source:
        settings: dict[str, Any] = {
            "kind": DataSource.folder if root else DataSource.shapes,
            "root": root,
            "columns": None,
            "classes": None,
            "at_least": 2,
            "source_seed": 0,
            "per_class": 6,
            "test_per_class": 3,
            "num_classes": 3,
            "size": 16,
            "noise": 0.1,
            "clutter": 4,
        }
        reading: dict[str, Any] = {
            "on_bad": OnBad.refuse,
            "follow_links": False,
            "max_pixels": 10**6,
            "progress": lambda done, total: None,
        }
        reading |= {name: changes.pop(name) for name in reading if name in changes}
        return open_source(**{**settings, **changes}, reading=Reading(**reading))

    return open_plain
