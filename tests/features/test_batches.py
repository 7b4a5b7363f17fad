"""The contract of what a learner is fed with: images, or features that stand for them, in the same batches.

A row is its image here, normalised and laid out flat, so that what a batch of features shows can be told.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.cache.conftest import a_key
from tests.waiting import DEVICE, counting
from tlexp.cache import Store
from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.config.optim import Optimizer, Schedule
from tlexp.data import ImageBank
from tlexp.data.transforms import normalise
from tlexp.errors import OutOfMemoryError
from tlexp.features import batches as batches_module
from tlexp.features.batches import FeatureSet, FitSetup, ImageSet, LabelledSet, stored_views
from tlexp.train import FitPlan

COUNT, SIDE, BATCH = 70, 8, 16
"""Images fill more than two chunks, and batches have a seam in the fifth of 70 images."""
WHOLE = np.arange(COUNT)
SOME = np.array([41, 3, 69, 0, 17, 18, 5, 60, 33, 2, 64, 12, 13, 55, 29, 31, 8, 47, 1, 22, 50])
PLAN = FitPlan(
    steps=6,
    num_classes=3,
    seed=4,
    optimizer=Optimizer.adamw,
    lr=1e-2,
    weight_decay=1e-2,
    momentum=0.9,
    layer_decay=None,
    schedule=Schedule.cosine,
    warmup=0.2,
    clip_norm=1.0,
    label_smoothing=0.0,
    mixup=0.0,
    cutmix=0.0,
    autocast=None,
    compile=False,
    channels_last=False,
)
SETUP = FitSetup(
    plan=PLAN,
    batch_size=BATCH,
    augment=AugmentKind.none,
    views=0,
    view_seed=7,
    expected=Preprocessing(
        image_size=SIDE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), interpolation="bicubic", crop_pct=1.0
    ),
    device=torch.device("cpu"),
)
VIEWS = replace(SETUP, augment=AugmentKind.light, views=2)
PIXELS = torch.randint(0, 256, (COUNT, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = np.arange(COUNT) * 7 % 3
DIGESTS = np.frombuffer(
    b"".join(hashlib.sha256(pixels.numpy().tobytes()).digest() for pixels in PIXELS), np.uint8
).reshape(COUNT, 32)
BANK = ImageBank(pixels=PIXELS, labels=torch.from_numpy(LABELS))


def rows_of(pixels: Tensor) -> Tensor:
    """Return the row that stands for each image, (n, D) float32."""
    return normalise(pixels, SETUP.expected.mean, SETUP.expected.std).flatten(1)


def image_set(setup: FitSetup) -> ImageSet:
    return ImageSet(BANK, setup, DIGESTS if setup.views else None)


def feature_set(setup: FitSetup, store: Store, *, memory_bytes: int) -> FeatureSet:
    draw = stored_views(setup, DIGESTS)
    parts = []
    for view in (*range(setup.views), None):
        pixels = PIXELS if view is None else draw(PIXELS, WHOLE, view)
        key = a_key(shape=(3 * SIDE**2,), view=view, augment=str(setup.augment))
        rows, _ = store.open(key).fill(DIGESTS, lambda places, shown=pixels: rows_of(shown[torch.from_numpy(places)]))
        parts.append(rows)
    return FeatureSet(
        parts,
        LABELS,
        setup,
        decode=lambda places: PIXELS[torch.from_numpy(places)],
        digests=DIGESTS,
        memory_bytes=memory_bytes,
        size=32,
    )


@dataclass(frozen=True, kw_only=True)
class Given:
    """A set and how it is fed."""

    labelled: LabelledSet
    setup: FitSetup


SETS: dict[str, Callable[[Store], Given]] = {
    "images": lambda store: Given(labelled=image_set(SETUP), setup=SETUP),
    "images, views": lambda store: Given(labelled=image_set(VIEWS), setup=VIEWS),
    "features": lambda store: Given(labelled=feature_set(SETUP, store, memory_bytes=10**9), setup=SETUP),
    "features where they lie": lambda store: Given(labelled=feature_set(SETUP, store, memory_bytes=1), setup=SETUP),
    "features, views": lambda store: Given(labelled=feature_set(VIEWS, store, memory_bytes=10**9), setup=VIEWS),
    "features, views where they lie": lambda store: Given(
        labelled=feature_set(VIEWS, store, memory_bytes=1), setup=VIEWS
    ),
}


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    return Store(tmp_path / "rows", max_bytes=10**9)


class TestLabelledSet:
    @pytest.fixture(params=SETS)
    def given(self, request: pytest.FixtureRequest, disk: Store) -> Given:
        return SETS[request.param](disk)

    def test_labels_are_those_of_the_images(self, given: Given) -> None:
        assert given.labelled.labels.dtype == np.int64
        assert np.array_equal(given.labelled.labels, LABELS)

    @pytest.mark.parametrize("positions", [WHOLE, SOME, WHOLE[:1], np.array([5, 5, 3])], ids=len)
    def test_chunks_are_all_rows_once_in_order_and_not_varied(self, positions: np.ndarray, given: Given) -> None:
        chunks = [*given.labelled.chunks(positions)]
        assert {(rows.device, labels.device) for rows, labels in chunks} == {(given.setup.device,) * 2}
        assert {rows.dtype for rows, _ in chunks} == {torch.float32}
        assert [len(rows) for rows, _ in chunks] == [len(labels) for _, labels in chunks]
        assert max(len(rows) for rows, _ in chunks) <= 32
        assert torch.equal(torch.cat([rows for rows, _ in chunks]).flatten(1), rows_of(PIXELS)[positions])
        assert np.array_equal(torch.cat([labels for _, labels in chunks]).numpy(), LABELS[positions])

    def test_a_step_has_the_same_bits_whoever_asks_and_whenever(self, given: Given) -> None:
        one, other = (given.labelled.batches(SOME) for _ in range(2))
        for step in (0, 1, 2, 1, 0):
            for first, second in zip(one.batch(step), other.batch(step), strict=True):
                assert torch.equal(first, second)
            assert torch.equal(one.raw(step), other.raw(step))
        again = one.batch(0)
        assert torch.equal(again[0], given.labelled.batches(SOME).batch(0)[0])
        assert not torch.equal(one.batch(0)[0], one.batch(1)[0])

    def test_every_position_comes_once_an_epoch(self, given: Given) -> None:
        batches = given.labelled.batches(SOME)
        stream = np.concatenate([batches.positions(step) for step in range(3 * len(SOME))])
        assert {len(batches.positions(step)) for step in range(9)} == {BATCH}
        epochs = stream[: len(stream) // len(SOME) * len(SOME)].reshape(-1, len(SOME))
        assert (np.sort(epochs, axis=1) == np.arange(len(SOME))).all()
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)

    @pytest.mark.parametrize("step", range(5))
    def test_what_is_taken_labelled_and_shown_are_the_same_images(self, step: int, given: Given) -> None:
        batches = given.labelled.batches(SOME)
        taken, labels = batches.batch(step)
        shown, positions = batches.raw(step), SOME[batches.positions(step)]
        assert (shown.dtype, taken.device, labels.device) == (torch.uint8, given.setup.device, given.setup.device)
        assert np.array_equal(labels.numpy(), LABELS[positions])
        assert torch.equal(taken.flatten(1), rows_of(shown))
        if not given.setup.views:
            assert torch.equal(shown, PIXELS[torch.from_numpy(positions)])

    def test_views_take_turns_from_epoch_to_epoch(self, given: Given) -> None:
        batches, draw, views = given.labelled.batches(SOME), stored_views(given.setup, DIGESTS), given.setup.views
        turns = [0] * COUNT
        for step in range(8):
            for image, position in zip(batches.raw(step), SOME[batches.positions(step)], strict=True):
                expected = PIXELS[position : position + 1]
                if views:
                    expected = draw(expected, np.array([position]), turns[position] % views)
                assert torch.equal(image, expected[0])
                turns[position] += 1
        assert max(turns) == 7  # 8 batches of 16 are 6 epochs of 21 and 2 images more

    def test_few_images_are_one_batch(self, given: Given) -> None:
        batches = given.labelled.batches(SOME[:3])
        assert [sorted(batches.positions(step)) for step in (0, 1)] == [[0, 1, 2]] * 2
        assert len(batches.batch(0)[1]) == 3

    def test_pixels_are_the_images_as_they_were_decoded(self, given: Given) -> None:
        pixels = given.labelled.pixels(SOME)
        assert pixels.dtype == torch.uint8
        assert torch.equal(pixels, PIXELS[torch.from_numpy(SOME)])


@pytest.mark.parametrize("setup", [SETUP, VIEWS], ids=["clean", "views"])
@pytest.mark.parametrize("memory_bytes", [1, 10**9])
@pytest.mark.parametrize("seed", [0, 4])
def test_features_come_in_the_order_in_which_images_would(
    seed: int, memory_bytes: int, setup: FitSetup, disk: Store
) -> None:
    setup = replace(setup, plan=replace(PLAN, seed=seed))
    images, features = image_set(setup).batches(SOME), feature_set(setup, disk, memory_bytes=memory_bytes).batches(SOME)
    for step in range(9):
        assert np.array_equal(images.positions(step), features.positions(step))
        assert torch.equal(images.raw(step), features.raw(step))
        (shown, labels), (rows, same) = images.batch(step), features.batch(step)
        assert torch.equal(shown.flatten(1), rows)
        assert torch.equal(labels, same)


def test_another_seed_is_another_order() -> None:
    orders = [
        image_set(replace(SETUP, plan=replace(PLAN, seed=seed))).batches(SOME).positions(0).tolist() for seed in (0, 4)
    ]
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("memory_bytes", "held"), [(COUNT * 3 * 3 * SIDE**2 * 4, True), (1, False)])
def test_features_lie_in_memory_where_all_of_them_fit(memory_bytes: int, held: bool, disk: Store) -> None:
    size = COUNT * 3 * 3 * SIDE**2 * 4  # two views and the clean images
    assert feature_set(VIEWS, disk, memory_bytes=memory_bytes).held_bytes == (size if held else 0)
    assert feature_set(VIEWS, disk, memory_bytes=size - 1).held_bytes == 0


@pytest.mark.parametrize("memory_bytes", [1, 10**9])
@pytest.mark.parametrize("setup", [SETUP, VIEWS], ids=["plain", "views"])
def test_no_step_on_features_waits_for_the_device(memory_bytes: int, setup: FitSetup, disk: Store) -> None:
    features = feature_set(replace(setup, device=DEVICE), disk, memory_bytes=memory_bytes)
    batches = features.batches(SOME)
    with counting() as waits:
        made = [batches.batch(step) for step in range(4)] + list(features.chunks(SOME))
    assert waits.waited_for == []
    assert waits.copies >= len(made)
    assert all(values.device == DEVICE for batch in made for values in batch)


def test_no_step_on_stored_views_waits_for_the_device() -> None:
    batches = image_set(replace(VIEWS, device=DEVICE)).batches(SOME)
    batches.batch(0)
    with counting() as waits:
        batches.batch(1)
    assert waits.waited_for == []


def test_the_memory_of_a_gpu_says_what_lies_there(disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    size = COUNT * 3 * SIDE**2 * 4
    for room in (size, size - 1):
        monkeypatch.setattr(batches_module, "room_bytes", lambda device, host_bytes, room=room: room)
        assert feature_set(SETUP, disk, memory_bytes=1).held_bytes == (size if room == size else 0)


def test_features_that_do_not_fit_after_all_are_told(disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(FeatureSet, "_hold", full)
    with pytest.raises(OutOfMemoryError, match=r"features of 70 images: use train\.device=cpu"):
        feature_set(SETUP, disk, memory_bytes=10**9)
