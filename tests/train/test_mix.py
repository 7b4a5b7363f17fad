import pytest
import torch

from tlexp.train.mix import build_mix


def batch(size):
    return torch.rand(size, 3, 8, 8), torch.arange(size) % 3


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_targets_are_distributions_and_the_batch_is_not_changed_in_place(mixup, cutmix, size):
    mix = build_mix(mixup=mixup, cutmix=cutmix, num_classes=3)
    images, labels = batch(size)
    kept = images.clone(), labels.clone()
    torch.manual_seed(0)
    mixed, targets = mix(images, labels)
    assert mixed.shape == images.shape
    assert (targets.shape, targets.dtype) == ((size, 3), torch.float32)
    assert torch.allclose(targets.sum(1), torch.ones(size))
    assert torch.equal(images, kept[0])
    assert torch.equal(labels, kept[1])
    torch.manual_seed(0)
    again, _ = mix(images, labels)
    assert torch.equal(again, mixed)


def test_without_mixing_the_batch_passes_as_it_is():
    images, labels = batch(4)
    mixed, targets = build_mix(mixup=0.0, cutmix=0.0, num_classes=3)(images, labels)
    assert mixed is images
    assert targets is labels


def test_both_kinds_take_turns():
    mix = build_mix(mixup=0.4, cutmix=1.0, num_classes=3)
    images, labels = batch(4)
    torch.manual_seed(0)
    cut = 0
    for _ in range(40):
        mixed, _ = mix(images, labels)
        cut += bool(((mixed == images) | (mixed == images.roll(1, 0))).all())  # CutMix only copies pixels
    assert 8 < cut < 32
