import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier

from tlexp.config.train import ClassWeights
from tlexp.train import ridge, row_space
from tlexp.train.balance import weigh_classes
from tlexp.train.problem import Held, Problem
from tlexp.train.ridge import solve_ridge
from tlexp.train.row_space import build_row_space
from tlexp.train.temperature import inverse_temperature

DECAYS = (1e-4, 1e-2, 1.0)
SIZES = {"n > d": (60, 12, 3), "n < d": (30, 50, 4), "n = d + 1": (25, 24, 3), "two classes": (40, 10, 2)}


def solve(features, labels, classes, decays=DECAYS, problems=None):
    problems = problems or [Problem(train=np.arange(len(labels)))]
    space = build_row_space(Held(features), labels, problems, classes, precise=True)
    return space, solve_ridge(space, decays)


def scaled(features):
    centred = features.double() - features.double().mean(0)
    return (centred / centred.square().mean().sqrt()).numpy()


def reference(rows, targets, decay, count):
    return Ridge(alpha=decay * count, solver="svd").fit(rows, targets)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_it_equals_scikit_learn_up_to_the_temperature(draw_rows, monkeypatch, size):
    monkeypatch.setattr(ridge, "inverse_temperature", lambda scores, labels, share: torch.ones(1, len(DECAYS)).double())
    features, labels = draw_rows(*size)
    space, weights = solve(features, labels, size[2])
    weight, bias = space.restore(0, weights[0])
    for index, decay in enumerate(DECAYS):
        model = reference(scaled(features), np.eye(size[2])[labels], decay, len(labels))
        np.testing.assert_allclose(weight[index] * space.scale[0], model.coef_, rtol=1e-5, atol=1e-7)
        logits = features.double() @ weight[index].T + bias[index]
        np.testing.assert_allclose(logits, model.predict(scaled(features)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_left_out_scores_are_those_of_fits_without_the_row(draw_rows, monkeypatch, size):
    seen = []
    monkeypatch.setattr(ridge, "inverse_temperature", lambda *given: seen.append(given) or inverse_temperature(*given))
    features, labels = draw_rows(*size)
    solve(features, labels, size[2])
    scores, judged, share = seen[0]
    assert torch.equal(judged[0], labels)
    torch.testing.assert_close(share, torch.full_like(share, 1 / len(labels)))
    rows, targets = scaled(features), np.eye(size[2])[labels]
    for index, decay in enumerate(DECAYS):
        for row in (0, 7, 19):
            rest = np.arange(len(labels)) != row
            model = reference(rows[rest], targets[rest], decay, len(labels))
            np.testing.assert_allclose(
                scores[0, row, index], model.predict(rows[row : row + 1])[0], rtol=1e-5, atol=1e-6
            )


def test_padded_rows_are_not_judged(draw_rows):
    features, labels = draw_rows(40, 12, 3)
    problems = [Problem(train=np.arange(30)), Problem(train=np.arange(8, 40))]
    _, together = solve(features, labels, 3, problems=problems)
    for index, problem in enumerate(problems):
        space, apart = solve(features, labels, 3, problems=[problem])
        rows = torch.cat([space.blocks()[0][0]])
        torch.testing.assert_close(apart[0] @ rows[0].T, together[index] @ rows[0].T)


def test_few_rows_are_judged_of_many(draw_rows, monkeypatch):
    features, labels = draw_rows(300, 6, 3)
    _, all_judged = solve(features, labels, 3)
    monkeypatch.setattr(ridge, "_JUDGED_ROWS", 100)
    _, some_judged = solve(features, labels, 3)
    ratio = some_judged[..., :-1] / all_judged[..., :-1]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.3, atol=0)
    assert not torch.equal(some_judged, all_judged)


def test_one_row_and_constant_rows():
    for features, labels in ((torch.randn(1, 4), torch.tensor([2])), (torch.ones(6, 4), torch.arange(6) % 3)):
        space, weights = solve(features, labels, 3)
        weight, bias = space.restore(0, weights[0])
        assert not weight.any()
        assert bias.isfinite().all()


def unequal(draw_rows, size):
    """Return features and labels of which the last class has kept a third of its rows, the weights, and scaled rows."""
    features, labels = draw_rows(*size)
    kept = (labels < size[2] - 1) | (torch.arange(len(labels)) % 3 == 0)
    features, labels = features[kept], labels[kept]
    weights = weigh_classes(ClassWeights.balanced, labels.numpy(), size[2])
    pull = torch.tensor(weights, dtype=torch.float64)[labels][:, None]
    centred = features.double() - (pull * features.double()).mean(0)
    return features, labels, weights, (centred / (pull * centred.square()).mean().sqrt()).numpy()


@pytest.mark.parametrize("held", [True, False], ids=["held", "in blocks"])
@pytest.mark.parametrize("size", [(60, 12, 3), (30, 50, 3), (40, 10, 2)], ids=["n > d", "n < d", "two classes"])
def test_with_class_weights_it_equals_scikit_learns_up_to_the_temperature(draw_rows, monkeypatch, size, held):
    seen = []
    ones = torch.ones(1, len(DECAYS)).double()
    monkeypatch.setattr(ridge, "inverse_temperature", lambda *given: seen.append(given) or ones)
    if not held:
        sizes = dataclasses.replace(row_space._CPU_SIZES, held=0, block=400)
        monkeypatch.setattr(row_space, "_CPU_SIZES", sizes)
    features, labels, weights, rows = unequal(draw_rows, size)
    problem = Problem(train=np.arange(len(labels)), class_weights=weights)
    space, solved = solve(features, labels, size[2], problems=[problem])
    weight, bias = space.restore(0, solved[0])
    pull, targets = np.array(weights)[labels], np.eye(size[2])[labels]
    scores, _, share = seen[0]
    np.testing.assert_allclose(share[0], pull / len(labels))
    for index, decay in enumerate(DECAYS):
        model = Ridge(alpha=decay * len(labels), solver="svd").fit(rows, targets, sample_weight=pull)
        logits = features.double() @ weight[index].T + bias[index]
        np.testing.assert_allclose(logits, model.predict(rows), rtol=1e-5, atol=1e-7)
        classes = RidgeClassifier(alpha=decay * len(labels), class_weight="balanced").fit(rows, labels.numpy())
        assert (logits.argmax(1).numpy() == classes.predict(rows)).all()
        for row in (0, 7, 19):
            rest = np.arange(len(labels)) != row
            model = Ridge(alpha=decay * len(labels), solver="svd").fit(rows[rest], targets[rest], pull[rest])
            left_out = model.predict(rows[row : row + 1])[0]
            np.testing.assert_allclose(scores[0, row, index], left_out, rtol=1e-5, atol=1e-6)
