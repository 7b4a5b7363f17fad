import numpy as np
import pytest

from tlexp.studies.analysis.crossfit import crossfit, highest, pick_by_other_seeds, stratified_halves
from tlexp.studies.analysis.intervals import TestImages, spread

IMAGES = TestImages(labels=np.repeat([0, 1, 2], [101, 40, 9]))


def noise(columns: int, seeds: int, studies: int = 1) -> np.ndarray:
    """Return columns of which none is better than another."""
    return (np.random.default_rng(0).random((studies, columns, seeds, 150)) < 0.5).astype(np.float64)


def test_halves_split_every_class_evenly_and_are_always_the_same() -> None:
    half = stratified_halves(IMAGES)
    for label in range(3):
        own = half[IMAGES.labels == label]
        assert abs(2 * own.sum() - len(own)) <= 1
    assert (half == stratified_halves(IMAGES)).all()
    assert abs(2 * half.sum() - len(half)) <= 1


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 10])
def test_a_rule_that_always_takes_the_same_column_has_that_columns_accuracy(seeds: int) -> None:
    correct = noise(4, seeds)[0]
    found = crossfit(correct, IMAGES, lambda means: np.full(means.shape[:-1], 2))
    alone = spread(correct[2], IMAGES)
    assert found.value == pytest.approx(alone.value)
    assert found.per_seed == pytest.approx(alone.per_seed)
    if seeds > 1:
        assert found.half_width() == pytest.approx(alone.half_width())


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_what_chooses_never_scores(seeds: int) -> None:
    """A column that is right only where it is looked at would be chosen, and is wrong everywhere else."""
    half, splits = stratified_halves(IMAGES), []

    def spy(means: np.ndarray) -> np.ndarray:
        splits.append(means)
        return np.asarray(means.argmax(axis=-1))

    correct = np.zeros((2, seeds, 150))
    correct[1] = half  # column 1 is right on one half, column 0 nowhere
    assert crossfit(correct, IMAGES, spy).value == pytest.approx(0)
    correct[1] = 0
    correct[1, 0] = 1  # right by the first seed only: chosen where that seed chooses, scored where it does not
    picked = crossfit(correct, IMAGES, spy)
    assert picked.per_seed == pytest.approx(0)
    assert len(splits) == 4


def test_the_best_of_many_equals_looks_better_than_it_is_and_cross_fitted_it_does_not() -> None:
    correct = noise(20, 4, studies=400)
    best = spread(correct, IMAGES).value.max(axis=1)
    found = crossfit(correct, IMAGES, highest(range(correct.shape[-3]))).value
    error = found.std() / np.sqrt(len(found))
    assert best.mean() - 0.5 > 20 * error
    assert abs(found.mean() - 0.5) < 4 * error


def test_a_lucky_seed_does_not_make_a_column_look_better() -> None:
    """Luck that a seed brings to all images is shared by both halves; only other seeds can tell it."""
    generator = np.random.default_rng(1)
    chance = np.clip(0.5 + generator.normal(0, 0.1, (600, 8, 3, 1)), 0, 1)
    correct = (generator.random((600, 8, 3, 150)) < chance).astype(np.float64)
    found = crossfit(correct, IMAGES, highest(range(correct.shape[-3]))).value
    assert abs(found.mean() - 0.5) < 4 * found.std() / np.sqrt(len(found))


def test_an_average_over_picks_is_no_more_certain_between_seeds_than_what_was_picked() -> None:
    generator = np.random.default_rng(1)
    chance = np.clip(0.5 + generator.normal(0, 0.1, (300, 8, 10, 1)), 0, 1)
    correct = (generator.random((300, 8, 10, 150)) < chance).astype(np.float64)
    found, columns = crossfit(correct, IMAGES, highest(range(correct.shape[-3]))), spread(correct, IMAGES)
    assert found.seed_variance.mean() > 0.95 * columns.seed_variance.mean()


def test_halves_part_no_group_and_are_as_even_by_groups_of_each_class() -> None:
    groups = np.repeat(np.arange(30), 5)
    half = stratified_halves(TestImages(labels=groups % 3, groups=groups + 7))
    by_group = half.reshape(30, 5)
    assert (by_group == by_group[:, :1]).all()
    assert [by_group[label::3, 0].sum() for label in range(3)] == [5, 5, 5]


@pytest.mark.parametrize("seeds", [1, 4])
def test_images_that_some_seeds_were_not_tested_on_change_nothing_of_a_fixed_column(seeds: int) -> None:
    correct = noise(4, seeds)[0]
    correct[:, np.random.default_rng(1).random((seeds, 150)) < 0.4] = np.nan
    found = crossfit(correct, IMAGES, lambda means: np.full(means.shape[:-1], 2))
    alone = spread(correct[2], IMAGES)
    assert found.value == pytest.approx(alone.value)
    assert found.per_seed == pytest.approx(alone.per_seed)


def test_a_column_is_chosen_by_the_images_that_its_seeds_were_tested_on() -> None:
    correct = np.zeros((2, 4, 150))
    correct[1, :, 1::3] = 1
    correct[:, :, [place for place in range(150) if place % 3 != 1]] = np.nan
    correct[:, :, [0, 101, 141]] = 0  # each class has an image
    assert crossfit(correct, IMAGES, highest(range(2))).value > 0.5


def test_seeds_that_pick_do_not_score_at_any_budget() -> None:
    scores = np.random.default_rng(0).normal(0.5, 0.05, (500, 2, 10, 4))
    scores[:, 0] = scores[:, 1]
    found = np.array([pick_by_other_seeds(study, 1, highest(range(10))).mean(axis=-1) for study in scores])
    assert (found[:, 0] == found[:, 1]).all()
    assert abs(found.mean() - 0.5) < 4 * found[:, 0].std() / np.sqrt(len(found))
    assert scores[:, 1].mean(axis=-1).max(axis=1).mean() > 0.53
