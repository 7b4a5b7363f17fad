import math

import pytest
import torch

from tlexp.config.optim import Optimizer, Schedule
from tlexp.train.optim import build_optimizer, build_schedule

RATES = {"lr": 0.1, "weight_decay": 0.05, "momentum": 0.9}


def grouped(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def rates_by_name(classifier, optimizer):
    names = {id(parameter): name for name, parameter in classifier.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("layer_decay", [None, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_groups_hold_exactly_the_trainable_parameters(build_classifier, depth, layer_decay, weight_decay):
    classifier = build_classifier(depth)
    optimizer = build_optimizer(
        classifier, name=Optimizer.adamw, lr=0.1, weight_decay=weight_decay, momentum=0.9, layer_decay=layer_decay
    )
    held = [id(parameter) for parameter in grouped(optimizer)]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in classifier.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", list(Optimizer))
def test_each_name_builds_torchs_optimiser(build_classifier, name):
    optimizer = build_optimizer(build_classifier(), name=name, layer_decay=None, **RATES)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
    assert type(optimizer) is kind
    assert all(group["lr"] == 0.1 for group in optimizer.param_groups)


def test_sgd_is_nesterov_and_may_have_no_momentum(build_classifier):
    nesterov = build_optimizer(build_classifier(), name=Optimizer.sgd, layer_decay=None, **RATES)
    plain = build_optimizer(build_classifier(), name=Optimizer.sgd, layer_decay=None, **(RATES | {"momentum": 0.0}))
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in nesterov.param_groups)
    assert all(not group["nesterov"] and group["momentum"] == 0.0 for group in plain.param_groups)


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_biases_norms_and_tokens_do_not_decay(build_classifier, layer_decay):
    classifier = build_classifier()
    optimizer = build_optimizer(classifier, name=Optimizer.adamw, layer_decay=layer_decay, **RATES)
    names = {id(parameter): name for name, parameter in classifier.named_parameters()}
    decayed = {names[id(p)] for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {
        "backbone.stem.0.weight",
        "backbone.stage1.0.weight",
        "backbone.stage2.0.weight",
        "head.1.weight",
    }


@pytest.mark.parametrize("schedule", list(Schedule))
@pytest.mark.parametrize("depth", [0, 1])
def test_layer_decay_reaches_every_step(build_classifier, schedule, depth):
    classifier = build_classifier(depth)
    optimizer = build_optimizer(classifier, name=Optimizer.adamw, layer_decay=0.5, **RATES)
    scheduler = build_schedule(optimizer, schedule=schedule, steps=20, warmup=0.2)
    for step in range(1, 21):
        scheduler.step_update(step)
        rates = rates_by_name(classifier, optimizer)
        for name, rate in rates.items():
            distance = len(classifier.units) - classifier.layer_of(name)
            assert rate / rates["head.1.weight"] == pytest.approx(0.5**distance)
        assert min(classifier.layer_of(name) for name in rates) == depth


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.9), (2, 0.5), (10, 0.0), (200, 0.1), (200, 0.99)])
@pytest.mark.parametrize("schedule", list(Schedule))
def test_no_step_has_rate_zero_and_none_exceeds_the_peak(build_classifier, schedule, steps, warmup):
    optimizer = build_optimizer(build_classifier(), name=Optimizer.sgd, layer_decay=None, **RATES)
    scheduler = build_schedule(optimizer, schedule=schedule, steps=steps, warmup=warmup)
    seen = []
    for step in range(1, steps + 1):
        scheduler.step_update(step)
        seen.append(optimizer.param_groups[0]["lr"])
    rising = int(warmup * steps)
    assert min(seen) > 0
    assert max(seen) <= 0.1 + 1e-12
    assert seen[:rising] == pytest.approx([0.1 * step / rising for step in range(1, rising + 1)])
    if schedule is Schedule.constant:
        assert seen[rising:] == pytest.approx([0.1] * (steps - rising))
    elif steps >= 10 and warmup < 0.5:
        assert seen[-1] < 0.1 * (math.pi / (2 * (steps - rising))) ** 2 * 1.1
        assert all(later < earlier for earlier, later in zip(seen[rising:], seen[rising + 1 :], strict=False))


def test_frozen_parameters_keep_their_bits_under_weight_decay(build_classifier):
    classifier = build_classifier(2)
    before = {name: p.detach().clone() for name, p in classifier.named_parameters() if not p.requires_grad}
    optimizer = build_optimizer(
        classifier, name=Optimizer.adamw, lr=0.1, weight_decay=0.5, momentum=0.9, layer_decay=None
    )
    for _ in range(3):
        for parameter in classifier.parameters():
            parameter.grad = torch.ones_like(parameter)  # as if something had left gradients there
        optimizer.step()
    after = dict(classifier.named_parameters())
    assert before
    assert all(torch.equal(value, after[name]) for name, value in before.items())
