import itertools
import re
from collections import Counter

import numpy as np
import pytest

from tlexp.config.labels import LabelBudget, parse_labels
from tlexp.data.budget import draw_budget, draw_rest, hold_out, selection_folds, split_counts
from tlexp.data.partition import groups_per_class
from tlexp.errors import DataError

NAMES = ("ant", "bee", "cat")
SIZES = (40, 25, 60)


def pool(sizes: tuple[int, ...] = SIZES, seed: int = 3) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


def draw(text: str, seed: int = 0, labels: np.ndarray | None = None) -> np.ndarray:
    return draw_budget(pool() if labels is None else labels, parse_labels(text), seed=seed, classes=NAMES)


@pytest.mark.parametrize("k", [1, 2, 10, 25])
@pytest.mark.parametrize("seed", range(5))
def test_exactly_k_of_each_class_without_duplicates(k: int, seed: int) -> None:
    chosen = draw(str(k), seed)
    assert Counter(pool()[chosen].tolist()) == dict.fromkeys(range(3), k)
    assert len(set(chosen.tolist())) == len(chosen)
    assert (np.diff(pool()[chosen]) >= 0).all()


@pytest.mark.parametrize("texts", [("1", "2", "7", "20", "25", "all"), ("0.01", "0.1", "0.33", "0.9", "all")])
@pytest.mark.parametrize("seed", range(5))
def test_budgets_of_one_seed_are_nested(texts: tuple[str, ...], seed: int) -> None:
    budgets = [set(draw(text, seed).tolist()) for text in texts]
    assert all(small <= large for small, large in itertools.pairwise(budgets))


def test_each_class_keeps_its_order_as_the_budget_grows() -> None:
    small, large = draw("5"), draw("20")
    for label in range(3):
        own = [chosen[pool()[chosen] == label] for chosen in (small, large)]
        assert np.array_equal(own[0], own[1][:5])


def test_a_class_does_not_depend_on_the_sizes_of_others() -> None:
    labels = np.repeat(np.arange(3), SIZES)
    fewer = labels[np.r_[10 : len(labels)]]
    before, after = draw("10", labels=labels), draw("10", labels=fewer)
    assert np.array_equal(before[10:], after[10:] + 10)


def test_seeds_differ() -> None:
    draws = {tuple(draw("5", seed).tolist()) for seed in range(20)}
    assert len(draws) == 20


def test_draws_are_uniform() -> None:
    counts = np.bincount(np.concatenate([draw("5", seed) for seed in range(1500)]), minlength=sum(SIZES))
    expected = np.array([1500 * 5 / size for size in SIZES])[pool()]
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_fractions_are_proportional_and_never_empty() -> None:
    assert Counter(pool()[draw("0.1")].tolist()) == {0: 4, 1: 3, 2: 6}
    assert Counter(pool()[draw("0.001")].tolist()) == {0: 1, 1: 1, 2: 1}
    assert Counter(pool()[draw("all")].tolist()) == dict(enumerate(SIZES))


def test_classes_without_which_the_budget_is_filled_may_be_left_out() -> None:
    with pytest.raises(DataError, match=r"bee \(25\); use labels=25 or less, labels=all, leave them out with data.cl"):
        draw("30")


def test_a_class_with_too_few_images_is_named() -> None:
    with pytest.raises(DataError) as error:
        draw("41")
    assert str(error.value) == (
        "labels=41: each class needs 41 images in the training pool, but these have fewer: ant (40), bee (25); "
        "use labels=25 or less, labels=all, or more images"
    )
    for text in ("1", "0.5", "all"):
        with pytest.raises(DataError, match=r"cat \(0\)"):
            draw(text, labels=np.array([0, 1]))


def test_held_out_is_a_stratified_fifth() -> None:
    rest, held = hold_out(pool(), seed=0, classes=NAMES)
    assert sorted([*rest.tolist(), *held.tolist()]) == list(range(sum(SIZES)))
    assert Counter(pool()[held].tolist()) == {0: 8, 1: 5, 2: 12}
    assert not np.array_equal(held, hold_out(pool(), seed=1, classes=NAMES)[1])
    assert len(hold_out(np.array([0, 0, 1, 1]), seed=0, classes="ab")[1]) == 2
    with pytest.raises(DataError, match=r"b: fewer than 2 images .* as a test; add images, or give"):
        hold_out(np.array([0, 0, 1]), seed=0, classes="ab")


@pytest.mark.parametrize(("k", "pooled"), [*((k, False) for k in range(2, 10)), (5, True), (10, True), (25, True)])
def test_folds_partition_small_budgets_and_where_fits_are_cheap_all(k: int, pooled: bool) -> None:
    labels = pool()[draw(str(k))]
    folds = selection_folds(labels, per_class=k, seed=0, pooled=pooled)
    assert len(folds) == min(5, k)
    assert sorted(np.concatenate([fold.validation for fold in folds]).tolist()) == list(range(3 * k))
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        assert sorted([*fold.train.tolist(), *fold.validation.tolist()]) == list(range(3 * k))
        counts = Counter(labels[fold.validation].tolist())
        assert set(counts) == {0, 1, 2}
        assert max(counts.values()) - min(counts.values()) <= 1
        assert set(labels[fold.train].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("k", [10, 13, 20, 25])
def test_one_stratified_split_from_ten_on(k: int) -> None:
    labels = pool()[draw(str(k))]
    (fold,) = selection_folds(labels, per_class=k, seed=0)
    assert sorted([*fold.train.tolist(), *fold.validation.tolist()]) == list(range(3 * k))
    assert Counter(labels[fold.validation].tolist()) == dict.fromkeys(range(3), int(k / 5 + 0.5))


def test_one_image_per_class_allows_no_selection() -> None:
    assert selection_folds(np.arange(3), per_class=1, seed=0) == ()


def test_unequal_classes_are_split_by_their_own_size() -> None:
    chosen = draw("all")
    (fold,) = selection_folds(pool()[chosen], per_class=25, seed=0)
    assert Counter(pool()[chosen][fold.validation].tolist()) == {0: 8, 1: 5, 2: 12}
    labels = pool((4, 9, 30))
    for part in selection_folds(labels, per_class=4, seed=1):
        assert Counter(labels[part.validation].tolist())[0] == 1


def test_budget_folds_and_held_out_are_drawn_independently() -> None:
    labels = np.zeros(50, np.int64)
    budget = draw_budget(labels, LabelBudget(per_class=10), seed=4, classes=("a",))
    held = hold_out(labels, seed=4, classes=("a",))[1]
    (fold,) = selection_folds(labels, per_class=50, seed=4)
    assert len({frozenset(drawn.tolist()) for drawn in (budget, held, fold.validation)}) == 3


def grouped_pool(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and groups: 30 groups of 2 to 9 images of one class each, and 5 that span classes."""
    rng = np.random.default_rng(seed)
    pairs = [
        (group % 3 if group < 30 else int(rng.integers(3)), group)
        for group in range(35)
        for _ in range(int(rng.integers(2, 10)))
    ]
    labels, groups = rng.permutation(np.array(pairs, np.int64)).T
    return labels, groups


def parted(groups: np.ndarray, *sides: np.ndarray) -> set[int]:
    return set.intersection(*(set(groups[side].tolist()) for side in sides))


def test_no_group_is_on_two_sides_of_a_split_or_a_fold() -> None:
    for seed in range(100):
        labels, groups = grouped_pool(seed)
        rest, held = hold_out(labels, seed=seed, classes=NAMES, groups=groups)
        assert sorted([*rest.tolist(), *held.tolist()]) == list(range(len(labels)))
        assert not parted(groups, rest, held)
        assert set(labels[rest].tolist()) == set(labels[held].tolist()) == {0, 1, 2}
        labels, groups = labels[rest], groups[rest]
        for k in (3, 9, 20):
            chosen = draw_budget(labels, LabelBudget(per_class=k), seed=seed, classes=NAMES, groups=groups)
            folds = selection_folds(labels[chosen], per_class=k, seed=seed, groups=groups[chosen], classes=NAMES)
            least = min(groups_per_class(labels[chosen], groups[chosen], classes=3))
            assert len(folds) == (1 if k >= 10 else min(5, k, least))
            for fold in folds:
                assert sorted([*fold.train.tolist(), *fold.validation.tolist()]) == list(range(3 * k))
                assert not parted(groups[chosen], fold.train, fold.validation)
                assert set(labels[chosen][fold.train].tolist()) == {0, 1, 2}
            pooled = selection_folds(
                labels[chosen], per_class=k, seed=seed, pooled=True, groups=groups[chosen], classes=NAMES
            )
            assert len(pooled) == min(5, k, least)
            assert sorted(np.concatenate([fold.validation for fold in pooled]).tolist()) == list(range(3 * k))
            for fold in pooled:
                assert not parted(groups[chosen], fold.train, fold.validation)
                assert set(labels[chosen][fold.train].tolist()) == {0, 1, 2}
            assert k >= 10 or [fold.train.tolist() for fold in folds] == [fold.train.tolist() for fold in pooled]


@pytest.mark.parametrize("seed", range(10))
def test_a_budget_is_spread_over_groups_nested_and_each_class_by_itself(seed: int) -> None:
    labels, groups = grouped_pool(seed)
    drawn = {
        k: draw_budget(labels, LabelBudget(per_class=k), seed=seed, classes=NAMES, groups=groups) for k in (1, 5, 8, 20)
    }
    for k, chosen in drawn.items():
        assert Counter(labels[chosen].tolist()) == dict.fromkeys(range(3), k)
        there = groups_per_class(labels, groups, classes=3)
        assert groups_per_class(labels[chosen], groups[chosen], classes=3) == [min(k, count) for count in there]
    sets = [set(chosen.tolist()) for chosen in drawn.values()]
    assert all(small < large for small, large in itertools.pairwise(sets))
    fewer = np.flatnonzero((labels != 0) | (np.arange(len(labels)) % 2 == 0))
    again = fewer[
        draw_budget(labels[fewer], LabelBudget(per_class=5), seed=seed, classes=NAMES, groups=groups[fewer] * 2 + 1)
    ]
    assert again[5:].tolist() == drawn[5][5:].tolist()


@pytest.mark.parametrize(("k", "patients"), [(2, 8), (3, 3), (5, 2), (12, 3)])
def test_groups_that_span_classes_leave_folds_for_every_seed(k: int, patients: int) -> None:
    """Of 5 classes and patients who have all: two of each class often allow no two sides that both have each class."""
    labels, groups = (each.ravel() for each in np.mgrid[:5, : 12 * patients])
    groups, names, counts = groups % patients, tuple("abcde"), set()
    for seed in range(200):
        chosen = draw_budget(labels, LabelBudget(per_class=k), seed=seed, classes=names, groups=groups)
        own, held = labels[chosen], groups[chosen]
        folds = selection_folds(own, per_class=k, seed=seed, groups=held, classes=names)
        counts.add(len(folds))
        for fold in folds:
            assert not parted(held, fold.train, fold.validation)
            assert sorted([*fold.train.tolist(), *fold.validation.tolist()]) == list(range(5 * k))
            assert set(own[fold.train].tolist()) == set(range(5))
        if k < 10:
            assert sorted(np.concatenate([fold.validation for fold in folds]).tolist()) == list(range(5 * k))
    assert counts == {2: {2, 3}, 3: {3}, 5: {2}, 12: {1}}[k]


def test_a_ring_of_patients_leaves_one_split_whose_validation_lacks_a_class() -> None:
    """Three classes, each of two of three patients: one patient aside leaves each class in training, two do not."""
    labels, groups = np.repeat([0, 0, 1, 1, 2, 2], 6), np.repeat([0, 1, 1, 2, 2, 0], 6)
    for seed in range(20):
        (fold,) = selection_folds(labels, per_class=12, seed=seed, groups=groups, classes=NAMES)
        assert len(set(groups[fold.validation].tolist())) == 1
        assert set(labels[fold.train].tolist()) == {0, 1, 2}
        again = selection_folds(labels, per_class=12, seed=seed, groups=groups, classes=NAMES)[0]
        assert again.validation.tolist() == fold.validation.tolist()


def test_groups_of_one_image_are_held_out_and_folded_as_evenly_as_images() -> None:
    labels, alone = pool(), np.arange(sum(SIZES))
    _, held = hold_out(labels, seed=0, classes=NAMES, groups=alone)
    assert Counter(labels[held].tolist()) == {0: 8, 1: 5, 2: 12}
    (fold,) = selection_folds(labels, per_class=25, seed=0, groups=alone)
    assert Counter(labels[fold.validation].tolist()) == {0: 8, 1: 5, 2: 12}


def test_one_group_of_a_class_leaves_nothing_to_compare_or_to_test_on() -> None:
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 2, 3])
    assert selection_folds(labels, per_class=1, seed=0, groups=groups, classes=NAMES) == ()
    with pytest.raises(
        DataError, match=r"images of class ant \(3 images\), .* take the default settings with tune\.valid"
    ):
        selection_folds(labels, per_class=3, seed=0, groups=groups, classes=NAMES[:2])
    with pytest.raises(DataError, match=r"images of class ant \(3 images\), .*, or give a test folder of your own"):
        hold_out(labels, seed=0, classes=NAMES[:2], groups=groups)


def test_seeds_hold_out_other_groups() -> None:
    labels, groups = grouped_pool(0)
    held = {tuple(hold_out(labels, seed=seed, classes=NAMES, groups=groups)[1].tolist()) for seed in range(20)}
    assert len(held) == 20


def rest(text: str, seed: int = 0, most: int = 1000) -> np.ndarray:
    return draw_rest(pool(), parse_labels(text), seed=seed, classes=3, most=most)


@pytest.mark.parametrize("seed", range(5))
def test_the_rest_is_the_same_for_all_budgets_up_to_half_of_the_pool_and_disjoint_from_them(seed: int) -> None:
    left = rest("1", seed)
    assert Counter(pool()[left].tolist()) == {0: 20, 1: 12, 2: 30}
    for text in ("5", "12", "0.4"):
        assert np.array_equal(rest(text, seed), left)
        assert not set(left.tolist()) & set(draw(text, seed).tolist())
    assert (np.diff(left) > 0).all()


def test_a_budget_above_half_of_a_class_leaves_no_rest() -> None:
    assert all(len(rest(text)) == 0 for text in ("13", "0.51", "all"))


def test_the_rest_has_as_many_images_of_each_class_as_there_is_room_for() -> None:
    assert Counter(pool()[rest("1", most=45)].tolist()) == {0: 15, 1: 12, 2: 15}
    assert set(rest("1", most=45).tolist()) < set(rest("1").tolist())
    assert Counter(pool()[rest("1", most=1)].tolist()) == dict.fromkeys(range(3), 1)


def test_seeds_leave_other_images() -> None:
    assert not np.array_equal(rest("1", 0), rest("1", 1))


def test_a_class_of_one_image_is_left_out_by_what_is_told() -> None:
    told = """leave it out, 'data.classes=["-b, c"]', add images"""
    with pytest.raises(DataError, match=rf"^b, c: fewer than 2 .*; {re.escape(told)}"):
        split_counts([9, 1, 9], classes=["a", "b, c", "d"])
