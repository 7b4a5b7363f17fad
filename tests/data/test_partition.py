from collections import Counter

import numpy as np
import pytest

from tlexp.data.partition import deal_groups, groups_per_class, spread
from tlexp.errors import DataError

NAMES = ("ant", "bee", "cat")


def planted(seed: int, *, spanning: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and groups of 40 groups of 1 to 14 images, some of which hold several classes, all shuffled."""
    rng = np.random.default_rng(seed)
    pairs = [
        (int(rng.integers(3)) if spans else group % 3, group)
        for group in range(40)
        for spans in [rng.random() < spanning]
        for _ in range(int(rng.integers(1, 15)))
    ]
    labels, groups = np.array(pairs, np.int64).T
    order = rng.permutation(len(labels))
    return labels[order], groups[order]


def deal(labels, groups, shares=(0.8, 0.2), *, seed: int = 0, settled=None, classes=NAMES) -> np.ndarray:
    return deal_groups(
        np.array(labels),
        np.array(groups),
        shares=shares,
        generator=np.random.default_rng(seed),
        classes=classes,
        purpose="nothing can be done; do something else",
        settled=None if settled is None else np.array(settled),
    )


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.2,) * 5, (0.5, 0.5), (0.45, 0.55)])
def test_no_group_is_parted_and_each_class_lies_in_several_parts(shares: tuple[float, ...]) -> None:
    for seed in range(100):
        labels, groups = planted(seed)
        parts = deal(labels, groups, shares, seed=seed)
        assert all(len(set(parts[groups == group].tolist())) == 1 for group in range(40))
        assert all(len(set(parts[labels == label].tolist())) > 1 for label in range(3))
        held = np.array(
            [[np.mean(parts[labels == label] == part) for label in range(3)] for part in range(len(shares))]
        )
        assert np.abs(held - np.array(shares)[:, None]).max() < 0.2


def test_groups_of_one_image_are_dealt_as_images_are() -> None:
    labels = np.repeat(np.arange(3), (40, 25, 60))
    parts = deal(labels, np.arange(125))
    assert Counter(labels[parts == 1].tolist()) == {0: 8, 1: 5, 2: 12}
    folds = deal(labels[:40], np.arange(40), (0.2,) * 5, classes=NAMES[:1])
    assert set(Counter(folds.tolist()).values()) == {8}


def test_two_groups_of_a_class_lie_on_two_sides_however_large() -> None:
    labels, groups = np.repeat([0, 0, 1, 1], (50, 2, 3, 90)), np.repeat([5, 6, 7, 8], (50, 2, 3, 90))
    for seed in range(20):
        parts = deal(labels, groups, seed=seed, classes=NAMES[:2])
        assert {tuple(sorted(set(parts[labels == label].tolist()))) for label in (0, 1)} == {(0, 1)}


def test_large_groups_are_held_out_about_as_often_as_small_ones() -> None:
    sizes = np.array([1] * 20 + [5] * 10 + [20] * 3)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    held = np.zeros(len(sizes))
    for seed in range(400):
        parts = deal(np.zeros(len(groups), np.int64), groups, seed=seed, classes=NAMES[:1])
        held[np.unique(groups[parts == 1])] += 1 / 400
    assert all(0.12 < held[sizes == size].mean() < 0.3 for size in (1, 5, 20))


def test_what_is_on_one_side_already_stays_there() -> None:
    labels, groups = np.zeros(40, np.int64), np.repeat(np.arange(10), 4)
    settled = np.where(groups == 3, 1, np.where(groups == 7, 0, -1))
    for seed in range(50):
        parts = deal(labels, groups, seed=seed, settled=settled, classes=NAMES[:1])
        assert set(parts[groups == 3].tolist()) == {1}
        assert set(parts[groups == 7].tolist()) == {0}
        assert 4 <= (parts == 1).sum() <= 12


def test_classes_that_cannot_be_divided_are_named_with_the_way_out() -> None:
    with pytest.raises(DataError) as error:
        deal([0, 0, 0, 1, 1, 2, 2, 2], [1, 1, 1, 2, 3, 4, 4, 4])
    assert str(error.value) == (
        "one group holds all images of class ant (3 images), cat (3 images), and a group stays on one side: nothing "
        "can be done; do something else"
    )
    with pytest.raises(
        DataError, match=r"each class on both sides \(groups of each class: ant 2, bee 2\): nothing can"
    ):
        deal([0, 0, 1, 1], [1, 2, 1, 2], settled=[0, 0, 0, 0], classes=NAMES[:2])


def test_a_division_that_is_hard_to_find_is_found() -> None:
    ring = [(label, group) for group in range(8) for label in (group, (group + 1) % 8)]  # only every other one serves
    labels, groups = np.array(ring).T
    for seed in range(5):
        parts = deal(labels, groups, seed=seed, classes="abcdefgh")
        assert all(set(parts[labels == label].tolist()) == {0, 1} for label in range(8))


@pytest.mark.parametrize("seed", range(20))
def test_an_order_takes_one_image_of_each_group_then_a_second_one(seed: int) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat([4, 9, 11], (1, 5, 3)))
    order = spread(groups, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(9))
    drawn = groups[order].tolist()
    assert set(drawn[:3]) == {4, 9, 11}
    assert set(drawn[3:5]) == set(drawn[5:7]) == {9, 11}
    assert drawn[7:] == [9, 9]


def test_orders_are_uniform_over_groups_and_over_the_images_of_one() -> None:
    groups = np.repeat(np.arange(4), (1, 2, 5, 8))
    first = Counter(int(spread(groups, np.random.default_rng(seed))[0]) for seed in range(4000))
    by_group = np.bincount(groups[list(first)], weights=list(first.values()))
    assert np.abs(by_group - 1000).max() < 5 * np.sqrt(1000)
    assert all(abs(first[image] - 200) < 5 * np.sqrt(200) for image in range(3, 8))


def test_groups_of_a_class_are_counted() -> None:
    assert groups_per_class(np.array([0, 0, 0, 2]), np.array([7, 7, 8, 7]), classes=3) == [2, 0, 1]
