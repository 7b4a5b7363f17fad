import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.metrics import recall_score

from tlexp.studies.analysis.intervals import TestImages, interval, spread

LABELS = np.array([2, 0, 0, 1, 2, 2, 1, 0, 2, 2, 0, 1] * 5)
IMAGES = TestImages(labels=LABELS)


def told(seeds: int = 4, *, seed: int = 0, shift: float = 0.5, count: int = len(LABELS)) -> NDArray[np.float64]:
    """Return what was told right: images differ in ease, seeds in luck."""
    generator = np.random.default_rng(seed)
    score = shift + generator.normal(0, 1, count) + generator.normal(0, 0.2, (seeds, 1))
    return (score + generator.normal(0, 0.7, (seeds, count)) > 0).astype(float)


def test_value_is_the_balanced_accuracy_of_each_seed_and_their_mean() -> None:
    correct = told()
    predicted = np.where(correct == 1, LABELS, (LABELS + 1) % 3)
    expected = [recall_score(LABELS, each, average="macro") for each in predicted]
    found = spread(correct, IMAGES)
    assert found.per_seed == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(expected))


def test_variances_are_those_of_the_rule_counted_out_class_by_class() -> None:
    correct = told()
    found = spread(correct, IMAGES)
    assert found.seed_variance == pytest.approx(np.var(found.per_seed, ddof=1) / 4)
    means = correct.mean(axis=0)
    groups = [means[label == LABELS] for label in range(3)]
    squares = [float(((group - group.mean()) ** 2).sum()) for group in groups]
    shared = sum(squares) / (len(LABELS) - 3)
    expected = sum((own + shared) / len(group) / len(group) for own, group in zip(squares, groups, strict=True)) / 9
    assert found.image_variance == pytest.approx(expected)
    plain = sum(group.var(ddof=1) / len(group) for group in groups) / 9
    assert found.image_variance == pytest.approx(plain, rel=0.02)  # the shared image's worth hardly shows


def test_each_share_of_the_width_has_the_quantile_of_its_own_degrees_of_freedom() -> None:
    found = spread(told(), IMAGES)
    for family in (1, 15):
        tail = 0.025 / family
        square = t.isf(tail, 3) ** 2 * found.seed_variance
        square += t.isf(tail, found.image_freedom) ** 2 * found.image_variance
        assert found.half_width(family) == pytest.approx(np.sqrt(square))
    assert found.half_width(15) > found.half_width(1)
    assert IMAGES.counts.min() < found.image_freedom <= len(LABELS)


def test_order_of_the_images_and_names_of_the_classes_do_not_matter() -> None:
    correct, order = told(), np.random.default_rng(1).permutation(len(LABELS))
    found, other = spread(correct, IMAGES), spread(correct[:, order], TestImages(labels=LABELS[order] * 7 + 3))
    assert other.half_width() == pytest.approx(found.half_width())
    assert other.value == pytest.approx(found.value)


def test_studies_at_once_are_studies_one_by_one() -> None:
    many = np.stack([told(seed=seed) for seed in range(3)])
    whole = spread(many, IMAGES)
    singly = [spread(each, IMAGES) for each in many]
    assert whole.half_width(3) == pytest.approx([each.half_width(3) for each in singly])


@pytest.mark.parametrize("count", [20, 200, 2000])
@pytest.mark.parametrize("classes", [2, 5])
def test_an_accuracy_of_one_has_an_interval_like_wilsons(count: int, classes: int) -> None:
    images = TestImages(labels=np.arange(count) % classes)
    found = interval(spread(np.ones((5, count)), images))
    wilson = 1 / (1 + 1.96**2 / count)
    assert found.value == found.high == 1
    assert found.low is not None
    assert 1 - found.low == pytest.approx(1 - wilson, rel=0.3)
    assert interval(spread(np.zeros((5, count)), images)).high == pytest.approx(1 - found.low)


def test_two_columns_that_never_differed_may_still_differ() -> None:
    images = TestImages(labels=np.arange(200) % 4)
    found = interval(spread(np.zeros((10, 200)), images), family=15, lowest=-1.0)
    assert found.low is not None
    assert found.low == -(found.high or 0) < -0.02  # 200 images cannot rule out that 1 in 100 differs


def test_a_class_of_two_images_that_were_told_right_is_not_taken_to_be_told_right_always() -> None:
    labels = np.repeat([0, 1], [2, 400])
    found = spread(np.ones((10, 402)), TestImages(labels=labels))
    assert found.half_width() > 0.3


def test_one_seed_gives_no_interval_and_a_seed_more_does() -> None:
    one = interval(spread(told(1), IMAGES))
    assert (one.low, one.high) == (None, None)
    two = interval(spread(told(2), IMAGES))
    assert two.low is not None
    assert two.low < two.value


def test_an_interval_ends_at_what_is_possible() -> None:
    found = interval(spread(told(2, shift=0), IMAGES), family=50)
    assert (found.low, found.high) == (0.0, 1.0)


def test_classes_with_one_image_each_borrow_the_variance_between_all() -> None:
    images = TestImages(labels=np.arange(300))
    correct = told(5, shift=0, count=300)
    found = spread(correct, images)
    assert found.image_variance == pytest.approx(correct.mean(axis=0).var(ddof=1) / 300)
    assert np.isfinite(found.half_width())


def test_more_seeds_and_more_images_narrow_the_interval() -> None:
    widths = {}
    for seeds, count in itertools.product((3, 10), (100, 1000)):
        many = np.stack([told(seeds, count=count, seed=seed) for seed in range(50)])
        widths[seeds, count] = float(spread(many, TestImages(labels=np.arange(count) % 4)).half_width().mean())
    assert widths[10, 1000] < min(widths[3, 1000], widths[10, 100]) < max(widths.values()) == widths[3, 100]


def grouped(count: int, size: int, *, classes: int = 4, seed: int = 0) -> tuple[TestImages, NDArray[np.float64]]:
    """Return images of so many groups, each of one class, whose images are told right together, and 3 seeds of that."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(count), size)
    ease = generator.normal(0, 1, count)[groups] + generator.normal(0, 0.2, (3, count * size))
    return TestImages(labels=groups % classes, groups=groups), (ease > 0).astype(float)


def test_images_of_one_group_count_as_little_more_than_one() -> None:
    widths = {}
    for size in (1, 10):
        images, correct = grouped(200, size)
        widths[size] = float(spread(correct, images).half_width())
    assert widths[10] == pytest.approx(widths[1], rel=0.25)  # ten times the images, as many groups
    images, correct = grouped(200, 10)
    by_image = spread(correct, TestImages(labels=images.labels))
    assert spread(correct, images).half_width() > 2 * by_image.half_width()


def test_groups_of_one_image_are_no_groups_but_for_the_freedom() -> None:
    correct = told()
    alone = spread(correct, TestImages(labels=LABELS, groups=np.random.default_rng(0).permutation(len(LABELS))))
    plain = spread(correct, IMAGES)
    assert alone.image_variance == pytest.approx(plain.image_variance, rel=0.05)
    counts = IMAGES.counts[IMAGES.places]
    worth = 1 / np.sum((1 / (3 * counts)) ** 2)
    assert alone.image_freedom == pytest.approx(min(plain.image_freedom, worth - 1))


def test_a_group_in_several_classes_is_left_out_of_all_of_them_at_once() -> None:
    labels = np.tile([0, 1], 40)
    both, apart = np.repeat(np.arange(40), 2), np.arange(80)
    correct = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 2)[None].repeat(2, axis=0).astype(float)
    together = spread(correct, TestImages(labels=labels, groups=both)).image_variance
    singly = spread(correct, TestImages(labels=labels, groups=apart)).image_variance
    assert together == pytest.approx(2 * singly, rel=0.1)


def test_classes_of_a_single_group_are_compared_with_the_other_classes() -> None:
    labels = np.repeat(np.arange(12), 10)
    correct = np.repeat(np.arange(12) % 2, 10)[None].repeat(3, axis=0).astype(float)
    found = spread(correct, TestImages(labels=labels, groups=labels))
    assert found.image_variance == pytest.approx(np.var([0.0, 1.0] * 6, ddof=1) / 12, rel=0.02)


@pytest.mark.parametrize(("count", "known"), [(9, False), (10, True)])
def test_fewer_than_ten_groups_give_no_interval(count: int, known: bool) -> None:
    images, correct = grouped(count, 10, classes=2)
    assert (interval(spread(correct, images)).low is not None) == known


def test_ninety_five_of_a_hundred_intervals_of_grouped_images_hold() -> None:
    held, plain = 0, 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(24), generator.integers(1, 16, 24))
        images = TestImages(labels=groups % 3, groups=groups)
        share = generator.beta(2, 1, 24)[groups]
        correct = np.stack([generator.random(len(groups)) < share] * 3).astype(float)
        found, alone = spread(correct, images), spread(correct, TestImages(labels=images.labels))
        held += abs(found.value - 2 / 3) <= t.isf(0.025, found.image_freedom) * np.sqrt(found.image_variance)
        plain += abs(alone.value - 2 / 3) <= t.isf(0.025, alone.image_freedom) * np.sqrt(alone.image_variance)
    assert held / 400 > 0.93  # .95, and 400 draws may be off by .02
    assert plain / 400 < 0.9  # which is what the groups are for


def rest(*, pool: int = 200, seed: int = 0) -> tuple[TestImages, NDArray[np.float64]]:
    """Return a test split that all seeds saw, and a pool of which each saw another half."""
    generator, seeds, held_out = np.random.default_rng(seed), 6, 40
    count = held_out + pool
    labels = np.arange(count) % 2
    seen = np.ones((seeds, count), bool)
    for own in seen:
        own[held_out + generator.permutation(pool)[: pool // 2]] = False
    return TestImages(labels=labels), np.where(seen, told(seeds, seed=seed, count=count), np.nan)


def test_of_images_that_some_seeds_saw_the_mean_over_these_counts() -> None:
    images, values = rest()
    classes = [[own[~np.isnan(own)] for own in values.T[images.labels == label]] for label in range(2)]
    expected = np.mean([np.mean([own.mean() for own in seen if len(own)]) for seen in classes])
    assert spread(values, images).value == pytest.approx(expected)


def test_seeds_that_all_saw_the_same_images_are_what_they_were() -> None:
    images, values = rest(pool=0)
    more = TestImages(labels=np.append(images.labels, 0))
    never = spread(np.column_stack([values, np.full(len(values), np.nan)]), more)  # an image that nobody saw
    plain = spread(values, images)
    for name in ("value", "per_seed", "seed_variance", "image_variance", "image_freedom"):
        assert getattr(never, name) == pytest.approx(getattr(plain, name)), name


def test_the_variance_by_seeds_is_that_of_a_jackknife() -> None:
    images, values = rest()
    others = [float(spread(np.delete(values, seed, axis=0), images).value) for seed in range(6)]
    found = spread(values, images)
    assert found.seed_variance == pytest.approx(5 / 6 * np.sum((np.array(others) - np.mean(others)) ** 2))


def test_the_rest_of_the_pool_narrows_the_interval() -> None:
    whole, alone = 0.0, 0.0
    for seed in range(30):
        images, values = rest(seed=seed)
        whole += float(spread(values, images).half_width())
        alone += float(spread(values[:, :40], TestImages(labels=images.labels[:40])).half_width())
    assert whole < 0.75 * alone


def test_studies_of_images_of_their_own_are_studies_one_by_one() -> None:
    images, _ = rest()
    many = np.stack([rest(seed=seed)[1] for seed in range(3)])
    singly = [spread(each, images).half_width() for each in many]
    assert spread(many, images).half_width() == pytest.approx(singly)
