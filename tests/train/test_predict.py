import sys

import numpy as np
import pytest
import torch
from torch import nn

from tlexp.config.head import HeadInit, HeadKind, HeadNorm
from tlexp.errors import DivergedError, OutOfMemoryError
from tlexp.models import Classifier, build_head
from tlexp.models.head import Head
from tlexp.models.neighbours import Neighbours
from tlexp.train import device, map_features, predict, predict_beside


def chunked(batches, size):
    pairs = zip(batches.images.split(size), batches.labels.split(size), strict=True)
    return list(pairs)


def test_logits_come_in_order_in_evaluation_mode(build_classifier, build_batches):
    classifier, batches = build_classifier().train(), build_batches()
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    logits, labels = predict(classifier, chunked(batches, 5), autocast=None)
    with torch.no_grad():
        expected = classifier.eval()(batches.images).numpy()
    assert (logits.dtype, labels.dtype) == (np.float32, np.int64)
    assert np.allclose(logits, expected, atol=1e-6)
    assert np.array_equal(labels, batches.labels.numpy())
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


def test_what_is_made_beside_the_logits_needs_no_head(build_classifier, build_batches):
    classifier, batches = build_classifier(), build_batches()
    asked = []
    classifier.head.register_forward_hook(lambda *_: asked.append(1))
    _, beside, _ = predict_beside(classifier, chunked(batches, 5), torch.square, autocast=None)
    asked.clear()
    assert np.array_equal(map_features(classifier, chunked(batches, 5), torch.square, autocast=None), beside)
    assert not asked


def test_an_accelerator_that_is_full_is_given_fewer_images_at_once(build_classifier, build_batches, monkeypatch):
    classifier, batches = build_classifier(), build_batches(images=12)
    expected, _ = predict(classifier, chunked(batches, 12), autocast=None)
    seen = []

    def refuse(module, inputs):
        seen.append(len(inputs[0]))
        if len(inputs[0]) > 4:
            raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(device, "_can_halve", lambda images: len(images) > 1)
    monkeypatch.setattr(sys.modules["tlexp.train.predict"], "in_chunks", lambda work, images: work(images))
    classifier.backbone.register_forward_pre_hook(refuse)
    logits, labels = predict(classifier, chunked(batches, 12), autocast=None)
    assert np.allclose(logits, expected, atol=1e-6)
    assert np.array_equal(labels, batches.labels.numpy())
    assert seen == [12, 6, 3, 3, 3, 3]


def test_two_passes_give_the_same_bits(build_classifier, build_batches):
    passes = [predict(build_classifier(1).train(), chunked(build_batches(), 5), autocast=None)[0] for _ in range(2)]
    assert np.array_equal(*passes)


@pytest.mark.parametrize("size", [1, 5, 32, 39])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_row_has_the_same_bits_however_many_come_at_once(build_classifier, build_batches, depth, size):
    """The parts go by the number of their rows here, as a product does whose kernel is chosen by it."""
    classifier, batches = build_classifier(depth), build_batches(images=75)
    for part in (classifier.backbone, classifier.head):
        part.register_forward_hook(lambda module, inputs, made: made + 1e-3 * len(made))
    apart, together = (predict(classifier, chunked(batches, each), autocast=None)[0] for each in (size, 75))
    assert np.array_equal(apart, together)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": HeadKind.linear},
        {"kind": HeadKind.mlp, "hidden": [48], "norm": HeadNorm.batch},
        {"kind": HeadKind.mlp, "hidden": [48], "norm": HeadNorm.layer},
        {"kind": HeadKind.cosine},
        {"kind": HeadKind.attention, "tokens": 4},
        {"kind": HeadKind.knn},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_each_head_has_the_same_bits_one_by_one_and_at_once(options):
    rows = torch.randn(75, 384, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(75) % 3
    head = build_head(in_features=384, num_classes=3, init=HeadInit.normal, seed=0, **options)
    if options["kind"] is HeadKind.knn:
        head = Head(Neighbours(rows.flip(0), labels, num_classes=3, k=20))
    classifier = Classifier(nn.Identity(), head, (), 0)
    found = []
    for size in (1, 39, 75):
        chunks = zip(rows.split(size), labels.split(size), strict=True)
        found.append(predict(classifier, chunks, autocast=None)[0])
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_logits_stay_float32_under_autocast(build_classifier, build_batches):
    plain, _ = predict(build_classifier(), chunked(build_batches(), 5), autocast=None)
    rounded, _ = predict(build_classifier(), chunked(build_batches(), 5), autocast=torch.bfloat16)
    assert rounded.dtype == np.float32
    assert not np.array_equal(plain, rounded)
    assert np.allclose(plain, rounded, atol=0.05)


def test_outputs_that_are_not_finite_are_divergence(build_classifier, build_batches):
    classifier = build_classifier()
    nn.init.constant_(classifier.head[1].bias, float("inf"))
    with pytest.raises(DivergedError, match=r"outputs are not finite: lower optim\.lr"):
        predict(classifier, chunked(build_batches(), 5), autocast=None)


def test_out_of_memory_tells_the_chunk(build_classifier, build_batches):
    classifier = build_classifier()
    classifier.head.register_forward_pre_hook(lambda module, inputs: torch.empty(2**60))
    with pytest.raises(OutOfMemoryError, match="evaluation with 5 images of 8x8 pixels on cpu: use a smaller"):
        predict(classifier, chunked(build_batches(), 5), autocast=None)
