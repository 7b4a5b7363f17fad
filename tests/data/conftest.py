import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tlexp.config.data import DataSource, OnBad
from tlexp.data import IN_MEMORY, Decoding, Folder, Index, Origin, Reading, Shapes, Source, TableFile, TimmSet

Write = Callable[..., Path]
Unreadable = Callable[..., None]
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
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Unreadable:
    """Let folders of some names be those of somebody else."""
    real = os.scandir

    def make_unreadable(*names: str) -> None:
        def scan(folder: str | Path) -> Any:
            if Path(folder).name in names:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
            return real(folder)

        monkeypatch.setattr(os, "scandir", scan)

    return make_unreadable


def an_origin(kind: DataSource, root: Path | None = None, **changes: Any) -> Origin:
    """Return where images come from, with everything that is not given at a plain value."""
    shapes = {"per_class": 6, "test_per_class": 3, "num_classes": 3, "size": 16, "noise": 0.1, "clutter": 4}
    asked = {"name": "", "split": "train", "test_split": None, "columns": None, "download": False}
    if kind is DataSource.shapes:
        return Shapes(**{**shapes, **changes})
    if kind.in_memory:
        return IN_MEMORY[kind]
    if kind is DataSource.timm:
        return TimmSet(**{**asked, "root": root, **changes})
    if kind is DataSource.csv:
        assert root is not None
        return TableFile(path=root, **{"columns": None, "follow_links": False, **changes})
    return Folder(root=root, **{"follow_links": False, **changes})


@pytest.fixture
def opened() -> Open:
    """Open a source, with everything that is not given at a plain value."""

    def open_plain(root: Path | None = None, *, kind: DataSource | None = None, **changes: Any) -> Source:
        reading: dict[str, Any] = {"on_bad": OnBad.refuse, "progress": lambda done, total: None, "index": Index(None)}
        decoding: dict[str, Any] = {"max_pixels": 10**6, "bits": None, "least_side": None}
        wanted: dict[str, Any] = {"classes": None, "at_least": 2, "source_seed": 0}
        for plain in (reading, decoding, wanted):
            plain |= {name: changes.pop(name) for name in plain if name in changes}
        files = root is not None or "train" in changes
        origin = an_origin(kind or (DataSource.folder if files else DataSource.shapes), root, **changes)
        links = changes.get("follow_links", False)
        return origin.open(**wanted, reading=Reading(**reading, decoding=Decoding(**decoding), follow_links=links))

    return open_plain
