"""Cached rows are those of the network, to the bit on the CPU, however they were grouped."""

import numpy as np
import pytest
import torch

from tests.cache.conftest import a_key, some_images
from tlexp.cache.compute import compute_rows, draw_view
from tlexp.cache.store import Store
from tlexp.config.augment import AugmentKind
from tlexp.data import build_augment
from tlexp.models import Classifier, build_backbone, feature_width, find_units


def build(name: str = "test_resnet", size: int = 64) -> Classifier:
    backbone = build_backbone(name, image_size=size)
    units = find_units(backbone, image_size=size)
    return Classifier(backbone, torch.nn.Identity(), units, len(units))


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 64), ("test_vit", 160)])
@pytest.mark.parametrize("block", [32, 64, 10_000])
def test_cached_rows_are_uncached_ones_to_the_bit(name: str, size: int, block: int, store: Store) -> None:
    classifier, images = build(name, size), some_images(75)
    pixels = torch.randn(75, 3, size, size, generator=torch.Generator().manual_seed(0))
    key = a_key(shape=(feature_width(classifier.backbone),))

    def compute(positions: np.ndarray) -> torch.Tensor:
        return compute_rows(classifier, torch.split(pixels[positions], 32))[0]

    store.open(key).fill(images[40:50], lambda positions: compute(positions + 40))
    rows, use = store.open(key).fill(images, compute, block=block)
    assert (use.hits, use.misses) == (10, 65)
    with torch.no_grad():
        assert torch.equal(rows.take(np.arange(75)), classifier.train().features(pixels))
        assert torch.equal(rows.take(np.array([44])), classifier.features(pixels[44:45]))


def test_rows_are_float32_whatever_the_backbone_computes_in() -> None:
    classifier, pixels = build(), torch.randn(5, 3, 64, 64)
    rows = compute_rows(classifier, [pixels], autocast=torch.bfloat16)[0]
    assert rows.dtype is torch.float32
    assert not rows.requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rows, classifier.features(pixels))


@pytest.mark.parametrize("kind", [kind for kind in AugmentKind if kind is not AugmentKind.none])
def test_a_view_depends_on_the_image_and_on_no_neighbour(kind: AugmentKind) -> None:
    images, augment = some_images(20), build_augment(kind)
    pixels = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    whole = draw_view(pixels, images, augment, view=0, seed=0)
    some = np.array([7, 2])
    assert torch.equal(draw_view(pixels[some], images[some], augment, view=0, seed=0), whole[some])
    for view, seed in [(1, 0), (0, 1)]:
        assert not torch.equal(draw_view(pixels, images, augment, view=view, seed=seed), whole)
    assert whole.dtype is torch.uint8
