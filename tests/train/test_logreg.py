import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tlexp.config.train import ClassWeights
from tlexp.train import logreg, row_space
from tlexp.train.balance import weigh_classes
from tlexp.train.logreg import TOLERANCE, WEIGHT_DECAYS, solve_logreg
from tlexp.train.problem import Held, Problem
from tlexp.train.row_space import build_row_space

SIZES = {"n > d": (60, 12, 3), "n < d": (30, 50, 4), "n = d": (24, 24, 3), "two classes": (40, 10, 2)}


def solve(features, labels, classes, *, decays=WEIGHT_DECAYS, train=None, tolerance=TOLERANCE):
    """Return the space of one problem, weight and bias on scaled features as float64, and the solution."""
    problem = Problem(train=np.arange(len(labels)) if train is None else train)
    space = build_row_space(Held(features), labels, [problem], classes, precise=False)
    solved = solve_logreg(space, decays, tolerance=tolerance)
    weight, bias = space.restore(0, solved.weights[0])
    bias = bias + weight @ space.centre[0]
    return space, weight * space.scale[0], bias, solved


def scaled(features):
    centred = features.double() - features.double().mean(0)
    return centred / centred.square().mean().sqrt()


def gradient_norm(features, labels, decay, weight, bias):
    """Return the norm of the objective's gradient by autograd, on features scaled apart from the code under test."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    loss = F.cross_entropy(scaled(features) @ weight.T + bias, labels) + decay / 2 * weight.square().sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, (weight, bias))]).norm().item()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_autograd_finds_no_gradient_at_the_solution(draw_rows, size):
    features, labels = draw_rows(*size)
    _, weight, bias, solved = solve(features, labels, size[2])
    assert solved.converged.all()
    for index, decay in enumerate(WEIGHT_DECAYS):
        norm = gradient_norm(features, labels, decay, weight[index], bias[index])
        assert norm <= max(1.05 * TOLERANCE * decay * weight[index].norm().item(), 1e-9)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_it_equals_scikit_learn(draw_rows, size):
    features, labels = draw_rows(*size)
    decays = (1e-4, 1e-2, 1.0)
    _, weight, bias, _ = solve(features, labels, size[2], decays=decays, tolerance=1e-6)
    for index, decay in enumerate(decays):
        # scikit-learn's only weight vector of two classes is the difference of ours, so half as much penalised.
        strength = decay / 2 if size[2] == 2 else decay
        model = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-9, max_iter=10**5)
        model.fit(scaled(features).numpy(), labels.numpy())
        ours, offset = weight[index].numpy(), bias[index].numpy()
        if size[2] == 2:
            ours, offset = ours[1:] - ours[:1], offset[1:] - offset[:1]
        np.testing.assert_allclose(ours, model.coef_, rtol=1e-3, atol=1e-4 * np.abs(model.coef_).max())
        np.testing.assert_allclose(offset - offset.mean(), model.intercept_ - model.intercept_.mean(), atol=1e-3)


UNEQUAL = {"n > d": (60, 12, 3), "n < d": (30, 50, 3), "two classes": (40, 10, 2)}


def unequal(draw_rows, size):
    """Return features and labels of which the last class has kept a third of its rows, and the class weights."""
    features, labels = draw_rows(*size)
    kept = (labels < size[2] - 1) | (torch.arange(len(labels)) % 3 == 0)
    features, labels = features[kept], labels[kept]
    return features, labels, weigh_classes(ClassWeights.balanced, labels.numpy(), size[2])


def weighted_rows(features, labels, weights):
    """Return features (n, D) centred and scaled as weighted rows are."""
    pull = torch.tensor(weights, dtype=torch.float64)[labels][:, None]
    centred = features.double() - (pull * features.double()).mean(0)
    return centred / (pull * centred.square()).mean().sqrt()


@pytest.mark.parametrize("held", [True, False], ids=["held", "in blocks"])
@pytest.mark.parametrize("size", UNEQUAL.values(), ids=UNEQUAL)
def test_with_class_weights_it_equals_scikit_learns_balanced(draw_rows, monkeypatch, size, held):
    if not held:
        sizes = dataclasses.replace(row_space._CPU_SIZES, held=0, block=400)
        monkeypatch.setattr(row_space, "_CPU_SIZES", sizes)
    features, labels, weights = unequal(draw_rows, size)
    problem = Problem(train=np.arange(len(labels)), class_weights=weights)
    decays = (1e-3, 1e-1)
    space = build_row_space(Held(features), labels, [problem], size[2], precise=False)
    solved = solve_logreg(space, decays, tolerance=1e-6)
    weight, bias = space.restore(0, solved.weights[0])
    rows = weighted_rows(features, labels, weights).numpy()
    for index, decay in enumerate(decays):
        strength = decay / 2 if size[2] == 2 else decay
        model = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-10, max_iter=10**5, class_weight="balanced")
        theirs = model.fit(rows, labels.numpy()).predict_proba(rows)
        ours = (features.double() @ weight[index].T + bias[index]).softmax(1)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        plain = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-10, max_iter=10**5).fit(rows, labels.numpy())
        assert np.abs(ours.numpy() - plain.predict_proba(rows)).max() > 1e-3


def test_class_weights_are_rows_that_are_there_more_often(draw_rows):
    features, labels = draw_rows(40, 30, 2)
    kept = (labels == 0) | (torch.arange(40) % 2 == 0)
    features, labels = features[kept][:30], labels[kept][:30]
    often = torch.cat([torch.arange(30), torch.nonzero(labels == 1)[:, 0]])
    counts = torch.bincount(labels[often]).tolist()
    weights = (30 / len(often), 2 * 30 / len(often))
    found = []
    for places, each in ((torch.arange(30), weights), (often, ())):
        problem = Problem(train=places.numpy(), class_weights=each)
        space = build_row_space(Held(features), labels, [problem], 2, precise=False)
        found.append(space.restore(0, solve_logreg(space, (1e-2,), tolerance=1e-6).weights[0]))
    assert sum(counts) > 30
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_problems_with_weights_of_their_own_are_solved_together_as_alone(draw_rows):
    features, labels, _ = unequal(draw_rows, (60, 12, 3))
    parts = [np.arange(0, len(labels) - 1), np.arange(1, len(labels)), np.arange(2, len(labels))]
    problems = [
        Problem(train=part, class_weights=weigh_classes(ClassWeights.balanced, labels[part].numpy(), 3))
        for part in parts
    ]

    def solutions(chosen):
        space = build_row_space(Held(features), labels, chosen, 3, precise=False)
        weights = solve_logreg(space, (1e-2,), tolerance=1e-6).weights
        return [space.restore(index, weights[index])[0] for index in range(len(chosen))]

    for problem, together in zip(problems, solutions(problems), strict=True):
        torch.testing.assert_close(together, solutions([problem])[0], rtol=1e-4, atol=1e-5)


def test_the_tolerance_bounds_the_distance_from_the_solution(draw_rows):
    features, labels = draw_rows(40, 30, 3)
    _, rough, _, _ = solve(features, labels, 3, tolerance=1e-2)
    _, fine, _, _ = solve(features, labels, 3, tolerance=1e-8)
    distance = (rough - fine).flatten(1).norm(dim=1) / fine.flatten(1).norm(dim=1)
    assert (distance <= 1.1e-2).all()


@pytest.mark.parametrize("most", [0, 40 * 3 * 5], ids=["never kept", "kept once few heads are left"])
def test_probabilities_made_anew_lead_to_the_same_solution(draw_rows, monkeypatch, most):
    features, labels = draw_rows(40, 30, 3)
    _, kept, offset, before = solve(features, labels, 3, tolerance=1e-6)
    monkeypatch.setattr(logreg, "_KEPT_NUMBERS", most)
    _, anew, other, solved = solve(features, labels, 3, tolerance=1e-6)
    assert solved.converged.all()
    assert (solved.iterations - before.iterations).abs().max() <= 1
    torch.testing.assert_close(anew, kept, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other, offset, rtol=1e-3, atol=1e-4)


def test_the_default_decays_are_half_decades():
    assert len(WEIGHT_DECAYS) == 13
    assert WEIGHT_DECAYS[0] == pytest.approx(1e-4)
    assert WEIGHT_DECAYS[-1] == pytest.approx(100)
    np.testing.assert_allclose(np.diff(np.log10(WEIGHT_DECAYS)), 0.5)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 25),
    width=st.integers(1, 30),
    classes=st.integers(2, 6),
    seed=st.integers(0, 1000),
    decay=st.sampled_from((1e-4, 1e-2, 1.0)),
)
def test_any_size_is_solved(rows, width, classes, seed, decay):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, width, generator=generator)
    labels = torch.randint(classes, (rows,), generator=generator)
    space, weight, bias, solved = solve(features, labels, classes, decays=[decay])
    assert solved.converged.all()
    assert weight.isfinite().all()
    assert bias.isfinite().all()
    there = space.counts[0] > 0
    places = torch.cumsum(there.long(), 0) - 1
    norm = weight[0].norm().item()
    if rows > 1:
        left = gradient_norm(features, places[labels], decay, weight[0, there], bias[0, there])
        assert left <= max(1.05 * TOLERANCE * decay * norm + 3e-8, 1e-9)


def test_a_class_without_rows_is_rare_but_possible(draw_rows):
    features, labels = draw_rows(30, 8, 3)
    present = labels + (labels > 0).long()  # class 1 of 4 is missing
    _, weight, bias, solved = solve(features, present, 4, tolerance=1e-6)
    _, expected, offset, _ = solve(features, labels, 3, tolerance=1e-6)
    assert solved.converged.all()
    assert not weight[:, 1].any()
    torch.testing.assert_close(weight[:, [0, 2, 3]], expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(bias[:, [0, 2, 3]], offset, rtol=1e-3, atol=1e-4)
    chances = bias.softmax(-1)[:, 1]  # at the mean row
    torch.testing.assert_close(chances, torch.full_like(chances, 1 / 33), rtol=1e-4, atol=0)


def test_one_class_alone(draw_rows):
    features, labels = draw_rows(10, 4, 1)
    _, weight, bias, solved = solve(features, labels, 1)
    assert solved.converged.all()
    assert not weight.any()
    _, weight, bias, solved = solve(features, labels, 3)
    assert solved.converged.all()
    assert not weight.any()
    assert (bias.argmax(1) == 0).all()


def test_constant_features_leave_the_frequencies():
    features, labels = torch.full((8, 5), 1000.1), torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    _, weight, bias, solved = solve(features, labels, 3)
    assert solved.converged.all()
    assert not weight.any()
    torch.testing.assert_close(
        bias.softmax(-1), torch.tensor([0.5, 0.25, 0.25]).double().expand(13, 3), rtol=1e-5, atol=0
    )


def test_rows_twice_are_no_other_problem(draw_rows):
    features, labels = draw_rows(24, 10, 3)
    _, once, _, _ = solve(features, labels, 3, tolerance=1e-6)
    _, twice, _, _ = solve(torch.cat([features, features]), torch.cat([labels, labels]), 3, tolerance=1e-6)
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_order_of_the_rows_is_none_of_its_business(draw_rows, size):
    features, labels = draw_rows(*size)
    order = np.random.default_rng(0).permutation(len(labels))
    _, weight, bias, _ = solve(features, labels, size[2], tolerance=1e-5)
    _, other, offset, _ = solve(features, labels, size[2], train=order, tolerance=1e-5)
    torch.testing.assert_close(other, weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(offset, bias, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_the_scale_of_the_features_changes_nothing(draw_rows, scale):
    features, labels = draw_rows(40, 12, 3)
    features = features - 3
    _, weight, bias, solved = solve(scale * features, labels, 3, tolerance=1e-5)
    _, expected, offset, _ = solve(features, labels, 3, tolerance=1e-5)
    assert solved.converged.all()
    torch.testing.assert_close(weight, expected, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(bias, offset, rtol=1e-2, atol=1e-2)


def test_many_classes_of_few_rows(draw_rows):
    features, labels = draw_rows(242 * 5, 32, 242)
    decays = (1e-3, 0.1)
    _, weight, bias, solved = solve(features, labels, 242, decays=decays)
    assert solved.converged.all()
    for index, decay in enumerate(decays):
        norm = gradient_norm(features, labels, decay, weight[index], bias[index])
        assert norm <= 1.05 * TOLERANCE * decay * weight[index].norm().item()


def test_iterations_are_counted_for_each_head(draw_rows):
    features, labels = draw_rows(60, 12, 3)
    solved = solve(features, labels, 3)[3]
    apart = [int(solve(features, labels, 3, decays=[decay])[3].iterations) for decay in WEIGHT_DECAYS]
    assert solved.iterations[0].tolist() == pytest.approx(apart, abs=1)
    assert apart[0] > apart[-1] > 0


def test_what_does_not_converge_says_so(draw_rows, monkeypatch):
    monkeypatch.setattr("tlexp.train.logreg._NEWTON_STEPS", 3)
    features, labels = draw_rows(60, 12, 3)
    solved = solve(features, labels, 3, decays=(1e-5, 10.0))[3]
    assert solved.converged.tolist() == [[False, True]]
    assert solved.iterations[0, 0] == 3
