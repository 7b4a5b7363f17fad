import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.neighbors import KNeighborsClassifier

from tlexp.models import neighbours
from tlexp.models.neighbours import Neighbours

CLASSES = 4


def shares(head, features, k):
    """Return the classes' shares of the votes (B, K), without the vote that is spread over all classes."""
    chances = head(features).double().exp()
    chances = chances - chances.min(1, keepdim=True).values
    return chances / chances.sum(1, keepdim=True)


@pytest.fixture
def rows(draw_rows):
    features, labels = draw_rows(80, 6, CLASSES)
    return features[:60] - 3, labels[:60], features[60:] - 3


@pytest.mark.parametrize("k", [1, 5, 20])
def test_plain_votes_are_those_of_scikit_learn(rows, k):
    features, labels, queries = rows
    head = Neighbours(features, labels, num_classes=CLASSES, k=k, temperature=None)
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(features.numpy(), labels.numpy())
    votes = k * torch.from_numpy(model.predict_proba(queries.numpy()))
    torch.testing.assert_close(head(queries).exp().double(), (votes + 1 / CLASSES) / (k + 1), rtol=1e-5, atol=1e-7)
    assert (head(queries).argmax(1).numpy() == model.predict(queries.numpy())).all()


@pytest.mark.parametrize("k", [5, 20])
def test_weighted_votes_are_those_of_scikit_learn(rows, k):
    features, labels, queries = rows
    head = Neighbours(features, labels, num_classes=CLASSES, k=k)

    def weigh(distances):
        return np.exp(-(distances - distances.min(1, keepdims=True)) / 0.07)

    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weigh)
    model.fit(features.numpy(), labels.numpy())
    expected = torch.from_numpy(model.predict_proba(queries.numpy()))
    # One vote more, of the weight of the nearest, is spread over all classes.
    near = model.kneighbors(queries.numpy())[0]
    total = torch.from_numpy(weigh(near).sum(1, keepdims=True))
    blended = (expected * total + 1 / CLASSES) / (total + 1)
    torch.testing.assert_close(head(queries).double().exp(), blended, rtol=1e-4, atol=1e-6)


def test_chances_sum_to_one_and_none_is_zero(rows):
    features, labels, queries = rows
    for temperature in (None, 0.07, 1e-4):
        logits = Neighbours(features, labels, num_classes=CLASSES + 3, k=3, temperature=temperature)(queries)
        assert logits.isfinite().all()
        torch.testing.assert_close(logits.exp().sum(1), torch.ones(len(queries)))


def test_several_k_share_one_search(rows):
    features, labels, queries = rows
    head = Neighbours(features, labels, num_classes=CLASSES, k=1)
    together = head.for_each([1, 7, 60, 1000], queries)
    for k, logits in zip([1, 7, 60, 60], together, strict=True):
        torch.testing.assert_close(head.with_k(k)(queries), logits)
    assert head.k == 1
    assert head.with_k(7).features is head.features


def test_blocks_change_nothing(rows, monkeypatch):
    features, labels, queries = rows
    head = Neighbours(features, labels, num_classes=CLASSES, k=9)
    expected = head(queries)
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    monkeypatch.setattr(neighbours, "_QUERIES", 3)
    torch.testing.assert_close(head(queries), expected)


def test_it_is_saved_with_its_rows(rows):
    features, labels, queries = rows
    head = Neighbours(features, labels, num_classes=CLASSES, k=9)
    again = Neighbours(torch.zeros(60, 6), torch.zeros(60, dtype=torch.int64), num_classes=CLASSES, k=9)
    again.load_state_dict(load(save(head.state_dict())))
    assert torch.equal(again(queries), head(queries))


def test_a_row_of_zeros_is_like_no_other(rows):
    features, labels, _ = rows
    logits = Neighbours(features, labels, num_classes=CLASSES, k=9)(torch.zeros(2, 6))
    assert logits.isfinite().all()


def test_a_new_head_takes_the_rows_and_the_count_of_a_saved_one() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(9, 4), torch.arange(9) % 3
    saved = Neighbours(features, labels, num_classes=3, k=5).with_k(2)
    empty = Neighbours(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), num_classes=3, k=1)
    empty.load_state_dict(saved.state_dict())
    queries = torch.randn(6, 4)
    assert torch.equal(empty(queries), saved(queries))
    assert empty.k == 2
    narrow = Neighbours(torch.empty(0, 3), torch.empty(0, dtype=torch.int64), num_classes=3, k=1)
    with pytest.raises(RuntimeError, match="size mismatch"):
        narrow.load_state_dict(saved.state_dict())
