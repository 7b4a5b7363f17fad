"""Weights of classes: what they are, and the losses and heads that have them, against torch and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from tlexp.config.head import HeadInit, HeadKind
from tlexp.config.optim import Optimizer, Rates, Schedule
from tlexp.config.train import ClassWeights
from tlexp.models import Classifier, build_head
from tlexp.train import Listener, fit, solve, train_many
from tlexp.train.balance import weigh_classes, weigh_targets, weighted_loss
from tlexp.train.device import seed_generators
from tlexp.train.mix import build_mix
from tlexp.train.problem import Problem

LABELS = np.array([0] * 24 + [1] * 6 + [2] * 2)
WEIGHTS = weigh_classes(ClassWeights.balanced, LABELS, 3)
RATES = Rates(lr=0.05, weight_decay=0.01)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.from_numpy(LABELS)
    return torch.randn(len(labels), 5, generator=generator) + 0.5 * labels[:, None], labels


class Whole:
    """All images at every step."""

    def __init__(self, rows, targets):
        self.rows, self.targets = rows, targets

    def batch(self, step):
        return self.rows, self.targets


def test_they_are_those_of_scikit_learn():
    np.testing.assert_allclose(WEIGHTS, compute_class_weight("balanced", classes=np.arange(3), y=LABELS))
    assert np.array(WEIGHTS)[LABELS].mean() == pytest.approx(1)
    assert weigh_classes(ClassWeights.none, LABELS, 3) == ()


def test_a_class_without_images_leaves_the_others_as_they_are():
    assert weigh_classes(ClassWeights.balanced, LABELS, 4) == (*WEIGHTS, 1.0)


def test_over_the_whole_training_set_the_loss_is_torchs():
    logits, labels = batch()[0][:, :3], batch()[1]
    weights = torch.tensor(WEIGHTS)
    ours = weighted_loss(logits, labels, weights, label_smoothing=0.0)
    torch.testing.assert_close(ours, nn.CrossEntropyLoss(weight=weights)(logits, labels))
    assert weighted_loss(logits, labels, None, label_smoothing=0.1) == nn.CrossEntropyLoss(label_smoothing=0.1)(
        logits, labels
    )


def test_a_batch_of_one_class_counts_what_its_images_count():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels, weights = torch.full((4,), 2), torch.tensor(WEIGHTS)
    plain = weighted_loss(logits, labels, None, label_smoothing=0.1)
    torch.testing.assert_close(weighted_loss(logits, labels, weights, label_smoothing=0.1), WEIGHTS[2] * plain)


def mixed(weights=(1.0, 3.0, 5.0)):
    """Return logits of three images, soft targets, and weights of the classes."""
    targets = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0], [0.5, 0.2, 0.3]])
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), targets, torch.tensor(weights)


def test_a_mixed_image_counts_by_the_shares_of_its_classes():
    _, targets, weights = mixed()
    counts, shares = weigh_targets(weights, targets)
    assert counts.tolist() == pytest.approx([2.5, 5.0, 2.6])
    torch.testing.assert_close(shares * counts[:, None], targets * weights)
    assert weigh_targets(weights, targets.argmax(1))[0].tolist() == [3.0, 5.0, 1.0]


def test_the_loss_of_a_mixed_image_weighs_each_of_its_classes():
    logits, targets, weights = mixed()
    loss = weighted_loss(logits, targets, weights, label_smoothing=0.0)
    torch.testing.assert_close(loss, -(weights * targets * logits.log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(loss, nn.CrossEntropyLoss(weight=weights, reduction="none")(logits, targets).mean())


def test_smoothing_spreads_what_an_image_counts_over_all_classes():
    logits, targets, weights = mixed()
    logs, shares = logits.log_softmax(1), weights * targets
    smoothed = 0.9 * shares + 0.1 * shares.sum(1, keepdim=True) / 3
    loss = weighted_loss(logits, targets, weights, label_smoothing=0.1)
    torch.testing.assert_close(loss, -(smoothed * logs).sum(1).mean())
    classes = targets.argmax(1)
    torch.testing.assert_close(
        weighted_loss(logits, classes, weights, label_smoothing=0.1),
        weighted_loss(logits, nn.functional.one_hot(classes).float(), weights, label_smoothing=0.1),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["none", "mixup", "cutmix"])
def test_the_best_constant_prediction_is_balanced(kind, smoothing):
    labels = torch.tensor([0] * 900 + [1] * 100)
    weights = torch.tensor(weigh_classes(ClassWeights.balanced, labels.numpy(), 2))
    mix = build_mix(mixup=float(kind == "mixup"), cutmix=float(kind == "cutmix"), num_classes=2)
    logits = torch.zeros(2, requires_grad=True)
    torch.manual_seed(0)
    rolled = labels[torch.randperm(1000)]  # the partner of an image is the one before it
    losses = [
        weighted_loss(logits.expand(1000, 2), mix(torch.zeros(1000, 3, 2, 2), rolled)[1], weights,
                      label_smoothing=smoothing)
        for _ in range(3)
    ]  # fmt: skip
    (slope,) = torch.autograd.grad(torch.stack(losses).mean(), logits)
    torch.testing.assert_close(slope, torch.zeros(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("optimizer", [Optimizer.sgd, Optimizer.adamw])
def test_a_linear_head_is_the_one_that_torch_trains(build_plan, optimizer):
    rows, labels = batch()
    head = build_head(kind=HeadKind.linear, in_features=5, num_classes=3, init=HeadInit.zero, seed=0)
    plain = nn.Linear(5, 3)
    plain.load_state_dict({name: torch.zeros_like(values) for name, values in plain.state_dict().items()})
    plan = build_plan(
        steps=40, lr=0.05, weight_decay=0.0, optimizer=optimizer, schedule=Schedule.constant, warmup=0.0,
        clip_norm=None, class_weights=WEIGHTS,
    )  # fmt: skip
    kind = {
        Optimizer.sgd: lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True),
        Optimizer.adamw: lambda parameters: torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.0),
    }
    reference, loss = kind[optimizer](plain.parameters()), nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))
    for _ in range(40):
        reference.zero_grad()
        loss(plain(rows), labels).backward()
        reference.step()
    batches = Whole(rows[:, :, None, None], labels)
    classifier = Classifier(nn.Flatten(), head, (), 0)
    fit(classifier, batches, plan, fit_id="final", listener=Listener(), checkpoint=None)
    with torch.no_grad():
        torch.testing.assert_close(head.eval()(rows), plain(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixed", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.4, "label_smoothing": 0.1}, {}])
def test_the_loop_weighs_each_class_of_mixed_images(build_classifier, build_batches, build_plan, mixed):
    weights = (1.0, 5.0, 2.0)
    plan = build_plan(steps=1, class_weights=weights, **mixed)
    report = fit(build_classifier(), build_batches(), plan, fit_id="f", listener=Listener(), checkpoint=None)
    seed_generators(plan.seed, 1, torch.device("cpu"))
    mix = build_mix(mixup=plan.mixup, cutmix=plan.cutmix, num_classes=3)
    images, targets = mix(*build_batches().batch(0))
    logs = build_classifier().train()(images).log_softmax(1)
    shares = torch.tensor(weights) * (targets if mixed else nn.functional.one_hot(targets))
    each = (1 - plan.label_smoothing) * shares + plan.label_smoothing * shares.sum(1, keepdim=True) / 3
    assert report.curve[0][2] == pytest.approx(-(each * logs).sum(1).mean().item(), rel=1e-5)


def imbalanced(seed):
    """Return features and labels of two classes that overlap: 90 and 10 to learn from, 200 and 200 to test on."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * 90 + [1] * 10 + [0] * 200 + [1] * 200)
    return torch.randn(500, 4, generator=generator) + 0.6 * labels[:, None], labels


def found_by(kind, weights, build_plan, seed=0):
    features, labels = imbalanced(seed)
    problem = Problem(train=np.arange(100), validation=np.arange(100, 500), class_weights=weights)
    if kind == "linear":
        head = build_head(kind=HeadKind.linear, in_features=4, num_classes=2, init=HeadInit.zero, seed=0)
        rng = np.random.default_rng(seed)
        order = [rng.choice(100, 32, replace=False) for _ in range(100)]
        [[fitted]] = train_many(
            head, features, labels, [problem], streams=[lambda step: order[step]], candidates=[RATES],
            plan=build_plan(steps=100, num_classes=2),
        )  # fmt: skip
    else:
        [[fitted]] = solve(kind, features, labels, [problem], num_classes=2, candidates=[1e-2])
    return balanced_accuracy_score(labels[100:], fitted.logits.argmax(1))


@pytest.mark.parametrize("kind", ["linear", "logreg", "ridge"])
def test_on_unequal_classes_balanced_accuracy_rises(build_plan, kind):
    weights = weigh_classes(ClassWeights.balanced, np.array([0] * 90 + [1] * 10), 2)
    plain, weighted = (np.mean([found_by(kind, each, build_plan, seed) for seed in range(3)]) for each in ((), weights))
    assert plain < 0.62
    assert weighted > plain + 0.1
