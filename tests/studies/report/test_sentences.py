import dataclasses
import re

import numpy as np
import pytest

from tests.studies.conftest import CONTROLS, DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import DecidingSize, Departure, Sureness
from tlexp.studies.analysis.table import BESIDE, Role
from tlexp.studies.report.sentences import HOW_SURE, Explanation, explain, format_interval

CHANCE = -0.5755, 0.0
"""An accuracy of 1 / 4."""
FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def explained(make_table: MakeTable, labels: str = "5", **changes: object) -> Explanation:
    settings = {"columns": DEPTHS, "strength": FLAT, "failed": (), "waiting": (), "noise": 0.02} | changes
    return next(each for each in explain(analyse(make_table(**settings))) if each.recommendation.labels == labels)


def test_the_sentence_says_what_to_take_what_it_may_cost_and_how_sure_it_is(make_table: MakeTable) -> None:
    strength = {f"freeze-{depth}": (0.6 if depth < 4 else 0.1, 0.2) for depth in range(6)} | {"freeze-0": (0.63, 0.2)}
    found = explained(make_table, strength=strength, margin=0.06, per_class=(250,) * 4, seeds=10)
    assert found.recommendation.column == "freeze-3"
    assert found.recommendation.best in ("freeze-0", "freeze-1", "freeze-2")
    assert re.match(
        r"With 5 labels per class take freeze-3, 3 of 5 units frozen \(to layer2\): balanced accuracy 0\.\d\d \("
        r"0\.\d\d \.\. 0\.\d\d\)\. No column that competes is better by more than \d\.\d points \(95 %\): decided\. "
        r"It trains 70 % of the parameters\. ",
        found.sentence(),
    )
    assert f"{found.recommendation.best} has the highest mean" in found.reasons()[0]
    assert re.fullmatch(r"The mean of freeze-3 is 0\.0\d\d lower, and it costs no more\.", found.reasons()[1])
    favoured = dataclasses.replace(found, recommendation=dataclasses.replace(found.recommendation, leeway=0.0314))
    assert favoured.reasons()[1].endswith(
        "lower, no more than the standard error of their difference over the seeds (0.031): then the network is taken "
        "that ImageNet's results favour."
    )
    assert found.change() == "Nothing has to: it is decided within the margin."


def test_the_bound_that_is_told_is_rounded_up(make_table: MakeTable) -> None:
    for labels in ("2", "5", "20", "100"):
        found = explained(make_table, labels, seeds=10)
        told = re.search(r"(?:by more than|is at most) (\S+) points? \(95 %\)", found.sentence())
        assert told is not None
        assert found.recommendation.bound is not None
        assert 0 <= float(told[1]) / 100 - found.recommendation.bound < 0.001


def test_the_degrees_of_sureness_are_told(make_table: MakeTable) -> None:
    settings = {"seeds": 10, "per_class": (200,) * 4}
    bound = explained(make_table, margin=1e-6, **settings).recommendation.bound
    assert bound is not None
    nearly = explained(make_table, margin=bound / 2, **settings)
    assert nearly.answer().endswith("(95 %): nearly decided.")
    assert explained(make_table, margin=bound / 9).answer().endswith("(95 %): open.")


def test_what_cannot_be_told_from_the_best_is_named_with_its_cost(make_table: MakeTable) -> None:
    found = explained(make_table)
    others = [name for name in found.recommendation.contenders if name != found.recommendation.column]
    assert len(others) == 5
    told = found.sentence().partition("Not told from the best: ")[2]
    assert [part.partition(" (trains ")[0] for part in told.rstrip(".").split("), ")] == others
    assert ("freeze-4 (trains 22 %)" in told) == ("freeze-4" in others)


def test_many_contenders_are_counted(make_table: MakeTable) -> None:
    columns = [dataclasses.replace(DEPTHS[depth % 6], name=f"column-{depth}") for depth in range(9)]
    strength = {column.name: (0.5, 0.2) for column in columns}
    found = explained(make_table, columns=columns, strength=strength)
    assert len(found.recommendation.contenders) == 9
    assert found.sentence().endswith(" and 2 more.")


def test_a_cross_fitted_figure_says_so_beside_the_columns_own(make_table: MakeTable) -> None:
    table = make_table(columns=DEPTHS, strength=FLAT | {"freeze-5": (1.4, 0.2)}, failed=(), waiting=(), seeds=10)
    found = analyse(table)
    for each in explain(found):
        assert each.recommendation.column == "freeze-5"
        assert each.recommendation.accuracy is not None
        assert f"{format_interval(each.recommendation.accuracy)}, cross-fitted. " in each.taken()
        assert f": balanced accuracy {format_interval(each.recommendation.accuracy, digits=2)}. " in each.answer()
        assert not any("In the tables" in reason for reason in each.reasons())  # its mean is told as the highest


def test_the_tables_figure_is_told_beside_a_cheaper_column_than_the_highest(make_table: MakeTable) -> None:
    strength = {f"freeze-{depth}": (0.6 if depth < 4 else 0.1, 0.2) for depth in range(6)} | {"freeze-0": (0.63, 0.2)}
    found = explained(make_table, strength=strength, margin=0.06, per_class=(250,) * 4, seeds=10)
    own = found.findings.cells["freeze-3", "5"].accuracy
    assert own is not None
    assert f"In the tables freeze-3 has {format_interval(own)}." in found.reasons()


def deciding(make_table: MakeTable, **size: object) -> str:
    found = explained(make_table)
    sized = DecidingSize(**({"seeds": None, "images": None, "both": None, "least": 0.0211, "pool": False} | size))
    told = dataclasses.replace(found.recommendation, deciding=sized)
    words = dataclasses.replace(found, recommendation=told)
    assert words.deciding() in words.sentence()
    assert words.deciding() == words.change()
    return words.deciding()


def test_what_would_decide_is_told_by_what_is_short(make_table: MakeTable) -> None:
    told = deciding(make_table, seeds=12, least=0.004)
    assert told == "About 12 data seeds (study.seeds=12) would decide it."
    told = deciding(make_table, seeds=12, images=2400, least=0.004)
    assert told == "About 12 data seeds (study.seeds=12) would decide it, or about 2,400 test images."
    start = "Data seeds alone would not decide it, for 240 test images leave 2.2 points"
    assert deciding(make_table, images=2400) == f"{start}; about 2,400 test images would."
    both = f"{start}; about 30 data seeds and 2,400 test images together would."
    assert deciding(make_table, both=(30, 2400)) == both
    assert deciding(make_table) == f"{start}, nor would a hundred times as many test images."
    assert "all seeds draw from one pool" in deciding(make_table, pool=True)
    many = deciding(make_table, both=(100, 2400), least=0.004)
    assert many.startswith("A hundred data seeds would not decide it; about 100 data seeds and 2,400 test images")


def test_the_best_of_all_is_told_so(make_table: MakeTable) -> None:
    found = explained(make_table, strength=FLAT | {"freeze-5": (1.4, 0.2)}, seeds=10)
    start = (
        r"With 5 labels per class take freeze-5, 5 of 5 units frozen \(to layer4\): balanced accuracy 0\.\d\d \(.{12}\)"
    )
    assert re.match(start, found.sentence())
    assert found.answer().endswith(". It is better than every other column that competes (95 %): decided.")
    assert "trains less than 1 % of the parameters" in found.sentence()


def test_what_columns_train_is_told_where_they_differ_in_it(make_table: MakeTable) -> None:
    found = explained(make_table, strength=FLAT, seeds=10)
    assert "(trains 70 %)" in found.details()
    alike = tuple(dataclasses.replace(each, trained_share=0.004) for each in found.recommendation.candidates)
    same = dataclasses.replace(found, recommendation=dataclasses.replace(found.recommendation, candidates=alike))
    assert "train" not in same.details()


def test_one_seed_takes_the_highest_mean_and_says_that_it_bounds_nothing(make_table: MakeTable) -> None:
    found = explained(make_table, seeds=1, strength=FLAT | {"freeze-5": (2.5, 0.2)})
    assert found.recommendation.column == found.recommendation.best == "freeze-5"
    assert re.search(
        r"take freeze-5, .*: balanced accuracy \d\.\d\d \(no interval\)\. One seed bounds nothing: .*", found.sentence()
    )
    assert "study.seeds=3" in found.change()


def test_columns_without_shared_seeds_are_told_without_a_bound(make_table: MakeTable) -> None:
    failed = [("freeze-0", "5", 0), ("freeze-0", "5", 1), ("freeze-1", "5", 2), ("freeze-1", "5", 3)]
    strength = FLAT | {"freeze-0": (2.0, 0.2)}
    found = explained(make_table, seeds=4, failed=failed, strength=strength)
    assert found.recommendation.column == "freeze-0"
    assert "How much better another may be is open: two columns share too few seeds" in found.sentence()
    assert found.change() == "Runs of all columns with the same data seeds."


def test_bounds_as_wide_as_the_scale_are_told_as_such_and_seeds_are_asked_for(make_table: MakeTable) -> None:
    """Twelve columns and three seeds of one budget: all share their seeds."""
    columns = [dataclasses.replace(DEPTHS[0], name=f"c{number}", depth=None, role=Role.way) for number in range(12)]
    strength = {column.name: (1.0, 0.9) for column in columns}
    found = explained(make_table, columns=columns, strength=strength, budgets=("5",), missing=(), seeds=3, noise=1.5)
    assert found.recommendation.bound == 1
    assert "is open: so few data seeds bound nothing of 12 columns at once." in found.answer()
    assert re.search(r"would( not)? decide it", found.change())


def test_chance_recommends_nothing_and_says_why(make_table: MakeTable) -> None:
    found = explained(make_table, strength=dict.fromkeys(FLAT, CHANCE), seeds=10, margin=0.5)
    assert found.recommendation.column is None
    assert (
        "nothing is recommended: none of the 6 columns that compete is distinguishably better than guessing (0.250)"
        in found.sentence()
    )
    assert "Controls" not in found.sentence()  # there are none
    assert found.change().startswith("More data seeds and test images narrow the intervals.")


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
            if each.recommendation.sureness is not Sureness.chance or own is None:
                continue
            told = re.search(rf"{best} has the highest mean, (\S+) \((\S+) \.\. (\S+)\), an interval", each.sentence())
            assert told is not None
            value, low, high = map(float, told.groups())
            assert low <= 0.25 <= high
            assert value == pytest.approx(own.value, abs=6e-4)
            assert each.sentence().endswith("that holds at once over all 6. Controls do not count.")
            alone_above += (own.low or 0) > 0.25
    assert alone_above > 0


def test_nothing_measured_is_said(make_table: MakeTable) -> None:
    failed = [(column.name, "5", seed) for column in DEPTHS for seed in range(5)]
    found = explained(make_table, failed=failed)
    assert found.sentence() == "With 5 labels per class nothing was measured."
    told = found.recommendation
    assert (told.column, told.best, told.contenders, told.accuracy, found.reasons()) == (None, None, (), None, ())


def test_a_single_column_has_nothing_to_be_compared_with(make_table: MakeTable) -> None:
    found = explained(make_table, columns=[DEPTHS[2], *CONTROLS], strength=make_strength(), missing=())
    assert found.recommendation.column == "freeze-2"
    assert found.answer().endswith(". It alone could be measured: there is nothing to compare.")
    assert found.change() == "A second column with at least two finished runs."
    waiting = [(name, "5", seed) for name in ("random", "freeze-3") for seed in range(5)]
    only, begun = (
        explained(make_table, columns=columns, strength=make_strength(), missing=(), waiting=waiting)
        for columns in ([DEPTHS[2], *CONTROLS], [DEPTHS[2], DEPTHS[3], *CONTROLS])
    )
    assert only.answer().endswith(". It alone could be measured: there is nothing to compare."), "controls compete not"
    assert begun.answer().endswith(". It alone was measured so far: there is nothing to compare yet.")
    alone = hurried(found)
    assert alone.answer().startswith("With 5 labels per class only freeze-2 was measured, ")
    assert alone.answer().endswith(
        ". All that it would be compared with was left out by study.minutes: nothing is recommended."
    )
    assert alone.change().startswith("More study.minutes, fewer budgets")
    assert found.findings.last_taken is not None
    assert alone.findings.last_taken is None, "and no command makes a model of it"


def hurried(found: Explanation, title: str = "lite0: none frozen") -> Explanation:
    """Return an explanation in a study of which the minutes left a column out."""
    skipped = {title: "to fit study.minutes=9; the study would take about 2 h with it", "labels=1000": "too few images"}
    table = dataclasses.replace(found.findings.table, skipped=skipped)
    return dataclasses.replace(found, findings=dataclasses.replace(found.findings, table=table))


def test_how_sure_it_is_says_that_columns_were_left_out(make_table: MakeTable) -> None:
    found = explained(make_table)
    count = len(found.recommendation.candidates)
    told = (
        f"{HOW_SURE[found.recommendation.sureness]}. Only {count} columns were compared: the others did not fit into "
        "study.minutes."
    )
    assert told in hurried(found).answer()
    left = dataclasses.replace(found.recommendation, dropped={"freeze-9": Departure(round=1, surely=True)})
    one_more = dataclasses.replace(hurried(found), recommendation=left)
    assert f"Only {count + 1} columns were compared" in one_more.answer(), "it was, and left after a round"
    assert "study.minutes" not in found.answer()
    assert told in hurried(found, "labels=5 of none frozen: full fine-tuning").answer()
    for title in ("labels=20 of none frozen: full fine-tuning", "labels=50", *BESIDE.values()):
        assert "study.minutes" not in hurried(found, title).answer()


def test_what_left_by_its_mean_is_not_surely_worse(make_table: MakeTable) -> None:
    found = explained(make_table)
    for surely in (True, False):
        left = {"freeze-9": Departure(round=1, surely=surely)}
        alone = dataclasses.replace(found.recommendation, contenders=(found.recommendation.column,), dropped=left)
        told = dataclasses.replace(found, recommendation=alone).contenders()
        assert told == ("Everything else is surely worse than the best." if surely else "")


def test_failures_are_told(make_table: MakeTable) -> None:
    found = explained(make_table, failed=[("freeze-2", "5", 1), ("freeze-2", "5", 3)])
    assert "freeze-2: 2 of 5 runs did not finish." in found.reasons()
    lost = explained(make_table, failed=[("freeze-2", "5", seed) for seed in range(4)])
    assert any(each.startswith("freeze-2 has a single finished run") for each in lost.reasons())


def make_strength() -> dict[str, tuple[float, float]]:
    return FLAT | {column.name: (-0.4, 0.3) for column in CONTROLS}


def test_a_control_that_is_better_than_all_that_compete_is_told(make_table: MakeTable) -> None:
    settings = {"columns": (*DEPTHS, *CONTROLS), "per_class": (250,) * 4, "seeds": 10}
    level = FLAT | {column.name: (0.4, 0.2) for column in CONTROLS}
    assert "Beside them" not in explained(make_table, strength=level, **settings).sentence()
    told = explained(make_table, strength=level | {"scratch": (1.2, 0.2)}, **settings).sentence()
    assert re.search(r"take freeze-.*\. Beside them, never recommended, these reach more: scratch \(from", told)
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
    assert told.sentence().startswith("With 2 labels per class take freeze-5, ")
    assert "Not told from the best: freeze-4 (trains 22 %), freeze-3 (trains 70 %), freeze-2 (" in told.sentence()
    assert told.reasons()[0].startswith("freeze-5 has the highest mean")


def test_where_all_may_be_the_best_that_is_what_is_said(make_table: MakeTable) -> None:
    found = explained(make_table, strength=FLAT, seeds=3)
    assert len(found.recommendation.contenders) == len(found.recommendation.candidates) == 6
    assert re.search(
        r"\. All 6 columns that compete may be the best; what freeze-\d loses against the best is at most [\d.]+ "
        r"points \(95 %\): open\.$",
        found.answer(),
    )
