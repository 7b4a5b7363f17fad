"""Images of one digest have the same pixels, and only what decides the pixels decides the digest."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlexp.config.data import DataSource
from tlexp.data import Images
from tlexp.data.images import Source

Write = Callable[..., Path]
Open = Callable[..., Source]


def contents(images: Images) -> dict[bytes, bytes]:
    """Return digest -> pixels; two images of one digest have to agree."""
    found: dict[bytes, bytes] = {}
    for index in range(len(images.labels)):
        pixels = np.asarray(images.read(index)).tobytes()
        assert found.setdefault(images.digest(index), pixels) == pixels
        assert len(images.digest(index)) == 32
    return found


def test_each_shape_has_a_digest_of_its_own_that_follows_the_parameters(opened: Open) -> None:
    plain = opened()
    found = contents(plain.pool) | contents(plain.held_out)
    assert len(found) == len(set(found.values())) == 27
    changes: list[dict[str, Any]] = [{"source_seed": 1}, {"size": 20}, {"noise": 0.2}, {"clutter": 3}]
    for change in changes:
        assert not found.keys() & contents(opened(**change).pool).keys(), change


@pytest.mark.parametrize("change", [{"per_class": 9}, {"test_per_class": 1}, {"num_classes": 4}])
def test_shapes_that_stay_the_same_keep_their_digests(opened: Open, change: dict[str, Any]) -> None:
    found, other = contents(opened().pool), contents(opened(**change).pool)
    shared = found.keys() & other.keys()
    assert len(shared) == 18
    assert all(found[digest] == other[digest] for digest in shared)


def test_digits_keep_their_digests_in_every_split(opened: Open) -> None:
    one, two = (opened(kind=DataSource.digits, source_seed=seed) for seed in (0, 1))
    first, second = (contents(source.pool) | contents(source.held_out) for source in (one, two))
    assert first == second
    assert len(first) > 1700


def test_a_file_is_named_by_its_bytes_wherever_it_lies(write: Write, opened: Open, tmp_path: Path) -> None:
    names = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(10)]
    root = write(*names)
    before = contents(opened(root).pool)
    moved = tmp_path / "moved"
    shutil.copytree(root, moved, copy_function=shutil.copyfile)
    assert contents(opened(moved).pool) == before
    shutil.copyfile(moved / "cat" / "0.png", moved / "cat" / "1.png")
    source = opened(moved)
    after = contents(source.pool) | contents(source.held_out)
    assert len(after) == 19
