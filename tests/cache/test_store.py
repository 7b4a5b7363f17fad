"""What was stored is found, in any order; what is missing is computed once; nothing depends on the disk's goodwill."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cache.conftest import Computer, a_key, some_images, true_rows
from tlexp.cache.cut_rows import block_size, stack_digests
from tlexp.cache.key import CutKey
from tlexp.cache.store import Store

Again = Callable[[], Store]


def test_rows_come_back_in_the_asked_order(store: Store, again: Again) -> None:
    images = some_images(200)
    store.open(a_key()).fill(images, Computer(images))
    order = np.random.default_rng(0).permutation(200)
    rows = again().open(a_key()).find(images[order])
    assert (len(rows), rows.shape, rows.dtype) == (200, (200, 6), torch.float32)
    assert not len(rows.missing)
    assert torch.equal(rows.take(np.arange(200)), true_rows(images[order]))
    assert torch.equal(rows.take(np.array([7, 3, 7])), true_rows(images[order][[7, 3, 7]]))
    assert rows.take(np.array([], np.int64)).shape == (0, 6)


def test_only_what_is_missing_is_computed(store: Store, again: Again) -> None:
    some, more = some_images(100), some_images(300)
    store.open(a_key()).fill(some, Computer(some))
    computer = Computer(more)
    assert again().open(a_key()).find(more).missing.tolist() == list(range(100, 300))
    rows, use = again().open(a_key()).fill(more, computer)
    assert computer.computed == list(range(100, 300))
    assert torch.equal(rows.take(np.arange(300)), true_rows(more))
    assert (use.hits, use.misses, use.read_bytes) == (100, 200, 100 * 24)
    assert use.written_bytes > 200 * (24 + 32)


def test_a_second_filling_computes_nothing_and_tells_what_it_saved(store: Store, again: Again) -> None:
    images = some_images(130)
    _, first = store.open(a_key()).fill(images, Computer(images))
    computer = Computer(images)
    _, second = again().open(a_key()).fill(images, computer)
    assert computer.calls == []
    assert (second.hits, second.misses, second.written_bytes, second.seconds) == (130, 0, 0, 0.0)
    assert second.saved_seconds == pytest.approx(first.seconds, rel=1e-4)
    assert str(second).startswith("hit 130 rows (0.00312 MB), saved about ")
    assert str(first).startswith("computed 130 rows in ")
    assert (first + second).hits == 130


def test_an_image_that_comes_twice_is_computed_once(store: Store) -> None:
    images = some_images(40)[np.array([3, 3, 5, 3, 0])]
    computer = Computer(images)
    rows, use = store.open(a_key()).fill(images, computer)
    assert computer.computed == [0, 2, 4]
    assert use.misses == 3
    assert torch.equal(rows.take(np.arange(5)), true_rows(images))


def test_another_key_has_rows_of_its_own(store: Store) -> None:
    images = some_images(10)
    store.open(a_key()).fill(images, Computer(images))
    assert len(store.open(a_key(view=1)).find(images).missing) == 10


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("shape", [(5,), (3, 2, 2), ()])
def test_every_shape_and_dtype_of_rows(store: Store, again: Again, dtype: str, shape: tuple[int, ...]) -> None:
    images, key = some_images(20), a_key(dtype=dtype, shape=shape)
    rows = torch.randn(20, *shape).to(getattr(torch, dtype))
    rows.view(-1)[0] = float("nan")
    assert store.open(key).add(images, rows) > 0
    found = again().open(key).find(images).take(np.arange(20))
    assert found.dtype is rows.dtype
    assert found.numpy(force=True).tobytes() == rows.numpy().tobytes() if dtype != "bfloat16" else True
    assert torch.equal(found.nan_to_num(), rows.nan_to_num())


def test_nothing_asked(store: Store) -> None:
    rows, use = store.open(a_key()).fill(some_images(0), Computer(some_images(0)))
    assert rows.shape == (0, 6)
    assert str(use) == "nothing asked"


def test_without_a_folder_rows_live_in_memory(told: list[str]) -> None:
    images, cut = some_images(100), Store(None, max_bytes=0, warn=told.append).open(a_key())
    rows, use = cut.fill(images, Computer(images))
    assert torch.equal(rows.take(np.arange(100)), true_rows(images))
    assert (use.misses, use.written_bytes) == (100, 0)
    assert cut.fill(images, Computer(images))[1].hits == 100
    assert told == []


def test_blocks_before_a_failure_are_stored(store: Store, again: Again) -> None:
    images = some_images(200)
    computer = Computer(images)

    def failing(positions: np.ndarray) -> torch.Tensor:
        if len(computer.calls) == 2:
            raise KeyboardInterrupt
        return computer(positions)

    with pytest.raises(KeyboardInterrupt):
        store.open(a_key()).fill(images, failing)
    assert again().open(a_key()).find(images).missing.tolist() == list(range(128, 200))


@pytest.mark.parametrize(("images", "block"), [(1, 64), (1000, 64), (1600, 128), (20_000, 1280), (10**6, 4096)])
def test_blocks_are_whole_chunks(images: int, block: int) -> None:
    assert block_size(images) == block


def test_the_least_recently_used_goes_first(tmp_path: Path, told: list[str]) -> None:
    keys = [a_key(weights=str(number)) for number in range(4)]
    images = some_images(64)
    one = Store(tmp_path, max_bytes=10**9)
    for number, key in enumerate(keys[:3]):
        one.open(key).fill(images, Computer(images))
        age_all(one, key, hours=3 - number)
    one.open(keys[0]).find(images)  # used now
    size = sum(info.size for info in one.entries())
    tight = Store(tmp_path, max_bytes=size, warn=told.append)
    tight.open(keys[3]).fill(images, Computer(images))
    assert stored(tmp_path, keys, images) == [True, False, True, True]
    assert sum(info.size for info in tight.entries()) <= size
    assert told == []


def test_rows_larger_than_the_limit_stay_in_memory(tmp_path: Path, told: list[str]) -> None:
    images = some_images(64)
    rows, _ = Store(tmp_path, max_bytes=1000, warn=told.append).open(a_key()).fill(images, Computer(images))
    assert torch.equal(rows.take(np.arange(64)), true_rows(images))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_rows_outlive_their_files(store: Store) -> None:
    images = some_images(200)
    rows, _ = store.open(a_key()).fill(images, Computer(images))
    store.clear()
    assert torch.equal(rows.take(np.arange(200)), true_rows(images))


def test_entries_tell_what_there_is(store: Store, again: Again) -> None:
    images = some_images(200)
    store.open(a_key()).fill(images, Computer(images))
    again().open(a_key()).fill(images[:50], Computer(images))
    (info,) = store.entries()
    assert (info.cut, info.files, info.rows, info.hits) == (a_key().digest, 4, 200, 50)
    assert info.about["backbone"] == "resnet18"
    assert info.created is not None
    assert info.created <= info.used


def test_clear_leaves_nothing_of_its_own(store: Store, tmp_path: Path) -> None:
    images = some_images(100)
    store.open(a_key()).fill(images, Computer(images))
    removed = store.clear()
    assert removed.files == 2
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["1"]
    assert store.entries() == []


def test_what_killed_writers_left_is_swept_and_what_is_written_stays(store: Store, tmp_path: Path) -> None:
    images = some_images(100)
    store.open(a_key()).fill(images, Computer(images))
    cut = tmp_path / "cache" / "1" / a_key().digest
    fresh, stale = (cut / f".{'0' * 64}.safetensors.{number * 8}.tmp" for number in "12")
    stale.write_bytes(b"half")
    with fresh.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as who writes it does
        store.prune(10**9)
    assert fresh.exists()
    assert not stale.exists()


def test_digests_stack() -> None:
    assert stack_digests([bytes(range(32))] * 3).shape == (3, 32)
    assert stack_digests([]).shape == (0, 32)


def age_all(store: Store, key: CutKey, hours: float) -> None:
    assert store.folder is not None
    for path in (store.folder / "1" / key.digest).glob("*.safetensors"):
        os.utime(path, (time.time() - 3600 * hours,) * 2)


def stored(folder: Path, keys: list[CutKey], images: np.ndarray) -> list[bool]:
    return [not len(Store(folder, max_bytes=10**9).open(key).find(images).missing) for key in keys]
