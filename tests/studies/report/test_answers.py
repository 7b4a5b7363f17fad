"""The answer of a study: the largest budget first, and others together where the same is said of them."""

import dataclasses
import re
from collections.abc import Mapping

import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings, Interval, Recommendation, Sureness
from tlexp.studies.analysis.table import HURRIED
from tlexp.studies.report.answers import answers

BUDGETS = ("2", "5", "20", "100")
BOUNDS = {"2": 0.238, "5": 0.121, "20": 0.08, "100": 0.027}


@pytest.fixture
def found(make_table: MakeTable) -> Findings:
    return analyse(make_table(columns=DEPTHS, failed=(), waiting=(), seeds=3))


def said(found: Findings, taken: Mapping[str, str | None], **changes: object) -> list[str]:
    """Return the sentences of a study that takes these columns, of which neighbours may be the best."""
    told = tuple(_take(each, taken[each.labels], **changes) for each in found.recommendations)
    return [answer.sentence() for answer in answers(dataclasses.replace(found, recommendations=told))]


def _take(each: Recommendation, column: str | None, **changes: object) -> Recommendation:
    bound = BOUNDS[each.labels]
    values = {
        "column": column,
        "sureness": Sureness.nearly if bound < 0.03 else Sureness.open,
        "contenders": ("freeze-5", "freeze-4"),
        "accuracy": Interval(value=round(0.9 - bound, 2), low=0.5, high=0.95),
        "candidates": tuple(dataclasses.replace(one, bound=bound) for one in each.candidates),
    }
    return dataclasses.replace(each, **(values | changes))


def test_the_largest_budget_is_told_first_and_the_others_with_their_figures_in_order(found: Findings) -> None:
    first, rest = said(found, dict.fromkeys(BUDGETS, "freeze-5"))
    assert first == (
        "With 100 labels per class take freeze-5, 5 of 5 units frozen (to layer4): balanced accuracy 0.87 (0.50 .. "
        "0.95). No column that competes is better by more than 2.7 points (95 %): nearly decided. It trains less than "
        "1 % of the parameters."
    )
    assert rest == (
        "With 2, 5 and 20 labels per class take freeze-5 too: balanced accuracy 0.66, 0.78, 0.82. No column that "
        "competes is better by more than 23.8 points with 2, 12.1 with 5 and 8 with 20 (95 %): open."
    )


def test_what_changes_by_chance_is_told_in_one_sentence_that_says_so(found: Findings) -> None:
    first, rest = said(found, {"2": "freeze-4", "5": "freeze-5", "20": "freeze-4", "100": "freeze-4"})
    assert first.startswith("With 100 labels per class take freeze-4, ")
    assert rest.startswith(
        "With 2 labels per class take freeze-4, with 5 freeze-5, with 20 freeze-4: balanced accuracy 0.66, 0.78, 0.82. "
    )
    assert " These changes may be chance: of the two columns that change places neither is known to be better." in rest
    assert rest.endswith(" Here freeze-5 is 5 of 5 units frozen (to layer4).")


def test_one_change_is_told_by_its_budgets(found: Findings) -> None:
    _, rest = said(found, {"2": "freeze-5", "5": "freeze-5", "20": "freeze-5", "100": "freeze-4"})
    assert rest.startswith("With 2, 5 and 20 labels per class take freeze-5, 5 of 5 units frozen (to layer4): balanced")
    assert rest.endswith(
        "The change between 20 and 100 may be chance: neither of the two columns is known to be better there."
    )


@pytest.mark.parametrize("contenders", [("freeze-5",), ("freeze-4",), ()])
def test_a_change_that_is_no_chance_begins_a_sentence(found: Findings, contenders: tuple[str, ...]) -> None:
    """What is taken may be surely worse than the best, within the margin: then it is told from others."""
    taken = {"2": "freeze-4", "5": "freeze-4", "20": "freeze-5", "100": "freeze-5"}
    told = said(found, taken, contenders=contenders)
    assert [each.partition(" labels")[0] for each in told] == ["With 100", "With 20", "With 2 and 5"]
    assert "chance" not in " ".join(told)


@pytest.mark.parametrize("sure", ["20", "100"])
def test_what_is_told_apart_with_one_of_two_budgets_changes_by_no_chance(found: Findings, sure: str) -> None:
    taken = {"2": "freeze-4", "5": "freeze-4", "20": "freeze-4", "100": "freeze-5"}
    told = tuple(_take(each, taken[each.labels]) for each in found.recommendations)
    told = tuple(dataclasses.replace(each, contenders=(taken[sure],)) if each.labels == sure else each for each in told)
    sentences = [each.sentence() for each in answers(dataclasses.replace(found, recommendations=told))]
    assert "chance" not in " ".join(sentences)


def test_degrees_of_sureness_are_told_with_their_budgets(found: Findings) -> None:
    degrees = {"2": Sureness.open, "5": Sureness.nearly, "20": Sureness.nearly, "100": Sureness.decided}
    told = tuple(_take(each, "freeze-5", sureness=degrees[each.labels]) for each in found.recommendations)
    told = (*told[:-1], dataclasses.replace(told[-1], labels="all"))
    table = dataclasses.replace(
        found.table, skipped={"none frozen": "to fit study.minutes=9; the study would take about 2 h with it"}
    )
    first, rest = answers(dataclasses.replace(found, recommendations=told, table=table))
    assert "Only 6 columns were compared: the others did not fit into study.minutes." in first.sentence()
    assert rest.sentence().endswith(" (95 %): open with 2, nearly decided with 5 and 20."), "and is told once"


def test_how_few_columns_were_compared_is_told_again_where_it_differs(found: Findings) -> None:
    sure = {"2": Sureness.one_seed, "5": Sureness.open, "20": Sureness.open, "100": Sureness.open}
    first, rest, _ = of_each(found, "labels=5,20 of none frozen: full fine-tuning", sureness=sure)
    assert "study.minutes" not in first
    assert rest.endswith("Only 6 columns were compared: the others did not fit into study.minutes.")
    first, rest, last = of_each(found, "none frozen: full fine-tuning", sureness=sure)
    assert "Only 6 columns were compared" in first
    assert "study.minutes" not in rest + last
    sure["5"] = Sureness.one_seed
    _, alone, _ = of_each(found, "none frozen: full fine-tuning", sureness=sure)
    assert alone.startswith("With 20 ")
    assert "study.minutes" not in alone
    _, rest = of_each(
        found,
        "none frozen: full fine-tuning",
        sureness={**dict.fromkeys(BUDGETS, Sureness.open), "100": Sureness.one_seed},
    )
    assert "Only 6 columns were compared" in rest, "where the largest budget had no bound to say it beside"


def test_what_is_better_than_all_others_is_so_with_several_budgets(found: Findings) -> None:
    candidates = tuple(dataclasses.replace(each, bound=0.0) for each in found.recommendations[0].candidates)
    _, rest = said(found, dict.fromkeys(BUDGETS, "freeze-5"), candidates=candidates, sureness=Sureness.decided)
    assert rest.endswith(" 0.82. It is better than every other column that competes (95 %): decided.")


def test_what_is_better_than_all_others_with_one_of_several_budgets_loses_no_0_points(found: Findings) -> None:
    bounds = {"2": 0.0, "5": 0.038, "20": 0.02, "100": 0.0}
    candidates = {
        labels: tuple(dataclasses.replace(each, bound=bound) for each in found.recommendations[0].candidates)
        for labels, bound in bounds.items()
    }
    _, rest = of_each(found, candidates=candidates, sureness=dict.fromkeys(BUDGETS, Sureness.open))
    told = "better at all with 2, nor by more than 3.8 points with 5 and 2 with 20 (95 %): open."
    assert rest.endswith(f" No column that competes is {told}")


def test_what_may_be_lost_alike_with_several_budgets_is_told_once(found: Findings) -> None:
    candidates = tuple(dataclasses.replace(each, bound=0.04) for each in found.recommendations[0].candidates)
    _, rest = said(found, dict.fromkeys(BUDGETS, "freeze-5"), candidates=candidates, sureness=Sureness.open)
    assert rest.endswith(" No column that competes is better by more than 4 points (95 %): open.")


def test_what_has_no_bound_is_told_together_where_the_reason_is_the_same(found: Findings) -> None:
    told = said(found, dict.fromkeys(BUDGETS, "freeze-5"), sureness=Sureness.one_seed)
    assert len(told) == 2
    assert told[1].endswith(" One seed bounds nothing: how much better another column may be is open.")


def of_each(found: Findings, *skipped: str, **changes: Mapping[str, object]) -> list[str]:
    """Return the sentences where freeze-5 is taken, with changes by budget, and the minutes have left this out."""
    told = tuple(
        _take(each, "freeze-5", **{name: values[each.labels] for name, values in changes.items()})
        for each in found.recommendations
    )
    table = dataclasses.replace(found.table, skipped=dict.fromkeys(skipped, f"{HURRIED}9"))
    return [each.sentence() for each in answers(dataclasses.replace(found, recommendations=told, table=table))]


def test_what_has_no_bound_for_other_reasons_is_told_apart(found: Findings) -> None:
    sure = {"2": Sureness.one_seed, "5": Sureness.alone, "20": Sureness.alone, "100": Sureness.open}
    assert [each.partition(" labels")[0] for each in of_each(found, sureness=sure)] == [
        "With 100",
        "With 5 and 20",
        "With 2",
    ]


def test_a_bound_of_everything_is_no_figure(found: Findings) -> None:
    whole = tuple(dataclasses.replace(each, bound=1.0) for each in found.recommendations[0].candidates)
    _, rest = of_each(found, candidates=dict.fromkeys(BUDGETS, whole), sureness=dict.fromkeys(BUDGETS, Sureness.open))
    assert rest.endswith(": so few data seeds bound nothing of 6 columns at once.")


def test_where_one_of_several_budgets_lacks_columns_that_is_said_of_no_other(found: Findings) -> None:
    _, rest = of_each(found, "labels=2 of none frozen: full fine-tuning")
    assert rest.endswith(" open. Only columns that fitted into study.minutes were compared.")


def test_what_was_measured_alone_is_not_taken_and_what_is_taken_then_is_not_taken_too(found: Findings) -> None:
    left_out = f"labels={','.join(BUDGETS)} of none frozen: full fine-tuning"
    sure = dict.fromkeys(BUDGETS, Sureness.alone)
    first, rest = of_each(found, left_out, sureness=sure)
    assert first.startswith("With 100 labels per class only freeze-5 was measured, ")
    assert rest.startswith("With 2, 5 and 20 labels per class only freeze-5 was measured: ")
    _, rest = of_each(found, left_out, sureness={**dict.fromkeys(BUDGETS, Sureness.open), "100": Sureness.alone})
    assert rest.startswith("With 2, 5 and 20 labels per class take freeze-5: ")


def test_budgets_without_advice_are_told_together_and_not_beside_others(found: Findings) -> None:
    chance = {"2": None, "5": None, "20": "freeze-5", "100": "freeze-5"}
    told = tuple(
        _take(each, chance[each.labels], sureness=Sureness.open if chance[each.labels] else Sureness.chance)
        for each in found.recommendations
    )
    sentences = [each.sentence() for each in answers(dataclasses.replace(found, recommendations=told))]
    assert len(sentences) == 3
    assert re.fullmatch(
        r"With 2 and 5 labels per class nothing is recommended: no column that competes is distinguishably better than "
        r"guessing \(0\.250\); the highest means are 0\.\d\d, 0\.\d\d\.",
        sentences[-1],
    )
    nothing = said(found, dict.fromkeys(BUDGETS, None), sureness=Sureness.nothing, best=None)
    assert nothing[1] == "With 2, 5 and 20 labels per class nothing was measured."


def test_a_study_without_recommendations_has_no_answer(found: Findings) -> None:
    assert answers(dataclasses.replace(found, recommendations=())) == ()
