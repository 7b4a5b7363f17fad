import dataclasses
import re

import numpy as np
import pytest

from tests.studies.conftest import CONTROLS, DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Verdict
from tlexp.studies.report.sentences import Explanation, explain, format_interval

CHANCE = -0.5755, 0.0
"""An accuracy of 1 / 4."""
FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def explained(make_table: MakeTable, labels: str = "5", **changes: object) -> Explanation:
    settings = {"columns": DEPTHS, "strength": FLAT, "failed": (), "waiting": (), "noise": 0.02} | changes
    return next(each for each in explain(analyse(make_table(**settings))) if each.recommendation.labels == labels)


def test_a_cheaper_depth_is_told_with_what_it_saves_and_loses(make_table: MakeTable) -> None:
    strength = {f"freeze-{depth}": (0.6 if depth < 4 else 0.1, 0.2) for depth in range(6)} | {"freeze-0": (0.63, 0.2)}
    found = explained(make_table, strength=strength, margin=0.06, per_class=(250,) * 4, seeds=10)
    assert found.recommendation.column == "freeze-3"
    assert found.recommendation.best in ("freeze-0", "freeze-1", "freeze-2")
    assert found.recommendation.contenders == ("freeze-3",)
    assert re.fullmatch(
        r"With 5 labels per class freeze 3 of 5 units \(to layer2\): 0\.\d{3} \(0\.\d{3} \.\. 0\.\d{3}\), "
        r"cross-fitted; it loses less than 0\.06 against the best and trains 70 % of the parameters\.",
        found.sentence(),
    )
    assert f"{found.recommendation.best} has the highest mean" in found.reasons()[0]
    assert "at once over all pairs of 6 columns" in found.reasons()[1]
    assert "A replicate of freeze-3 takes 7.5 seconds" in found.reasons()[2]
    assert re.search(r"Any margin from 0\.0\d\d on recommends freeze-3, or a cheaper column\.", found.change())
    assert found.recommendation.seconds == pytest.approx(7.4969)


def test_the_margin_at_which_the_change_is_promised_changes_it(make_table: MakeTable) -> None:
    settings = {"per_class": (250,) * 4, "seeds": 10}
    before = explained(make_table, margin=0.001, **settings)
    assert before.recommendation.column is None
    told = re.search(r"A margin of (0\.\d{3}) would have recommended (freeze-\d)", before.change())
    assert told is not None
    after = explained(make_table, margin=float(told[1]), **settings)
    assert after.recommendation.column == told[2]
    assert explained(make_table, margin=float(told[1]) - 0.0011, **settings).recommendation.column is None
    assert "chosen before a study, and one that is raised after the results promises nothing" in before.change()
    assert before.change().index("narrow the intervals most") < before.change().index("A margin of")


def test_every_margin_that_is_told_would_have_recommended_its_column(make_table: MakeTable) -> None:
    promised = 0
    strength = FLAT | {"freeze-0": (0.56, 0.2), "freeze-5": (0.3, 0.3)}
    for seed in range(4):
        settings = {"columns": DEPTHS, "strength": strength, "failed": (), "waiting": (), "seed": seed}
        settings |= {"per_class": (150,) * 4, "noise": 0.02}
        for each in explain(analyse(make_table(**settings))):
            told = re.search(r"A margin of (\S+) would have recommended (\S+);", each.change())
            if told is not None:
                promised += 1
                after = analyse(make_table(margin=float(told[1]), **settings))
                labels = each.recommendation.labels
                assert told[2] in [other.column for other in after.recommendations if other.labels == labels]
    assert promised > 4


def test_undecided_lists_the_contenders_and_what_would_narrow_it(make_table: MakeTable) -> None:
    found = explained(make_table)
    assert found.recommendation.column is None
    assert set(found.recommendation.contenders) == set(FLAT)
    assert found.recommendation.contenders[0] == found.recommendation.best
    assert "it is undecided: the data cannot tell 6 of 6 columns apart" in found.sentence()
    assert "if you must choose now, take freeze-5, the cheapest of them" in found.sentence()
    assert (found.recommendation.accuracy, found.recommendation.seconds) == (None, None)
    assert re.search(r"More (test images|data seeds) narrow the intervals most: \d+ % of", found.change())


def test_a_sentence_about_a_column_tells_the_figure_of_its_row(make_table: MakeTable) -> None:
    found = analyse(make_table(columns=DEPTHS, strength=FLAT, failed=(), waiting=()))
    for each in explain(found):
        told = each.recommendation
        assert told.verdict is Verdict.undecided
        reached = found.cells[told.best or "", told.labels].accuracy
        assert reached is not None
        assert f"{told.best} has the highest mean, {format_interval(reached)};" in each.sentence()


def test_a_cross_fitted_figure_says_so_beside_the_columns_own(make_table: MakeTable) -> None:
    table = make_table(columns=DEPTHS, strength=FLAT | {"freeze-5": (1.4, 0.2)}, failed=(), waiting=(), seeds=10)
    found = analyse(table)
    for each in explain(found):
        assert each.recommendation.column == "freeze-5"
        assert each.recommendation.accuracy is not None
        assert f"{format_interval(each.recommendation.accuracy)}, cross-fitted; it" in each.sentence()
        own = found.cells["freeze-5", each.recommendation.labels].accuracy
        assert own is not None
        assert any(
            f"the mean of freeze-5 in the tables is {format_interval(own)}." in reason for reason in each.reasons()
        )


def test_few_test_images_and_few_seeds_are_each_told_as_what_is_missing(make_table: MakeTable) -> None:
    few_images = explained(make_table, per_class=(15,) * 4, seeds=10, noise=0.001)
    assert "More test images narrow" in few_images.change()
    assert "more data seeds come second" in few_images.change()
    few_seeds = explained(make_table, per_class=(400,) * 4, seeds=3, noise=0.3)
    assert "More data seeds narrow" in few_seeds.change()
    assert "more test images come second" in few_seeds.change()


def test_the_best_of_all_is_told_so(make_table: MakeTable) -> None:
    found = explained(make_table, strength=FLAT | {"freeze-5": (1.4, 0.2)}, seeds=10)
    assert found.recommendation.column == "freeze-5"
    assert found.sentence().startswith("With 5 labels per class freeze 5 of 5 units (to layer4): ")
    assert "it is distinguishably better than every other column and trains less than 1 % of" in found.sentence()
    assert found.change() == "No smaller margin would."


def test_one_seed_recommends_nothing(make_table: MakeTable) -> None:
    found = explained(make_table, seeds=1, strength=FLAT | {"freeze-5": (2.5, 0.2)})
    assert found.recommendation.column is None
    assert found.recommendation.best == found.recommendation.contenders[0] == "freeze-5"
    assert len(found.recommendation.contenders) == 6
    assert "it is undecided: one seed gives no interval" in found.sentence()
    assert re.search(r"freeze-5 has the highest mean, \d\.\d{3} \(one seed\)\.", found.sentence())
    assert found.recommendation.accuracy is None


def test_chance_recommends_nothing_and_says_why(make_table: MakeTable) -> None:
    found = explained(make_table, strength=dict.fromkeys(FLAT, CHANCE), seeds=10, margin=0.5)
    assert found.recommendation.column is None
    assert (
        "nothing is recommended: none of the 6 columns that compete is distinguishably better than guessing (0.250)"
        in found.sentence()
    )
    assert "Controls" not in found.sentence()  # there are none


def test_the_interval_beside_nothing_beats_guessing_is_the_one_that_was_tested(make_table: MakeTable) -> None:
    """By its own interval the best of many columns often looks better than guessing."""
    strength = dict.fromkeys([*FLAT, *(column.name for column in CONTROLS)], (-0.47, 0.0))
    alone_above = 0
    for seed in range(12):
        table = make_table(strength=strength, failed=(), waiting=(), noise=0.02, seeds=3, seed=seed)
        found = analyse(table)
        for each in explain(found):
            best, labels = each.recommendation.best or "", each.recommendation.labels
            own = found.cells[best, labels].accuracy
            if each.recommendation.verdict is not Verdict.chance or own is None:
                continue
            told = re.search(rf"{best} has the highest mean, (\S+) \((\S+) \.\. (\S+)\), an interval", each.sentence())
            assert told is not None
            value, low, high = map(float, told.groups())
            assert low <= 0.25 <= high
            assert value == pytest.approx(own.value, abs=6e-4)
            assert each.sentence().endswith("that holds at once over all 6. Controls do not count.")
            alone_above += (own.low or 0) > 0.25
    assert alone_above > 0


@pytest.mark.parametrize(("images", "seeds", "first"), [(10, 10, "test images"), (300, 3, "data seeds")])
def test_at_chance_the_wider_share_is_advised_first(make_table: MakeTable, images: int, seeds: int, first: str) -> None:
    strength = dict.fromkeys(FLAT, CHANCE)
    found = explained(make_table, strength=strength, per_class=(images,) * 4, seeds=seeds, noise=0.02)
    assert found.recommendation.verdict is Verdict.chance
    assert found.change().startswith(f"More {first} narrow the intervals most")


def test_nothing_measured_is_said(make_table: MakeTable) -> None:
    failed = [(column.name, "5", seed) for column in DEPTHS for seed in range(5)]
    found = explained(make_table, failed=failed)
    assert found.sentence() == "With 5 labels per class nothing was measured."
    told = found.recommendation
    assert (told.column, told.best, told.contenders, told.accuracy, found.reasons()) == (None, None, (), None, ())


def test_a_single_column_has_nothing_to_be_compared_with(make_table: MakeTable) -> None:
    found = explained(make_table, columns=[DEPTHS[2], *CONTROLS], strength=make_strength(), missing=())
    assert found.recommendation.column is None
    assert found.recommendation.contenders == ("freeze-2",)
    assert "freeze-2 alone could be measured" in found.sentence()


def test_failures_are_told(make_table: MakeTable) -> None:
    found = explained(make_table, failed=[("freeze-2", "5", 1), ("freeze-2", "5", 3)])
    assert "freeze-2: 2 of 5 replicates did not finish." in found.reasons()
    lost = explained(make_table, failed=[("freeze-2", "5", seed) for seed in range(4)])
    assert any(each.startswith("freeze-2 has a single finished replicate") for each in lost.reasons())


def make_strength() -> dict[str, tuple[float, float]]:
    return FLAT | {column.name: (-0.4, 0.3) for column in CONTROLS}


def test_a_control_that_is_better_than_all_that_compete_is_told(make_table: MakeTable) -> None:
    settings = {"columns": (*DEPTHS, *CONTROLS), "per_class": (250,) * 4, "seeds": 10}
    level = FLAT | {column.name: (0.4, 0.2) for column in CONTROLS}
    assert "But beside them" not in explained(make_table, strength=level, **settings).sentence()
    told = explained(make_table, strength=level | {"scratch": (1.2, 0.2)}, **settings).sentence()
    assert re.search(r"; if you must .*\. But beside them, never recommended, these reach more: scratch \(from", told)
    assert told.count("(from scratch") == 1


def test_nothing_measured_is_said_of_a_study_that_has_not_begun(make_table: MakeTable) -> None:
    waiting = [(column.name, labels, seed) for column in DEPTHS for labels in ("2", "5") for seed in range(2)]
    table = make_table(columns=DEPTHS, budgets=("2", "5"), seeds=2, waiting=waiting, failed=(), missing=())
    empty = dataclasses.replace(table, labels=np.empty(0, dtype=np.int64), classes=(), record={})
    assert {each.sentence().partition(" nothing")[2] for each in explain(analyse(empty))} == {" was measured."}


def test_of_equal_columns_the_cheapest_is_named_everywhere(make_table: MakeTable) -> None:
    table = make_table(failed=(), waiting=(), missing=())
    cells = {
        (name, labels): dataclasses.replace(table.cells["freeze-5", labels], column=name) if name[-1] in "234" else cell
        for (name, labels), cell in table.cells.items()
    }
    told = explain(analyse(dataclasses.replace(table, cells=cells)))[0]
    assert told.recommendation.labels == "2"
    assert "freeze-5 has the highest mean" in told.sentence()
    assert told.sentence().count("(freeze-5, freeze-4, freeze-3, freeze-2") == 1
    assert told.reasons()[0].startswith("freeze-5 has the highest mean")
