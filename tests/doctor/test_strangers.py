"""Strangers are drawn the same each time, and are never taken for copies."""

import numpy as np

from tests.doctor.pictures import directions
from tlexp.doctor.strangers import cosines, random_pairs, usual


def test_pairs_are_of_two_images() -> None:
    pairs = random_pairs(5)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(pairs.ravel().tolist()) == set(range(5))
    assert np.array_equal(pairs, random_pairs(5))
    assert random_pairs(0).shape == random_pairs(1).shape == (0, 2)


def test_usual_is_between_nothing_and_much() -> None:
    assert usual(np.array([], np.float32)) == usual(np.float32([-1, -1])) == 0
    assert usual(np.ones(3, np.float32)) == 0.8


def test_cosines_are_those_of_all_features() -> None:
    features, pairs = directions(np.arange(9000) % 7), random_pairs(9000)
    many = np.tile(pairs, (40, 1))
    assert np.allclose(cosines(features, many), (features[many[:, 0]] * features[many[:, 1]]).sum(1), atol=1e-6)
    assert cosines(features, pairs[:0]).shape == (0,)
