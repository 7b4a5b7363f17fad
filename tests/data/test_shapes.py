import time

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from tests.data.conftest import an_origin
from tests.data.test_neither import reading
from tlexp.config.data import SHAPES, DataSource
from tlexp.data.images import Source


def shapes(source_seed: int = 0, **changes: float) -> Source:
    settings = {"per_class": 5, "test_per_class": 4, "num_classes": 8, "size": 32, **changes}
    origin = an_origin(DataSource.shapes, **settings)
    return origin.open(classes=None, at_least=2, source_seed=source_seed, reading=reading())


def pixels(source: Source, split: str = "pool") -> np.ndarray:
    images = getattr(source, split)
    return np.stack([np.asarray(images.read(i)) for i in range(len(images.labels))])


def test_classes_labels_and_names_agree() -> None:
    source = shapes()
    assert source.classes == SHAPES
    assert np.bincount(source.pool.labels).tolist() == [5] * 8
    assert np.bincount(source.held_out.labels).tolist() == [4] * 8
    for images in (source.pool, source.held_out):
        assert [name.split("/")[1] for name in images.names] == [SHAPES[label] for label in images.labels]
        assert len(set(images.names)) == len(images.names)


def test_the_same_seed_renders_the_same_bits_in_any_order() -> None:
    source = shapes()
    backwards = [np.asarray(source.pool.read(i)) for i in reversed(range(40))][::-1]
    assert np.array_equal(pixels(shapes()), np.stack(backwards))


def test_every_image_differs_and_the_splits_share_none() -> None:
    source = shapes(per_class=20, test_per_class=20)
    both = np.concatenate([pixels(source), pixels(source, "held_out")])
    assert len({image.tobytes() for image in both}) == len(both)
    assert not np.array_equal(pixels(shapes()), pixels(shapes(source_seed=1)))


def test_an_image_does_not_depend_on_how_many_there_are() -> None:
    few, many = shapes(num_classes=2), shapes(per_class=9)
    for label in range(2):
        for i in range(5):
            assert few.pool.read(label * 5 + i) == many.pool.read(label * 9 + i)


def test_the_layout_does_not_depend_on_the_size() -> None:
    small, large = shapes(size=64, noise=0), shapes(size=256, noise=0)
    for index in range(40):
        shrunk = np.asarray(large.pool.read(index).reduce(4), dtype=float)
        assert np.abs(shrunk - np.asarray(small.pool.read(index))).mean() < 3


@pytest.mark.parametrize("size", [8, 33, 256, 300, 2048])
def test_any_size(size: int) -> None:
    image = shapes(size=size).pool.read(0)
    assert (image.mode, image.size) == ("RGB", (size, size))


def test_noise_and_clutter_are_as_asked() -> None:
    clean, noisy = pixels(shapes(noise=0, clutter=0)), pixels(shapes(noise=0.1, clutter=0))
    inside = (clean > 80) & (clean < 175)  # where noise is not cut off
    assert np.std(noisy[inside].astype(float) - clean[inside]) == pytest.approx(25.5, rel=0.05)
    colours = [len(np.unique(image.reshape(-1, 3), axis=0)) for image in pixels(shapes(noise=0, clutter=0, size=64))]
    strokes = [len(np.unique(image.reshape(-1, 3), axis=0)) for image in pixels(shapes(noise=0, clutter=20, size=64))]
    assert np.median(strokes) > np.median(colours)


def test_the_digest_tells_every_parameter_apart() -> None:
    changes = [{}, {"source_seed": 1}, {"per_class": 6}, {"test_per_class": 5}, {"num_classes": 7}, {"size": 33}]
    changes += [{"noise": 0.2}, {"clutter": 5}]
    assert len({shapes(**change).digest for change in changes}) == len(changes)
    assert shapes().digest == shapes().digest


def test_one_image_takes_about_a_millisecond() -> None:
    images = shapes(size=64).pool
    seconds = []
    for index in range(40):
        start = time.perf_counter()
        images.read(index)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 5e-3  # generous: other processes share the cores


def _tensors(source: Source, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(pixels(source, split)).permute(0, 3, 1, 2).float() / 255 - 0.5
    return values, torch.from_numpy(getattr(source, split).labels)


@pytest.mark.slow
def test_a_small_network_learns_what_raw_pixels_do_not_show() -> None:
    few, many = (
        shapes(size=64, num_classes=6, per_class=20, test_per_class=50),
        shapes(size=64, num_classes=6, per_class=200, test_per_class=50),
    )
    test, truth = _tensors(few, "held_out")
    images, labels = _tensors(few, "pool")
    linear = LogisticRegression(C=0.01, max_iter=300).fit(images.flatten(1), labels)
    raw = linear.score(test.flatten(1), truth)

    torch.manual_seed(0)
    blocks: list[nn.Module] = []
    for wide, out in ((3, 16), (16, 32), (32, 64)):
        blocks += [nn.Conv2d(wide, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*blocks, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 6))
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    images, labels = _tensors(many, "pool")
    for _ in range(12):
        for part in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[part]), labels[part]).backward()
            optimizer.step()
    with torch.no_grad():
        learned = (network.eval()(test).argmax(1) == truth).float().mean().item()
    print(f"raw pixels {raw:.3f}, small network {learned:.3f}, chance {1 / 6:.3f}")
    assert raw < 0.45
    assert 0.7 < learned < 0.999
