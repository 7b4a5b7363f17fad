import numpy as np
import pytest

from tlexp.doctor.remainder import budget_remainders, size_test


def test_budgets_leave_what_the_smallest_class_has_more() -> None:
    labels = np.array([0] * 60 + [1] * 30)
    groups = np.arange(90)
    groups[60:80] = 60
    five, twenty, hundred = budget_remainders(labels, groups, classes=2)
    assert (five.label, five.images, five.groups, five.left) == (1, 30, 11, 25)
    assert (twenty.left, hundred.left) == (10, -70)


def test_a_class_without_images_is_the_smallest() -> None:
    assert budget_remainders(np.array([0, 0]), np.arange(2), classes=2)[0].images == 0


@pytest.mark.parametrize(("images", "accuracy", "half", "wide"), [(100, 0.9, 0.060, True), (1000, 0.9, 0.0187, False)])
def test_the_half_width_is_that_of_the_interval(images: int, accuracy: float, half: float, wide: bool) -> None:
    size = size_test(np.arange(images), accuracy)
    assert size.half_width == size.grouped_half_width == pytest.approx(half, abs=5e-4)
    assert size.wide is wide


def test_groups_count_for_one_image_each() -> None:
    size = size_test(np.arange(1000) // 10, None)
    assert (size.images, size.groups, size.accuracy, size.wide) == (1000, 100, 0.9, True)
    assert size.grouped_half_width > 3 * size.half_width
