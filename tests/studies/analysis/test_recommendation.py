import numpy as np
import pytest

from tests.studies.conftest import CONTROLS, DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.decision import decide
from tlexp.studies.analysis.findings import Recommendation, Verdict
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
    assert (found.column, found.cheapest, found.contenders) == ("freeze-5", "freeze-5", ("freeze-5",))
    assert found.candidate("freeze-5").worst_loss == 0
    assert all(candidate.worst_loss > 0.05 for candidate in found.candidates if candidate.column != "freeze-5")
    assert max(found.candidates, key=lambda candidate: candidate.mean).column == found.best


def test_the_share_that_a_column_trains_is_of_the_dearest(make_table: MakeTable) -> None:
    found = recommended(make_table)
    shares = [candidate.trained_share for candidate in found.candidates]
    assert shares == [column.trainable / DEPTHS[0].trainable for column in DEPTHS]


def test_the_margin_that_would_have_recommended_another_column_recommends_it(make_table: MakeTable) -> None:
    settings = {"per_class": (250,) * 4, "seeds": 10}
    before = recommended(make_table, margin=0.001, **settings)
    assert before.column is None
    assert before.with_wider_margin is not None
    worst = before.candidate(before.with_wider_margin).worst_loss
    assert recommended(make_table, margin=worst + 1e-6, **settings).column == before.with_wider_margin
    assert recommended(make_table, margin=worst - 1e-6, **settings).column is None


def test_no_margin_recommends_what_does_not_beat_guessing(make_table: MakeTable) -> None:
    found = recommended(make_table, strength=dict.fromkeys(FLAT, CHANCE), seeds=10, margin=0.5)
    assert found.verdict is Verdict.chance
    assert found.with_wider_margin is None


def test_nobody_is_offered_a_margin_that_is_out_of_all_proportion(make_table: MakeTable) -> None:
    found = recommended(make_table, per_class=(10,) * 4, seeds=5)
    assert found.verdict is Verdict.undecided
    assert min(candidate.worst_loss for candidate in found.candidates) >= 0.2
    assert found.with_wider_margin is None


@pytest.mark.parametrize(("strength", "verdict"), [(FLAT, "undecided"), (dict.fromkeys(FLAT, CHANCE), "chance")])
def test_the_images_share_of_the_width_grows_as_they_get_fewer(
    make_table: MakeTable, strength: dict[str, tuple[float, float]], verdict: str
) -> None:
    few = recommended(make_table, strength=strength, per_class=(15,) * 4, seeds=10, noise=0.001)
    many = recommended(make_table, strength=strength, per_class=(400,) * 4, seeds=3, noise=0.3)
    assert (few.verdict, many.verdict) == (verdict, verdict)
    assert few.image_share is not None
    assert many.image_share is not None
    assert 0 < many.image_share < 0.5 < few.image_share < 1


def test_what_is_decided_or_has_no_interval_has_no_deciding_width(make_table: MakeTable) -> None:
    decided = recommended(make_table, strength=FLAT | {"freeze-5": (1.4, 0.2)}, seeds=10)
    assert (decided.verdict, decided.image_share) == (Verdict.best, None)
    one = recommended(make_table, seeds=1)
    assert (one.verdict, one.image_share, one.with_wider_margin) == (Verdict.one_seed, None, None)


def test_a_single_column_and_nothing_at_all_are_told_apart(make_table: MakeTable) -> None:
    strength = FLAT | {column.name: (-0.4, 0.3) for column in CONTROLS}
    alone = recommended(make_table, columns=[DEPTHS[2], *CONTROLS], strength=strength, missing=())
    assert (alone.verdict, alone.best, alone.cheapest) == (Verdict.alone, "freeze-2", "freeze-2")
    nothing = recommended(make_table, failed=[(column.name, "5", seed) for column in DEPTHS for seed in range(5)])
    assert (nothing.verdict, nothing.best, nothing.cheapest) == (Verdict.nothing, None, None)
    assert (nothing.candidates, nothing.seeds, nothing.left_out) == ((), (), ())


def test_the_accuracy_told_of_the_best_of_equals_is_not_the_highest_mean(make_table: MakeTable) -> None:
    gaps = []
    for seed in range(8):
        table = make_table(columns=DEPTHS, strength=FLAT, failed=(), waiting=(), seed=seed)
        found, images = analyse(table), TestImages(labels=table.labels)
        for labels in table.budgets:
            decision = decide(table, labels, images, found.cells, found.differences)
            told = decision.crossfitted(decision.rule(), images)
            assert told is not None
            gaps.append(decision.means.max() - float(told.value))
    assert np.mean(gaps) > 0.005
