import os
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.waiting import DEVICE, counting
from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.data import loaders
from tlexp.data.loaders import ImageBank, ImageBatches, chunks, load_bank
from tlexp.data.transforms import IMAGE_BY_IMAGE, build_augment, fit_image, normalise
from tlexp.errors import DataError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
CPU = torch.device("cpu")
SMALL = Preprocessing(image_size=12, mean=MEAN, std=STD, interpolation="bicubic", crop_pct=0.9)


def bank(count: int = 23, side: int = 4) -> ImageBank:
    """Return a bank whose image i has the value i everywhere and the label i % 5."""
    values = torch.arange(count)
    pixels = values.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side).contiguous()
    return ImageBank(pixels=pixels, labels=values % 5)


def batches(count: int = 23, **changes: object) -> ImageBatches:
    settings: dict = {
        "batch_size": 8,
        "seed": 0,
        "augment": build_augment(AugmentKind.none),
        "mean": MEAN,
        "std": STD,
        "device": CPU,
        "channels_last": False,
    }
    indices = changes.pop("indices", np.arange(count))
    return ImageBatches(changes.pop("bank", bank(count)), indices, **{**settings, **changes})


def images_of(count: int) -> SimpleNamespace:
    """Return images of several sizes, read by their own numbers, and count the readings."""
    reads: Counter[int] = Counter()

    def read(index: int) -> Image.Image:
        reads[index] += 1
        time.sleep(0.001 * (index % 3))
        return Image.fromarray(np.random.default_rng(index).integers(0, 256, (10 + index, 20, 3), dtype=np.uint8))

    return SimpleNamespace(labels=np.arange(count) % 3, names=tuple(map(str, range(count))), read=read, reads=reads)


def test_a_bank_holds_fitted_images_in_the_order_asked() -> None:
    images, indices, seen = images_of(20), np.array([5, 19, 0, 7]), []
    made = load_bank(
        images, indices, SMALL, memory_bytes=10**6, progress=lambda done, total: seen.append((done, total))
    )
    assert (made.pixels.shape, made.pixels.dtype, len(made)) == ((4, 3, 12, 12), torch.uint8, 4)
    assert made.labels.tolist() == [2, 1, 0, 1]
    assert images.reads == Counter(indices.tolist())
    for place, index in enumerate(indices):
        assert np.array_equal(made.pixels[place].permute(1, 2, 0).numpy(), fit_image(images.read(index), SMALL))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_mapped_bank_is_equal_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = [
        load_bank(images_of(9), np.arange(9), SMALL, memory_bytes=limit, progress=lambda *_: None)
        for limit in (9 * 3 * 144, 9 * 3 * 144 - 1)
    ]
    assert torch.equal(made[0].pixels, made[1].pixels)
    assert list(tmp_path.iterdir()) == []
    if Path("/proc/self/maps").exists():
        assert str(tmp_path) in Path("/proc/self/maps").read_text()


def test_a_full_disk_is_an_error_before_it_is_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"need 3,888 bytes in .*No space left on device.*data.memory_bytes=3888"):
        load_bank(images_of(9), np.arange(9), SMALL, memory_bytes=0, progress=lambda *_: None)


def test_an_image_that_cannot_be_read_ends_the_loading() -> None:
    images = images_of(50)

    def refuse(index: int) -> Image.Image:
        raise DataError(f"{index} was changed")

    images.read = refuse
    with pytest.raises(DataError, match="0 was changed"):
        load_bank(images, np.arange(50), SMALL, memory_bytes=10**6, progress=lambda *_: None)


@pytest.mark.parametrize(("count", "size"), [(23, 8), (32, 8), (5, 32), (1, 4), (7, 7)])
def test_every_order_shows_every_image_once_in_full_batches(count: int, size: int) -> None:
    stream = batches(count, batch_size=size)
    assert stream.batch_size == min(size, count)
    shown: list[int] = []
    for step in range(6 * count):
        raw = stream.raw(step)
        assert len(raw) == min(size, count)
        shown += raw[:, 0, 0, 0].tolist()
    orders = [tuple(shown[start : start + count]) for start in range(0, len(shown) - count + 1, count)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    if count > 5:
        assert len(set(orders)) == len(orders)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    augment = build_augment(AugmentKind.light)
    forwards = [batches(augment=augment).raw(step) for step in range(12)]
    stream = batches(augment=augment)
    for step in (11, 3, 7, 3, 0):
        assert torch.equal(stream.raw(step), forwards[step])
    assert not torch.equal(batches(augment=augment, seed=1).raw(0), forwards[0])
    torch.manual_seed(5)
    assert torch.equal(stream.raw(4), forwards[4])


def test_augmentation_is_drawn_anew_at_every_step() -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 16, 16), dtype=np.uint8))
    one = ImageBank(pixels=pictures, labels=torch.zeros(1, dtype=torch.int64))
    stream = batches(1, bank=one, augment=build_augment(AugmentKind.light))
    assert len({stream.raw(step).numpy().tobytes() for step in range(30)}) == 30


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_and_labels_stay_together(channels_last: bool) -> None:
    indices = np.array([20, 3, 11, 4, 9])
    stream = batches(indices=indices, batch_size=3, channels_last=channels_last)
    for step in range(10):
        raw, (images, labels) = stream.raw(step), stream.batch(step)
        values = raw[:, 0, 0, 0].long()
        assert set(values.tolist()) <= set(indices.tolist())
        assert torch.equal(labels, values % 5)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert torch.equal(images, normalise(raw, MEAN, STD))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert images.is_contiguous(memory_format=layout)
        assert stream.positions(step).tolist() == [indices.tolist().index(value) for value in values]


def test_augmentation_never_reaches_the_bank() -> None:
    made = bank()
    before = made.pixels.clone()
    for kind in AugmentKind:
        stream = batches(bank=made, augment=build_augment(kind))
        stream.batch(0)
        stream.raw(1).zero_()
    assert torch.equal(made.pixels, before)


def test_chunks_come_in_order_and_miss_nothing() -> None:
    made, indices = bank(), np.array([22, 1, 1, 7, 5])
    parts = list(chunks(made, indices, mean=MEAN, std=STD, device=CPU, channels_last=True, size=2))
    assert [len(labels) for _, labels in parts] == [2, 2, 1]
    assert torch.cat([labels for _, labels in parts]).tolist() == (indices % 5).tolist()
    assert torch.equal(torch.cat([images for images, _ in parts]), normalise(made.pixels[indices], MEAN, STD))


def test_no_image_is_an_error() -> None:
    with pytest.raises(DataError, match="no image to train on"):
        batches(indices=np.arange(0))


def test_a_batch_is_made_in_a_few_milliseconds() -> None:
    stream = batches(200, bank=bank(200, side=64), batch_size=32)
    seconds = []
    for step in range(50):
        start = time.perf_counter()
        stream.batch(step)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 5e-3  # generous: other processes share the cores


@pytest.mark.parametrize("kind", AugmentKind)
@pytest.mark.parametrize("crowded", [False, True])
def test_no_step_waits_for_the_device(kind: AugmentKind, crowded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the images lie there nor where each batch is copied."""
    if crowded:
        monkeypatch.setattr(loaders, "room_bytes", lambda device, host_bytes: 0)
    stream = batches(augment=build_augment(kind), device=DEVICE, on_host=kind in IMAGE_BY_IMAGE)
    stream.batch(0)  # mean and spread are copied once
    with counting() as waits:
        made = [stream.batch(step) for step in range(1, 4)]
    assert waits.waited_for == []
    assert waits.copies >= 3
    assert all(values.device == DEVICE for batch in made for values in batch)


def test_images_are_copied_to_a_device_once_for_all_fits() -> None:
    made = bank()
    with counting() as waits:
        for seed in range(3):
            batches(bank=made, indices=np.arange(seed, 20), device=DEVICE, seed=seed)
    assert waits.copies == 2  # images and labels
    assert made.on(CPU) is made


@pytest.mark.gpu
def test_an_accelerator_sees_the_same_batches() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cuda = torch.device("cuda")
    for kind in (AugmentKind.none, AugmentKind.flip, AugmentKind.light, AugmentKind.randaug):
        here, there = (batches(augment=build_augment(kind), device=device) for device in (CPU, cuda))
        for step in range(5):
            assert there.batch(step)[0].device.type == "cuda"
            assert torch.equal(here.batch(step)[1], there.batch(step)[1].cpu())
            difference = here.raw(step).int() - there.raw(step).cpu().int()
            assert difference.abs().max() <= 1
