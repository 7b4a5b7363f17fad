import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tlexp.train import ridge
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
