import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tlexp.models.prior import PriorShift


def test_it_is_the_rule_of_bayes() -> None:
    likelihood = np.array([[0.2, 0.6], [0.5, 0.1]])  # of two findings in two classes
    shown, used = np.array([0.5, 0.5]), np.array([0.99, 0.01])
    learned, wanted = (likelihood * share / (likelihood @ share)[:, None] for share in (shown, used))
    shift = PriorShift(wanted=tuple(used), trained=tuple(shown))
    corrected = softmax(shift.correct(np.log(learned).astype(np.float32)).astype(float), axis=1)
    np.testing.assert_allclose(corrected, wanted, rtol=1e-6)
    assert wanted[0].argmax() != learned[0].argmax()  # 0.2 * 0.99 is more than 0.6 * 0.01


def test_the_same_frequencies_change_nothing() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    shift = PriorShift(wanted=(0.2, 0.3, 0.5), trained=(0.2, 0.3, 0.5))
    np.testing.assert_array_equal(shift.correct(logits), logits)


def test_it_is_a_logistic_regression_with_another_intercept() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    rows = rng.normal(size=(100, 4)) + 0.7 * np.eye(4)[labels]
    model = LogisticRegression(C=1.0).fit(rows, labels)
    shift = PriorShift.of((0.1, 0.1, 0.8), labels, alike=False)
    ours = softmax(shift.correct(model.decision_function(rows).astype(np.float32)).astype(float), axis=1)
    model.intercept_ = model.intercept_ + np.log([0.1 / 0.6, 0.1 / 0.3, 0.8 / 0.1])
    np.testing.assert_allclose(ours, model.predict_proba(rows), rtol=1e-5)


def test_what_was_learned_is_counted_unless_classes_counted_alike() -> None:
    labels = np.array([0, 0, 0, 1])
    assert PriorShift.of((0.5, 0.5), labels, alike=False).trained == (0.75, 0.25)
    assert PriorShift.of((0.5, 0.5), labels, alike=True).trained == (0.5, 0.5)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_where_classes_are_so_frequent_the_log_loss_is_the_smallest(share: float) -> None:
    rng = np.random.default_rng(1)

    def drawn(count: int, rare: float) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random(count) < rare).astype(int)
        return rng.normal(size=(count, 1)) + 1.5 * labels[:, None], labels

    model = LogisticRegression(C=1e6).fit(*drawn(4000, 0.3))
    rows, labels = drawn(4000, share)
    logits = np.hstack([np.zeros((4000, 1)), model.decision_function(rows)[:, None]]).astype(np.float32)

    def loss(stated: float) -> float:
        shift = PriorShift(wanted=(1 - stated, stated), trained=(0.7, 0.3))
        chances = softmax(shift.correct(logits).astype(float), axis=1)
        return float(-np.log(chances[np.arange(4000), labels]).mean())

    assert min((0.05, 0.3, 0.5, 0.95), key=loss) == share
