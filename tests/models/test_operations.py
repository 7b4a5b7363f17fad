import torch

from tlexp.models.operations import OperationCounter


def test_operations_are_counted_forward_and_backward():
    left, right = torch.ones(2, 3, requires_grad=True), torch.ones(3, 5, requires_grad=True)
    with OperationCounter() as counter:
        (left @ right).sum().backward()
    assert counter.total() == 3 * 2 * 2 * 3 * 5


def test_a_failing_formula_makes_the_total_unknown_and_breaks_nothing(monkeypatch):
    def broken(*args, **kwargs):
        raise AssertionError

    monkeypatch.setitem(torch.utils.flop_counter.flop_registry, torch.ops.aten.mm, broken)
    with OperationCounter() as counter:
        product = torch.ones(2, 3) @ torch.ones(3, 5)
    assert product.tolist() == [[3.0] * 5] * 2
    assert counter.total() is None
