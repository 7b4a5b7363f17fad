"""Thresholds of confidence keep what they promise on images that nobody has seen."""

import numpy as np
import pytest

from tlexp.models.abstention import Abstention, needed


def drawn(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences and whether they were right, of a network that claims a little too much."""
    confidences = 1 - generator.beta(1, 4, count) * 0.7
    return confidences, generator.random(count) < confidences**1.3


@pytest.mark.parametrize(("promised", "count"), [(0.9, 100), (0.9, 1000), (0.95, 300)])
def test_what_is_promised_holds_in_ninety_two_of_a_hundred_draws(promised: float, count: int) -> None:
    generator = np.random.default_rng(0)
    confidences, right = drawn(100_000, generator)
    held, given = 0, 0
    for _ in range(400):
        chosen = generator.integers(0, len(right), count)
        least = Abstention.of(confidences[chosen], right[chosen]).threshold(promised)
        given += least is not None
        held += least is None or right[confidences >= least].mean() >= promised
    assert held / 400 >= 0.92
    assert given > 0


def test_what_is_promised_holds_where_images_are_right_and_wrong_in_groups() -> None:
    """Eight images of a group, all right or all wrong: counted by images it holds in 86 of a hundred draws."""
    generator = np.random.default_rng(0)
    confidences, right = drawn(100_000, generator)
    held = {True: 0, False: 0}
    for _ in range(200):
        chosen = generator.integers(0, len(right), 60)
        alike = np.repeat(chosen, 8)
        for counted, groups in ((True, np.repeat(np.arange(60), 8)), (False, None)):
            least = Abstention.of(confidences[alike], right[alike], groups).threshold(0.9)
            held[counted] += least is None or right[confidences >= least].mean() >= 0.9
    assert held[True] / 200 >= 0.92
    assert held[False] / 200 < 0.9


def test_groups_of_one_image_count_as_images() -> None:
    confidences, right = drawn(300, np.random.default_rng(2))
    assert Abstention.of(confidences, right, np.arange(300)[::-1]) == Abstention.of(confidences, right)
    whole = Abstention.of(np.ones(9), np.array([True] * 5 + [False] * 4), np.array([0] * 5 + [1, 2, 3, 4]))
    assert (whole.answered, whole.right) == ((2,), (1,)), "81 / (25 + 4) images, a share of 5 / 9 right"


def test_groups_may_be_worth_less_with_more_of_their_images() -> None:
    groups = np.repeat(np.arange(4), [1, 1, 1, 3])
    found = Abstention.of(np.linspace(1, 0.5, 6), np.ones(6, bool), groups)
    assert found.answered == (1, 2, 3, 4, 3, 3)
    assert found.problems() == []
    assert found.threshold(0.4) == 0.7, "three or four of four, all right"


def test_more_images_answer_more() -> None:
    generator = np.random.default_rng(1)
    coverages = []
    for count in (100, 1000, 10_000):
        confidences, right = drawn(count, generator)
        least = Abstention.of(confidences, right).threshold(0.9)
        coverages.append(0.0 if least is None else float((confidences >= least).mean()))
    assert coverages[2] > 0.3
    assert coverages == sorted(coverages)


def test_the_table_is_short_and_counts_ties_together() -> None:
    confidences = np.repeat([0.9, 0.5], [30, 20])
    found = Abstention.of(confidences, confidences > 0.6)
    assert (found.thresholds, found.answered, found.right) == ((0.9, 0.5), (30, 50), (30, 30))
    many = Abstention.of(np.random.default_rng(0).random(50_000), np.ones(50_000, bool))
    assert len(many.thresholds) < 220
    assert many.answered[-1] == 50_000


def test_too_few_images_promise_nothing() -> None:
    count = needed(0.95)
    sure = Abstention.of(np.linspace(1, 0.9, count), np.ones(count, bool))
    assert sure.threshold(0.95) == 0.9
    assert Abstention.of(np.linspace(1, 0.9, count - 1), np.ones(count - 1, bool)).threshold(0.95) is None
    assert Abstention.of(np.array([0.5]), np.array([False])).threshold(0.5) is None
