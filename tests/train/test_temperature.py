import pytest
import torch
import torch.nn.functional as F

from tlexp.train.temperature import inverse_temperature


def find(scores, labels, share=None):
    share = torch.full((1, len(labels)), 1 / len(labels), dtype=scores.dtype) if share is None else share[None]
    return float(inverse_temperature(scores[None, :, None], labels[None], share)[0, 0])


def drawn(n=200, k=4, spread=3.0):
    generator = torch.Generator().manual_seed(1)
    logits = spread * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


def loss(scores, labels, factor):
    return float(F.cross_entropy(factor * scores, labels, label_smoothing=1 / (len(labels) + 1)))


def test_it_minimises_the_log_loss():
    logits, labels = drawn()
    found = find(logits, labels)
    assert found == pytest.approx(1, rel=0.3)
    assert all(loss(logits, labels, found) <= loss(logits, labels, factor * found) for factor in (0.8, 0.99, 1.01, 1.2))


@pytest.mark.parametrize("unit", [1e-8, 1e-3, 50.0, 1e9])
def test_the_unit_of_the_scores_cancels(unit):
    logits, labels = drawn()
    assert find(unit * logits + 7 * unit, labels) * unit == pytest.approx(find(logits, labels), rel=1e-6)


def test_it_is_finite_where_all_is_right_and_small_where_all_is_wrong():
    scores, labels = torch.eye(3, dtype=torch.float64).repeat(4, 1), torch.arange(12) % 3
    assert 1 < find(scores, labels) < 20
    assert find(scores, (labels + 1) % 3) < 1e-3


def test_rows_without_a_share_do_not_count():
    logits, labels = drawn()
    share = torch.cat([torch.full((100,), 0.01), torch.zeros(100)]).double()
    assert find(logits, labels, share) == pytest.approx(find(logits[:100], labels[:100]), rel=1e-6)


def test_equal_scores_are_no_division_by_zero():
    assert find(torch.ones(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])) > 0
