from contextlib import nullcontext

import pytest
import torch
from torch import nn

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


def test_a_counted_step_has_the_bits_of_one_that_is_not():
    def trained(count):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
        with count:
            network(torch.randn(5, 3, 8, 8)).sum().backward()
        return [parameter.grad for parameter in network.parameters()] + [network[1].running_var]

    assert all(map(torch.equal, trained(OperationCounter()), trained(nullcontext())))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_what_torch_makes_of_other_operations_is_counted_in_every_mode(context):
    with context(), OperationCounter() as counter:
        nn.Linear(3, 5)(torch.ones(2, 7, 3))
    assert counter.total() == 2 * 2 * 7 * 3 * 5


def test_a_convolution_in_groups_costs_backward_twice_what_it_costs_forward():
    images = torch.ones(2, 8, 6, 6, requires_grad=True)
    convolution = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    with OperationCounter() as forward:
        made = convolution(images)
    with OperationCounter() as backward:
        made.sum().backward()
    assert (forward.total(), backward.total()) == (2 * 2 * 8 * 36 * 9, 2 * forward.total())
