import dataclasses

import numpy as np
import pytest

from tests.studies.analysis.test_decision import decided
from tests.studies.conftest import CONTROLS, DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Recommendation, Sureness
from tlexp.studies.analysis.intervals import TestImages

CHANCE = -0.5755, 0.0
"""An accuracy of 1 / 4."""
FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def recommended(make_table: MakeTable, labels: str = "5", **changes: object) -> Recommendation:
    settings = {"columns": DEPTHS, "strength": FLAT, "failed": (), "waiting": (), "noise": 0.02} | changes
    return next(each for each in analyse(make_table(**settings)).recommendations if each.labels == labels)


def test_candidates_are_told_with_what_they_may_lose(make_table: MakeTable) -> None:
    found = recommended(make_table, strength=FLAT | {"freeze-5": (1.4, 0.2)}, seeds=10)
    assert [candidate.column for candidate in found.candidates] == [column.name for column in DEPTHS]
    assert (found.column, found.contenders, found.sureness) == ("freeze-5", ("freeze-5",), Sureness.decided)
    assert found.bound == found.candidate("freeze-5").bound == 0
    assert all((candidate.bound or 0) > 0.05 for candidate in found.candidates if candidate.column != "freeze-5")
    assert max(found.candidates, key=lambda candidate: candidate.mean).column == found.best
    assert found.deciding is None


def test_the_share_that_a_column_trains_is_of_the_dearest(make_table: MakeTable) -> None:
    found = recommended(make_table)
    shares = [candidate.trained_share for candidate in found.candidates]
    assert shares == [column.trainable / DEPTHS[0].trainable for column in DEPTHS]


def test_what_is_not_decided_is_told_with_what_would(make_table: MakeTable) -> None:
    few_seeds = recommended(make_table, per_class=(2500,) * 4, seeds=3, noise=0.05)
    assert few_seeds.sureness in (Sureness.open, Sureness.nearly)
    assert few_seeds.deciding is not None
    assert (few_seeds.deciding.seeds or 0) > 3
    few_images = recommended(make_table, per_class=(15,) * 4, seeds=10, noise=0.001)
    assert few_images.deciding is not None
    assert few_images.deciding.seeds is None
    assert few_images.deciding.least > 0.01
    told = few_images.deciding.images or (few_images.deciding.both or (0, 0))[1]
    assert told > 60


def test_the_size_that_is_told_decides_about_as_often_as_not(make_table: MakeTable) -> None:
    settings = {"per_class": (1000,) * 4, "noise": 0.05, "budgets": ("5", "20", "100"), "missing": (), "margin": 0.03}
    told = recommended(make_table, seeds=3, **settings)
    assert told.deciding is not None
    assert told.deciding.seeds is not None
    later = [recommended(make_table, seeds=told.deciding.seeds, seed=seed, **settings) for seed in (3, 4, 5)]
    assert all(each.bound is not None and told.bound is not None and each.bound < told.bound for each in later)
    assert all(each.bound < 0.06 for each in later)


def test_without_a_bound_nothing_would_decide(make_table: MakeTable) -> None:
    one = recommended(make_table, seeds=1)
    assert (one.sureness, one.bound, one.deciding) == (Sureness.one_seed, None, None)
    chance = recommended(make_table, strength=dict.fromkeys(FLAT, CHANCE), seeds=10, margin=0.5)
    assert (chance.sureness, chance.column, chance.bound, chance.deciding) == (Sureness.chance, None, None, None)


def test_a_single_column_and_nothing_at_all_are_told_apart(make_table: MakeTable) -> None:
    strength = FLAT | {column.name: (-0.4, 0.3) for column in CONTROLS}
    alone = recommended(make_table, columns=[DEPTHS[2], *CONTROLS], strength=strength, missing=())
    assert (alone.sureness, alone.column, alone.bound) == (Sureness.alone, "freeze-2", None)
    nothing = recommended(make_table, failed=[(column.name, "5", seed) for column in DEPTHS for seed in range(5)])
    assert (nothing.sureness, nothing.column, nothing.best) == (Sureness.nothing, None, None)
    assert (nothing.candidates, nothing.seeds, nothing.left_out) == ((), (), ())


def test_the_accuracy_told_of_the_best_of_equals_is_not_the_highest_mean(make_table: MakeTable) -> None:
    gaps = []
    for seed in range(8):
        table = make_table(columns=DEPTHS, strength=FLAT, failed=(), waiting=(), seed=seed)
        for labels in table.budgets:
            decision = decided(table, labels)
            told = decision.crossfitted(decision.rule(), TestImages(labels=table.labels))
            assert told is not None
            gaps.append(decision.means.max() - float(told.value))
    assert np.mean(gaps) > 0.005


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_bound_is_narrower_than_by_intervals_of_all_pairs(make_table: MakeTable, seeds: int) -> None:
    table = make_table(columns=DEPTHS, strength=FLAT, seeds=seeds, failed=(), waiting=())
    found = analyse(table)
    for each in found.recommendations:
        pairs = [
            (pair.high if pair.second == each.column else -(pair.low or 0))
            for pair in found.differences
            if pair.labels == each.labels and each.column in (pair.first, pair.second)
        ]
        assert each.bound is not None
        assert each.bound < max(high for high in pairs if high is not None)


def test_a_column_with_few_seeds_spoils_nothing_of_those_that_have_many(make_table: MakeTable) -> None:
    """Its own few seeds were lucky for all: it is told by its difference to the others, and they by all their seeds."""
    columns = tuple(column for column in DEPTHS if column.depth in (0, 4, 5))
    table = make_table(
        seeds=30, columns=columns, budgets=("5", "20"), failed=(), waiting=(), missing=(), per_class=(100,) * 4
    )
    whole = {each.labels: each for each in analyse(table).recommendations}
    cells = dict(table.cells)
    for labels in table.budgets:
        few = cells["freeze-0", labels]
        ranked = sorted(few.replicates, key=lambda each: -each.scores.mean())
        cells["freeze-0", labels] = dataclasses.replace(few, replicates=tuple(ranked[:3]))
    findings = analyse(dataclasses.replace(table, cells=cells))
    for advised in findings.recommendations:
        assert advised.column is not None
        assert advised.column == whole[advised.labels].column != "freeze-0"
        assert len(advised.seeds) == 30
        reached = findings.cells[advised.column, advised.labels].accuracy
        assert reached is not None
        assert advised.candidate(advised.column).mean == pytest.approx(reached.value)
        assert advised.accuracy is not None
        assert advised.accuracy.value == pytest.approx(reached.value, abs=0.01)
        own = findings.cells["freeze-0", advised.labels].accuracy
        assert own is not None
        assert advised.candidate("freeze-0").mean < own.value
