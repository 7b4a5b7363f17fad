import numpy as np
import pytest

from tlexp.studies.analysis.borrowing import SeedVariance, borrow, of_mean

LABELS = np.array([2.0, 5.0, 20.0, 100.0])
ALL = np.ones(4, dtype=bool)


def drawn(*, power: float = 0.0, pairs: int = 6, seeds: int = 3, studies: int = 400) -> np.ndarray:
    """Return differences whose variance is 1 at the smallest budget."""
    deviations = (LABELS / LABELS[0]) ** (-power / 2)
    return np.random.default_rng(0).normal(0, 1, (studies, 4, pairs, seeds)) * deviations[:, None, None]


def own(per_seed: np.ndarray) -> np.ndarray:
    return np.nanvar(per_seed, axis=-1, ddof=1)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_variance_is_its_own_or_what_the_pairs_other_budgets_say(power: float) -> None:
    per_seed = drawn(power=power)
    found = borrow(per_seed, LABELS, ALL)
    truth = (LABELS / LABELS[0]) ** -power
    assert (found.value >= own(per_seed) - 1e-12).all()
    median = np.median(found.value, axis=(0, 2)) / truth
    assert np.median(own(per_seed), axis=(0, 2)) / truth == pytest.approx(0.69, abs=0.06)  # of two degrees of freedom
    assert (median > 0.9).all()
    assert (median < 1.4).all()


def test_borrowed_freedom_is_more_than_the_own_and_less_than_that_of_all_budgets() -> None:
    found = borrow(drawn(), LABELS, ALL)
    assert found.freedom.min() > 2
    assert found.freedom.max() <= 4 * 2 / (1 + 3 * 0.5**2) + 1e-9


def test_more_than_four_budgets_lend_no_more_freedom_than_four() -> None:
    eight = np.concatenate([drawn(), drawn()[::-1]], axis=1)
    found = borrow(eight, np.concatenate([LABELS, 10 * LABELS]), np.ones(8, dtype=bool))
    assert 2 < found.freedom.min() <= found.freedom.max() <= 4 * 2 / (1 + 3 * 0.5**2) + 1e-9


def test_budgets_whose_seeds_are_equally_lucky_lend_nothing() -> None:
    same = np.repeat(drawn()[:, :1], 4, axis=1)
    found = borrow(same, LABELS, ALL)
    assert found.freedom == pytest.approx(2)
    assert found.value == pytest.approx(own(same))


def test_a_noisy_pair_does_not_lend_to_others() -> None:
    quiet = drawn()
    noisy = quiet.copy()
    noisy[:, :, 0] *= 30
    assert borrow(noisy, LABELS, ALL).value[:, :, 1:] == pytest.approx(borrow(quiet, LABELS, ALL).value[:, :, 1:])


def test_one_budget_and_one_pair_have_their_own_variance_alone() -> None:
    for per_seed, labels in ((drawn()[:, :1], LABELS[:1]), (drawn(pairs=1), LABELS)):
        found = borrow(per_seed, labels, np.ones(len(labels), dtype=bool))
        assert found.value == pytest.approx(own(per_seed))
        assert found.freedom == pytest.approx(2)


def test_what_lies_above_half_of_the_pool_neither_lends_nor_borrows() -> None:
    per_seed = drawn()
    lends = np.array([True, True, True, False])
    whole, part = borrow(per_seed, LABELS, lends), borrow(per_seed[:, :3], LABELS[:3], lends[:3])
    assert whole.value[:, 3] == pytest.approx(own(per_seed)[:, 3])
    assert whole.freedom[:, 3] == pytest.approx(2)
    assert whole.value[:, :3] == pytest.approx(part.value)
    assert whole.freedom[:, :3] == pytest.approx(part.freedom)


def test_seeds_that_lack_a_column_count_as_less() -> None:
    per_seed = drawn(seeds=5)
    per_seed[:, 1, 2, 3:] = np.nan
    per_seed[:, 2, 0, 1:] = np.nan
    per_seed[:, 3, 1] = np.nan
    found = borrow(per_seed, LABELS, ALL)
    assert np.isnan(found.value[:, 2, 0]).all()
    assert np.isnan(found.value[:, 3, 1]).all()
    assert np.isfinite(found.value[:, :2]).all()
    assert (found.freedom[:, 0, 1] < found.freedom[:, 0, 3]).all()


def test_columns_that_never_differ_have_no_variance() -> None:
    found = borrow(np.zeros((4, 3, 3)), LABELS, ALL)
    assert isinstance(found, SeedVariance)
    assert (found.value == 0).all()
    assert np.isfinite(found.freedom).all()


def test_the_means_of_draws_from_one_pool_vary_with_the_pool() -> None:
    """Each seed takes 20 of a pool of 80 numbers: its mean over seeds against that of all numbers."""
    generator = np.random.default_rng(0)
    errors, told, naive = [], [], []
    for _ in range(1500):
        pool = generator.normal(0, 1, 80)
        means = np.array([generator.choice(pool, 20, replace=False).mean() for _ in range(10)])
        errors.append(means.mean())
        told.append(of_mean(means.var(ddof=1), 10, 20 / 60))
        naive.append(of_mean(means.var(ddof=1), 10, 0.0))
    assert np.var(errors) == pytest.approx(np.mean(told), rel=0.15)
    assert np.var(errors) > 3 * np.mean(naive)
