import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tlexp.train import nearest_mean
from tlexp.train.nearest_mean import solve_means
from tlexp.train.problem import Held, Problem


def solve(features, labels, classes, train=None):
    problem = Problem(train=np.arange(len(labels)) if train is None else train)
    return solve_means(Held(features), labels, problem, classes)


def distances(features, labels, classes):
    """Return squared distances (n, K) to the class means, in plain numpy."""
    rows, chosen = features.double().numpy(), labels.numpy()
    centres = np.stack([rows[chosen == label].mean(0) for label in range(classes)])
    return ((rows[:, None] - centres) ** 2).sum(2), centres


def logits_of(weight, bias, features):
    return features.double() @ weight.T + bias


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_logits_are_distances_up_to_what_classes_share(draw_rows, offset):
    features, labels = draw_rows(60, 5, 4)
    features = features + offset
    weight, bias = solve(features, labels, 4)
    logits = logits_of(weight, bias, features)
    expected = -torch.from_numpy(distances(features, labels, 4)[0])
    ours, theirs = (values - values.mean(1, keepdim=True) for values in (logits, expected))
    temperature = theirs.norm() / ours.norm()
    torch.testing.assert_close(ours * temperature, theirs, rtol=1e-6, atol=1e-6)


def test_the_temperature_minimises_the_loss_of_left_out_rows(draw_rows):
    features, labels = draw_rows(40, 6, 3)
    weight, _ = solve(features, labels, 3)
    centres = torch.from_numpy(distances(features, labels, 3)[1])
    sharpness = float((weight[0] - weight[1]).norm() / (2 * (centres[0] - centres[1])).norm())
    scores = []
    for row in range(40):
        rest = torch.arange(40) != row
        centres = torch.from_numpy(distances(features[rest], labels[rest], 3)[1])
        scores.append(-(features[row].double() - centres).square().sum(1))

    def loss(factor):
        return F.cross_entropy(factor * torch.stack(scores), labels, label_smoothing=1 / 41).item()

    assert all(loss(sharpness) < loss(factor * sharpness) for factor in (0.8, 0.97, 1.03, 1.2))


def test_one_image_per_class_takes_the_mean_squared_distance():
    features = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    weight, bias = solve(features, torch.arange(3), 3)
    logits = logits_of(weight, bias, features)
    temperature = (9 + 16 + 25) / 3
    torch.testing.assert_close(logits[0, 0] - logits[0, 1], torch.tensor(9 / temperature).double())
    torch.testing.assert_close(logits[1, 1] - logits[1, 2], torch.tensor(25 / temperature).double())


def test_rows_alone_in_their_class_are_not_judged(draw_rows):
    features, labels = draw_rows(30, 4, 3)
    alone = torch.cat([features, features[:1] + 100])
    weight, bias = solve(alone, torch.cat([labels, torch.tensor([3])]), 4)
    assert weight.isfinite().all()
    assert (logits_of(weight, bias, alone).argmax(1)[-1]) == 3


def test_a_class_without_rows_is_far_away(draw_rows):
    features, labels = draw_rows(30, 4, 3)
    weight, bias = solve(features, labels, 5)
    logits = logits_of(weight, bias, features)
    assert logits.isfinite().all()
    assert (logits.argmax(1) < 3).all()


def test_blocks_and_judged_rows(draw_rows, monkeypatch):
    features, labels = draw_rows(50, 4, 3)
    expected = solve(features, labels, 3)
    monkeypatch.setattr(nearest_mean, "_BLOCK_NUMBERS", 4 * 7)
    for ours, theirs in zip(solve(features, labels, 3), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    monkeypatch.setattr(nearest_mean, "_JUDGED_ROWS", 25)
    weight, _ = solve(features, labels, 3)
    torch.testing.assert_close(F.normalize(weight), F.normalize(expected[0]))
    assert not torch.allclose(weight, expected[0])


@pytest.mark.parametrize("features", [torch.ones(6, 3), torch.full((1, 3), 2.0)], ids=["constant", "one row"])
def test_nothing_to_tell_apart(features):
    weight, bias = solve(features, torch.arange(len(features)) % 3, 3)
    assert weight.isfinite().all()
    assert bias.isfinite().all()
