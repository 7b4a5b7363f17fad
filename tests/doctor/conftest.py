from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tlexp.data import Source
from tlexp.doctor.diagnosis import Diagnosis, diagnose
from tlexp.doctor.gallery import Gallery
from tlexp.doctor.kinship import Kin, Kinship

Examine = Callable[..., Diagnosis]


class Plain:
    """Images of one colour each, in memory."""

    def __init__(self, labels: list[int], names: list[str]) -> None:
        self.labels, self.names = np.array(labels, np.int64), names
        self.asked: list[int] = []

    def read(self, index: int) -> Image.Image:
        self.asked.append(index)
        return Image.new("RGB", (20 + index, 10), (index, 0, 0))

    def digest(self, index: int) -> bytes:
        return bytes([index]) * 32


def clusters(labels: list[int], *, spread: float = 0.1) -> torch.Tensor:
    """Return features of images that lie around one corner for each class."""
    drawn = np.random.default_rng(0).normal(size=(len(labels), 8)) * spread
    drawn[np.arange(len(labels)), labels] += 1
    return torch.from_numpy(drawn.astype(np.float32))


def a_gallery(
    labels: list[int], *, shown: list[int] | None = None, tested: int = 0, names: list[str] | None = None
) -> Gallery:
    """Return images whose features show the classes `shown`, whatever their labels; the last ones are tested."""
    names = names or [f"{label}/{place}.png" for place, label in enumerate(labels)]
    count = len(labels)
    return Gallery(
        images=Plain(labels, names),
        classes=tuple("abcdefgh"[: max(labels) + 1]),
        names=tuple(names),
        labels=np.array(labels, np.int64),
        tested=np.arange(count) >= count - tested,
        shifted=np.zeros(count, bool),
        left=np.zeros(count, bool),
        sizes=np.stack([np.arange(20, 20 + count), np.full(count, 10)], axis=1),
        file_bytes=np.arange(count),
        fingerprints=np.zeros((count, 32, 32), np.uint8),
        features=clusters(labels if shown is None else shown),
    )


def a_kinship(count: int, *pairs: tuple[int, int]) -> Kinship:
    """Return near copies and the groups that they make."""
    groups = np.arange(count)
    for first, second in pairs:
        groups[groups == groups[second]] = groups[first]
    return Kinship(
        pairs=tuple(Kin(first=first, second=second, similarity=0.9) for first, second in pairs),
        copies=groups,
        groups=groups,
    )


@pytest.fixture
def examined() -> Examine:
    """Diagnose a gallery, with everything that is not given at a plain value."""

    def examine(gallery: Gallery, *pairs: tuple[int, int], **of_source: Any) -> Diagnosis:
        pool, held_out = ([gallery.names[place] for place in np.flatnonzero(gallery.tested == side)] for side in (0, 1))
        plain = {"digest": "0" * 64, "pool_from": "train/", "held_out_from": "test/"}
        source = Source(
            classes=gallery.classes,
            pool=Plain([0] * len(pool), pool),
            held_out=Plain([0] * len(held_out), held_out),
            **{**plain, **of_source},
        )
        return diagnose("photos", source, gallery, a_kinship(len(gallery), *pairs))

    return examine


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of small photographs: smooth random colours, one of each class planted under the other."""
    generator = np.random.default_rng(3)
    for split, count in (("train", 8), ("test", 4)):
        for kind in ("cat", "dog"):
            (tmp_path / "photos" / split / kind).mkdir(parents=True)
            for number in range(count):
                coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                picture = Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)
                picture.save(tmp_path / "photos" / split / kind / f"{number}.jpg")
    return tmp_path / "photos"
