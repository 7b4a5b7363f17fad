import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from tlexp.config.head import Activation, HeadInit, HeadKind, HeadNorm
from tlexp.config.optim import Optimizer, Rates, Schedule
from tlexp.data import ImageBank, ImageBatches
from tlexp.errors import DataError, Interrupted
from tlexp.models import Classifier, build_head
from tlexp.train import Listener, fit, many
from tlexp.train.many import supports, train_many
from tlexp.train.problem import Problem

ROWS, WIDTH, CLASSES, SEED = 30, 6, 3, 5
RATES = [Rates(lr=lr, weight_decay=decay) for lr, decay in itertools.product((1e-3, 1e-2, 0.1), (0.0, 0.1))]


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(ROWS) % CLASSES
    return torch.randn(ROWS, WIDTH, generator=generator) + labels[:, None], labels


@pytest.fixture
def plan(build_plan):
    return lambda **changes: build_plan(steps=9, num_classes=CLASSES, seed=SEED, **changes)


def head_of(kind=HeadKind.linear, **options):
    return build_head(kind=kind, in_features=WIDTH, num_classes=CLASSES, init=HeadInit.normal, seed=3, **options)


def batches_of(labels, positions, size=8):
    bank = ImageBank(pixels=torch.zeros(len(labels), 3, 1, 1, dtype=torch.uint8), labels=labels)
    return ImageBatches(
        bank, positions, batch_size=size, seed=SEED, augment=lambda images, seed: images, mean=(0, 0, 0),
        std=(1, 1, 1), device=torch.device("cpu"), channels_last=False,
    )  # fmt: skip


class Alone:
    """The batches of one head, as the training loop wants them."""

    def __init__(self, features, labels, positions, stream):
        self.features, self.labels, self.positions, self.stream = features, labels, positions, stream

    def batch(self, step):
        places = torch.from_numpy(self.positions[self.stream(step)])
        return self.features[places][:, :, None, None], self.labels[places]


def alone(head, features, labels, positions, stream, plan, rates, weights=()):
    copied = copy.deepcopy(head)
    classifier = Classifier(nn.Flatten(), copied, (), 0)
    plan = dataclasses.replace(plan, lr=rates.lr, weight_decay=rates.weight_decay, class_weights=weights)
    batches = Alone(features, labels, positions, stream)
    report = fit(classifier, batches, plan, fit_id="final", listener=Listener(), checkpoint=None)
    return copied.eval(), [value for _, name, value in report.curve if name == "loss"]


HEADS = {
    "linear": {},
    "linear with dropout": {"dropout": 0.3},
    "cosine": {"kind": HeadKind.cosine},
    "cosine of a stated scale, dropout": {"kind": HeadKind.cosine, "scale": 4.0, "dropout": 0.2},
    **{f"mlp, {name}": {"kind": HeadKind.mlp, "hidden": [5], "activation": name} for name in Activation},
    "mlp, layer norm": {"kind": HeadKind.mlp, "hidden": [7, 5], "norm": HeadNorm.layer},
    "mlp, dropout": {"kind": HeadKind.mlp, "hidden": [7, 5], "dropout": 0.4, "norm": HeadNorm.layer},
}


def compare(head, rows, plan, problems, size=8):
    features, labels = rows
    streams = [batches_of(labels, problem.train, size).positions for problem in problems]
    found = train_many(head, features, labels, problems, streams=streams, candidates=RATES, plan=plan)
    assert [len(fits) for fits in found] == [len(RATES)] * len(problems)
    for problem, stream, fits in zip(problems, streams, found, strict=True):
        for rates, fitted in zip(RATES, fits, strict=True):
            expected, losses = alone(head, features, labels, problem.train, stream, plan, rates, problem.class_weights)
            assert fitted.converged
            assert fitted.iterations == plan.steps
            torch.testing.assert_close(fitted.losses, torch.tensor(losses), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(
                dict(fitted.head.state_dict()), dict(expected.state_dict()), rtol=1e-3, atol=1e-5
            )
            if problem.validation is None:
                assert fitted.logits is None
            else:
                with torch.no_grad():
                    outputs = expected(features[problem.validation])
                torch.testing.assert_close(fitted.logits, outputs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", HEADS.values(), ids=HEADS)
def test_each_head_equals_the_one_trained_alone(rows, plan, options):
    folds = [Problem(train=np.arange(20), validation=np.arange(20, 30)), Problem(train=np.arange(10, 30))]
    compare(head_of(**options), rows, plan(), folds)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_problems_have_class_weights_of_their_own(rows, plan, smoothing):
    first = Problem(train=np.arange(20), validation=np.arange(20, 30), class_weights=(0.5, 1.0, 2.5))
    second = Problem(train=np.arange(10, 30), class_weights=(3.0, 0.2, 1.0))
    compare(head_of(), rows, plan(label_smoothing=smoothing), [first, second])


@pytest.mark.parametrize("numbers", [1, 11, 40])
@pytest.mark.parametrize("optimizer", Optimizer)
def test_the_pieces_of_an_update_change_no_bit(rows, plan, monkeypatch, optimizer, numbers):
    features, labels = rows
    problems = [Problem(train=np.arange(20)), Problem(train=np.arange(10, 30))]
    streams = [batches_of(labels, problem.train).positions for problem in problems]

    def trained():
        found = train_many(
            head_of(HeadKind.mlp, hidden=[5]), features, labels, problems, streams=streams, candidates=RATES,
            plan=plan(optimizer=optimizer),
        )  # fmt: skip
        return [fitted.head.state_dict() for fits in found for fitted in fits]

    whole = trained()
    monkeypatch.setattr(many, "_CACHED_NUMBERS", numbers)
    for left, right in zip(trained(), whole, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in right)


def test_rates_of_any_number_type_are_the_same(rows, plan):
    features, labels = rows
    problem = Problem(train=np.arange(20))
    stream = batches_of(labels, problem.train).positions
    precise = [Rates(lr=np.float64(rates.lr), weight_decay=np.float64(rates.weight_decay)) for rates in RATES]
    found = [
        train_many(head_of(), features, labels, [problem], streams=[stream], candidates=candidates, plan=plan())[0]
        for candidates in (RATES, precise)
    ]
    for left, right in zip(*found, strict=True):
        assert torch.equal(left.head[0].weight, right.head[0].weight)


@pytest.mark.parametrize("optimizer", Optimizer)
@pytest.mark.parametrize("options", [HEADS["linear"], HEADS["mlp, layer norm"]], ids=["linear", "mlp"])
def test_the_optimisers_are_those_of_the_loop(rows, plan, optimizer, options):
    problems = [Problem(train=np.arange(20), validation=np.arange(20, 30))]
    compare(head_of(**options), rows, plan(optimizer=optimizer, clip_norm=None, warmup=0.0), problems)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": Schedule.constant},
        {"optimizer": Optimizer.sgd, "momentum": 0.0},
        {"optimizer": Optimizer.sgd, "clip_norm": 0.05},
        {"label_smoothing": 0.2},
        {"warmup": 0.5},
    ],
    ids=str,
)
def test_the_plan_is_followed(rows, plan, changes):
    compare(head_of(), rows, plan(**changes), [Problem(train=np.arange(20), validation=np.arange(20, 30))])


def test_problems_of_several_batch_sizes_and_any_positions(rows, plan):
    problems = [
        Problem(train=np.array([4, 1, 9])),
        Problem(train=np.arange(30)[::-1].copy(), validation=np.array([2, 2])),
        Problem(train=np.array([7, 3, 8, 11, 0, 29])),
        Problem(train=np.arange(12), validation=np.array([], dtype=np.int64)),
    ]
    compare(head_of(dropout=0.5), rows, plan(), problems)


def test_a_diverged_candidate_harms_no_other(rows, plan):
    features, labels = rows
    problems = [Problem(train=np.arange(20), validation=np.arange(20, 30))]
    streams = [batches_of(labels, problems[0].train).positions]
    wild = Rates(lr=1e38, weight_decay=1e3)
    together, apart = (
        train_many(
            head_of(HeadKind.mlp, hidden=[5]), features, labels, problems, streams=streams, candidates=rates,
            plan=plan(optimizer=Optimizer.sgd, clip_norm=None),
        )[0]
        for rates in ([RATES[0], wild, RATES[1]], RATES[:2])
    )  # fmt: skip
    assert [fitted.converged for fitted in together] == [True, False, True]
    assert together[1].logits is None
    for left, right in zip((together[0], together[2]), apart, strict=True):
        torch.testing.assert_close(left.logits, right.logits)


def test_the_global_generator_and_the_start_stay(rows, plan):
    features, labels = rows
    head, before = head_of(dropout=0.5), torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    problems = [Problem(train=np.arange(20))]
    streams = [batches_of(labels, problems[0].train).positions]
    fits = train_many(head, features, labels, problems, streams=streams, candidates=RATES, plan=plan())[0]
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(weights[name], tensor) for name, tensor in head.state_dict().items())
    assert not any(fitted.head.training for fitted in fits)


def test_a_signal_ends_it(rows, plan):
    features, labels = rows
    heard = []

    def heed(step):
        heard.append(step)
        if step == 3:
            raise Interrupted(15)

    problems = [Problem(train=np.arange(20))]
    streams = [batches_of(labels, problems[0].train).positions]
    with pytest.raises(Interrupted):
        train_many(head_of(), features, labels, problems, streams=streams, candidates=RATES, plan=plan(), heed=heed)
    assert heard == [1, 2, 3]


def test_what_is_not_supported(plan):
    assert supports(head_of(), plan())
    assert not supports(head_of(), plan(mixup=0.1))
    assert not supports(head_of(), plan(cutmix=0.1))
    assert supports(head_of(HeadKind.mlp, hidden=[4], norm=HeadNorm.layer, dropout=0.1), plan())
    assert not supports(head_of(HeadKind.mlp, hidden=[4], norm=HeadNorm.batch), plan())


def test_no_row_to_train_on_is_refused(rows, plan):
    features, labels = rows
    with pytest.raises(DataError, match="no row to train on"):
        train_many(
            head_of(), features, labels, [Problem(train=np.array([], dtype=np.int64))],
            streams=[lambda step: np.array([], dtype=np.int64)], candidates=RATES, plan=plan(),
        )  # fmt: skip
