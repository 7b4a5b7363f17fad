import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError, DataError, TrainingError
from tlexp.models.head import Head
from tlexp.train import ridge, row_space
from tlexp.train.heads import CANDIDATES, CLOSED, solve
from tlexp.train.problem import Problem

ROWS, WIDTH, CLASSES = 64, 10, 3
LINEAR = ("logreg", "ridge")
each_kind = pytest.mark.parametrize("kind", CANDIDATES)


@pytest.fixture
def rows(draw_rows):
    return draw_rows(ROWS, WIDTH, CLASSES)


def folds(count=3, rows=ROWS):
    parts = np.array_split(np.random.default_rng(0).permutation(rows), count)
    return [
        Problem(train=np.concatenate(parts[:index] + parts[index + 1 :]), validation=part)
        for index, part in enumerate(parts)
    ]


class Stored:
    """Features in half precision that are read in pieces, and how large the largest was."""

    def __init__(self, features):
        self.features, self.shape, self.largest = features.half().numpy(), features.shape, 0

    def take(self, positions):
        self.largest = max(self.largest, len(positions))
        return torch.from_numpy(self.features[positions.numpy()])


def same(left, right, **tolerance):
    assert len(left) == len(right)
    for ours, theirs in zip(left, right, strict=True):
        torch.testing.assert_close(dict(ours.head.state_dict()), dict(theirs.head.state_dict()), **tolerance)
        if theirs.logits is None:
            assert ours.logits is None
        else:
            torch.testing.assert_close(ours.logits, theirs.logits, **tolerance)


def test_every_head_that_is_solved_has_a_solver():
    solved = {kind for kind in HeadKind if kind.solved}
    assert solved == set(CANDIDATES), "CLOSED in train/heads.py names the solver of a head with nothing to choose"
    assert {kind for kind in solved if not kind.penalised} - {HeadKind.knn} == set(CLOSED)


@each_kind
def test_each_problem_equals_itself_alone(rows, kind):
    problems = [*folds(), Problem(train=np.arange(ROWS)), Problem(train=np.arange(9), validation=np.arange(9, 30))]
    together = solve(kind, *rows, problems, num_classes=CLASSES, tolerance=1e-6)
    assert len(together) == len(problems)
    for problem, fits in zip(problems, together, strict=True):
        alone = solve(kind, *rows, [problem], num_classes=CLASSES, tolerance=1e-6)[0]
        same(fits, alone, rtol=1e-3, atol=1e-3)


@each_kind
def test_each_candidate_equals_itself_alone(rows, kind):
    problem = folds()[:1]
    together = solve(kind, *rows, problem, num_classes=CLASSES, tolerance=1e-6)[0]
    assert len(together) == len(CANDIDATES[kind])
    for candidate, fitted in zip(CANDIDATES[kind], together, strict=True):
        alone = solve(kind, *rows, problem, num_classes=CLASSES, candidates=[candidate], tolerance=1e-6)[0]
        same([fitted], alone, rtol=1e-3, atol=1e-3)


@each_kind
def test_logits_are_the_heads_own(rows, kind):
    features, labels = rows
    for problem, fits in zip(folds(), solve(kind, features, labels, folds(), num_classes=CLASSES), strict=True):
        for fitted in fits:
            assert fitted.converged
            assert isinstance(fitted.head, Head)
            assert not fitted.head.training
            assert fitted.logits.shape == (len(problem.validation), CLASSES)
            assert fitted.logits.dtype is torch.float32
            with torch.no_grad():
                torch.testing.assert_close(
                    fitted.head(features[problem.validation]), fitted.logits, rtol=1e-4, atol=1e-4
                )
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    torch.testing.assert_close(
                        fitted.head(features[problem.validation]), fitted.logits, rtol=1e-4, atol=1e-4
                    )


@each_kind
def test_it_learns(draw_rows, kind):
    features, labels = draw_rows(400, WIDTH, CLASSES)
    problem = Problem(train=np.arange(300), validation=np.arange(300, 400))
    fits = solve(kind, features, labels, [problem], num_classes=CLASSES)[0]
    best = max(float((fitted.logits.argmax(1) == labels[300:]).double().mean()) for fitted in fits)
    assert best > 0.7


@each_kind
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_problems_of_any_size_give_finite_logits(kind, data):
    count = data.draw(st.integers(1, 12))
    width, classes, seed = (data.draw(st.integers(1, most)) for most in (9, 5, 1000))
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(generator.normal(size=(count, width))).float()
    labels = torch.from_numpy(generator.integers(classes, size=count))
    problems = [
        Problem(train=generator.permutation(count)[: data.draw(st.integers(1, count))], validation=np.arange(count))
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    for fits in solve(kind, features, labels, problems, num_classes=classes):
        for fitted in fits:
            assert fitted.converged
            assert fitted.logits.isfinite().all()


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("size", [(ROWS, WIDTH), (12, 30)], ids=["n > d", "n < d"])
def test_rows_in_blocks_give_the_same_heads(draw_rows, monkeypatch, kind, size):
    features, labels = draw_rows(*size, CLASSES)
    problem = [Problem(train=np.random.default_rng(0).permutation(size[0])[:-3], validation=np.arange(7))]
    features = features.half().float()
    options = {"num_classes": CLASSES, "candidates": (1e-4, 1e-2, 1.0), "tolerance": 1e-6}
    held = solve(kind, features, labels, problem, **options)[0]
    sizes = dataclasses.replace(row_space._CPU_SIZES, held=10, block=5 * (size[1] + 1))
    monkeypatch.setattr(row_space, "_CPU_SIZES", sizes)
    stored = Stored(features)
    streamed = solve(kind, stored, labels, problem, **options)[0]
    same(streamed, held, rtol=1e-3, atol=1e-3)
    assert stored.largest == 7


def test_the_rows_that_ridge_judges_do_not_depend_on_blocks(draw_rows, monkeypatch):
    features, labels = draw_rows(ROWS, WIDTH, CLASSES)
    problem = [Problem(train=np.arange(ROWS))]
    monkeypatch.setattr(ridge, "_JUDGED_ROWS", 10)  # every seventh
    held = solve("ridge", features, labels, problem, num_classes=CLASSES)[0]
    sizes = dataclasses.replace(row_space._CPU_SIZES, held=10, block=5 * (WIDTH + 1))
    monkeypatch.setattr(row_space, "_CPU_SIZES", sizes)
    same(solve("ridge", features, labels, problem, num_classes=CLASSES)[0], held, rtol=1e-5, atol=1e-6)


def test_rows_with_more_logits_than_features_are_read_in_smaller_blocks(draw_rows, monkeypatch):
    features, labels = draw_rows(ROWS, 2, CLASSES)
    features = features.half().float()
    problem = [Problem(train=np.arange(ROWS))]
    decays = np.logspace(-3, 1, 11)
    held = solve("logreg", features, labels, problem, num_classes=CLASSES, candidates=decays, tolerance=1e-6)[0]
    logits_of_a_row = len(decays) * CLASSES
    sizes = dataclasses.replace(row_space._CPU_SIZES, held=ROWS * logits_of_a_row, block=12 * logits_of_a_row)
    monkeypatch.setattr(row_space, "_CPU_SIZES", sizes)
    stored = Stored(features)
    streamed = solve("logreg", stored, labels, problem, num_classes=CLASSES, candidates=decays, tolerance=1e-6)[0]
    assert stored.largest == 12 // 4
    same(streamed, held, rtol=1e-3, atol=1e-3)


@each_kind
def test_stored_rows_are_rows(rows, kind):
    features, labels = rows
    features = features.half().float()
    problems = folds()
    ours = solve(kind, Stored(features), labels, problems, num_classes=CLASSES)
    theirs = solve(kind, features, labels, problems, num_classes=CLASSES)
    for left, right in zip(ours, theirs, strict=True):
        same(left, right, rtol=1e-4, atol=1e-4)


@each_kind
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_named(rows, kind, value):
    features, labels = rows
    features = features.clone()
    features[[7, 40], 2] = value
    with pytest.raises(TrainingError, match="features of 2 of 63 images are not finite, the first at position 40: use"):
        solve(kind, features, labels, [Problem(train=np.arange(ROWS)[:0:-1].copy())], num_classes=CLASSES)


@each_kind
def test_a_finite_sum_too_large_is_no_error(rows, kind):
    features, labels = rows
    solve(kind, features * 1e37, labels, [Problem(train=np.arange(ROWS))], num_classes=CLASSES)


@each_kind
def test_the_features_and_labels_stay(rows, kind):
    features, labels = (tensor.clone() for tensor in rows)
    solve(kind, features, labels, folds(), num_classes=CLASSES)
    assert torch.equal(features, rows[0])
    assert torch.equal(labels, rows[1])


@pytest.mark.parametrize(
    ("train", "labels", "message"),
    [
        ([], [0, 1, 2], "no row to train on: use a larger label budget"),
        ([0], [0, 1], "2 labels for features of 3 rows: give each row one label"),
        ([0], [0, 1, 3], r"labels of 0\.\.3: must be 0\.\.2"),
        ([0], [0, 1, -1], r"labels of -1\.\.1: must be 0\.\.2"),
        ([0, 3], [0, 1, 2], r"positions of 0\.\.3: must be 0\.\.2"),
        ([-1], [0, 1, 2], r"positions of -1\.\.-1: must be 0\.\.2"),
    ],
)
@each_kind
def test_what_cannot_be_solved_is_refused(kind, train, labels, message):
    problem = Problem(train=np.array(train, dtype=np.int64))
    with pytest.raises(DataError, match=message):
        solve(kind, torch.zeros(3, 2), torch.tensor(labels), [problem], num_classes=3)


@pytest.mark.parametrize("kind", LINEAR)
def test_a_weight_decay_must_be_positive(rows, kind):
    with pytest.raises(ConfigError, match=f"weight_decay=0 of head={kind}: must be positive, e.g. 1e-5"):
        solve(kind, *rows, folds(), num_classes=CLASSES, candidates=[0.1, 0])


def test_stacks_hold_problems_of_about_one_size():
    problems = [Problem(train=np.arange(size)) for size in (10, 30, 12, 11, 13, 30)]
    assert list(row_space.stacks(problems, 5, torch.device("cpu"))) == [[0, 3, 2], [4], [1, 5]]
    wide = row_space._CPU_SIZES.stack // 20
    assert [len(stack) for stack in row_space.stacks(problems[:1] * 5, wide, torch.device("cpu"))] == [2, 2, 1]


@pytest.mark.gpu
@each_kind
def test_an_accelerator_gives_the_same_heads(rows, kind):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    features, labels = rows
    ours = solve(kind, features.cuda(), labels, folds(), num_classes=CLASSES, tolerance=1e-5)
    theirs = solve(kind, features, labels, folds(), num_classes=CLASSES, tolerance=1e-5)
    for left, right in zip(ours, theirs, strict=True):
        for on_gpu, on_cpu in zip(left, right, strict=True):
            torch.testing.assert_close(on_gpu.logits, on_cpu.logits, rtol=1e-3, atol=1e-3)


def test_solving_ends_where_it_is_asked_to(rows):
    """Before each problem that no other is solved with: a signal waits for one, not for all."""
    features, labels = rows
    problems = [Problem(train=np.arange(count)) for count in (8, 14, 20)]
    heard = []

    def heed():
        heard.append(None)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve("ridge", features, labels, problems, num_classes=3, heed=heed)
    assert len(heard) == 2


def test_a_logistic_regression_ends_within_a_newton_step_where_it_is_asked_to(rows):
    """A step of hundreds of classes takes many seconds."""
    features, labels = rows
    heard = []

    def heed(last=None):
        heard.append(None)
        if len(heard) == last:
            raise KeyboardInterrupt

    problem = [Problem(train=np.arange(20))]
    [[fitted]] = solve("logreg", features, labels, problem, num_classes=3, candidates=[1e-2], heed=heed)
    assert len(heard) > 1 + 2 * fitted.iterations
    heard.clear()
    with pytest.raises(KeyboardInterrupt):
        solve("logreg", features, labels, problem, num_classes=3, heed=lambda: heed(5))
    assert len(heard) == 5


def test_a_head_is_built_once_and_holds_no_memory_of_those_that_it_was_compared_with() -> None:
    features, labels = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    [fits] = solve("ridge", features, labels, [Problem(train=np.arange(12))], num_classes=3)
    assert fits[0].head is fits[0].head
    for parameter in fits[0].head.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.nbytes
