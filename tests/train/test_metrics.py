import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, log_loss

from tlexp.train.metrics import count_confusions, evaluate, measure, to_probabilities, wilson_interval


def drawn(images, classes, seed=0):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=images)
    return probabilities, np.arange(images, dtype=np.int64) % classes


def expected_calibration_error(probabilities, labels, bins=15):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.clip(np.floor(confidence * bins), 0, bins - 1)
    return sum(
        (which == b).mean() * abs(right[which == b].mean() - confidence[which == b].mean()) for b in np.unique(which)
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_scikit_learn(classes, seed):
    probabilities, labels = drawn(200, classes, seed)
    predicted = probabilities.argmax(axis=1)
    found = measure(probabilities, labels, label_smoothing=0.0)
    # To the bit: records of before and after scikit-learn was asked can be compared.
    assert found["accuracy"] == (predicted == labels).mean()
    assert found["balanced_accuracy"] == balanced_accuracy_score(labels, predicted)
    assert found["macro_f1"] == f1_score(labels, predicted, average="macro")
    assert (count_confusions(probabilities, labels) == confusion_matrix(labels, predicted)).all()
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities))
    assert found["loss"] == pytest.approx(found["nll"])
    assert found["ece"] == pytest.approx(expected_calibration_error(probabilities, labels))


@pytest.mark.parametrize("images", [1, 7, 500])
def test_the_calibration_error_has_the_bits_of_torchmetrics(images):
    from torchmetrics.functional.classification import multiclass_calibration_error

    for classes, sharpness in itertools.product((2, 5, 100), (1.0, 0.01)):
        generator = np.random.default_rng(images)
        probabilities = generator.dirichlet(np.full(classes, sharpness), size=images)
        probabilities[0] = np.eye(classes)[0]
        labels = generator.integers(0, classes, images)
        given, target = torch.from_numpy(probabilities), torch.from_numpy(labels)
        theirs = multiclass_calibration_error(given, target, num_classes=classes, n_bins=15, norm="l1")
        assert measure(probabilities, labels, label_smoothing=0.0)["ece"] == float(theirs)


def test_a_small_case_by_hand():
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    labels = np.array([0, 1, 1, 0])
    found = measure(probabilities, labels, label_smoothing=0.1)
    nll = -sum(math.log(p) for p in (0.7, 0.4, 0.8, 0.9)) / 4
    uniform = -sum(math.log(a) + math.log(b) for a, b in probabilities) / 8
    assert found == pytest.approx(
        {
            "loss": 0.9 * nll + 0.1 * uniform,
            "accuracy": 0.75,
            "balanced_accuracy": 0.75,
            "macro_f1": (0.8 + 2 / 3) / 2,
            "nll": nll,
            "ece": (0.3 + 0.6 + 0.2 + 0.1) / 4,  # each confidence has a bin of its own
        }
    )


def test_a_class_without_images_counts_in_no_recall():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    labels = np.array([0, 1, 1])  # class 2 is only predicted
    found = evaluate(probabilities, labels, label_smoothing=0.0)
    assert found.metrics["balanced_accuracy"] == pytest.approx(0.75)
    assert found.metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found.recall == (1.0, 0.5, None)
    assert found.support == (1, 2, 0)
    assert found.recall_intervals[2] is None
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("label", [0, 1, 4])
def test_one_image_is_enough(label):
    found = evaluate(np.array([[0.2, 0.5, 0.1, 0.1, 0.1]]), np.array([label]), label_smoothing=0.1)
    assert found.count == 1
    assert found.metrics["accuracy"] == (label == 1)
    assert all(math.isfinite(value) for value in found.metrics.values())
    assert found.confusion.shape == (5, 5)


def test_a_probability_of_zero_keeps_everything_finite():
    found = measure(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), label_smoothing=0.1)
    assert all(math.isfinite(value) for value in found.values())
    assert found["nll"] == pytest.approx(log_loss([0, 0], [[1.0, 0.0], [0.0, 1.0]], labels=[0, 1]))
    assert (found["accuracy"], found["ece"]) == (0.5, 0.5)


def test_balanced_accuracy_is_the_mean_recall_of_the_confusion_matrix():
    probabilities, labels = drawn(97, 4)
    found = evaluate(probabilities, labels, label_smoothing=0.0)
    recalls = found.confusion.diagonal() / found.confusion.sum(axis=1)
    assert found.recall == pytest.approx(tuple(recalls))
    assert found.metrics["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert found.metrics["accuracy"] == pytest.approx(found.confusion.trace() / found.count)
    assert found.support == tuple(np.bincount(labels))


@pytest.mark.parametrize(("hits", "images"), [(0, 1), (1, 1), (3, 10), (50, 100), (999, 1000)])
def test_intervals_are_wilsons(hits, images):
    z, share = norm.ppf(0.975), hits / images
    centre = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    assert wilson_interval(hits, images) == pytest.approx((max(centre - half, 0), min(centre + half, 1)), abs=1e-9)
    known = binomtest(hits, images).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(hits, images) == (known.low, known.high)


def test_intervals_hold_accuracy_and_recall():
    found = evaluate(*drawn(60, 3), label_smoothing=0.0)
    assert found.accuracy_interval[0] < found.metrics["accuracy"] < found.accuracy_interval[1]
    assert found.accuracy_interval == wilson_interval(found.confusion.trace(), 60)
    for recall, (low, high), images in zip(found.recall, found.recall_intervals, found.support, strict=True):
        assert low < recall < high
        assert (low, high) == wilson_interval(round(recall * images), images)


def test_probabilities_are_a_stable_softmax_in_float64():
    found = to_probabilities(np.array([[1000.0, 0.0], [-1000.0, -1000.0]], dtype=np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [[1.0, 0.0], [0.5, 0.5]]
