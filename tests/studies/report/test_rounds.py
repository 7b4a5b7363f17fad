from pathlib import Path

from tests.studies.analysis.test_rounds import APART, COLUMNS, in_rounds, of_networks
from tests.studies.conftest import STRENGTH, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.incomplete import incomplete_tables
from tlexp.studies.report.markdown import build_markdown
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.summary import summary


def found(make_table: MakeTable, *, run: int, stopped: int | None = None) -> Findings:
    table = make_table(
        seeds=10, columns=COLUMNS, budgets=("2", "20"), strength=STRENGTH | APART, failed=(), waiting=(), noise=0.03,
        per_class=(200,) * 4,
    )  # fmt: skip
    return analyse(in_rounds(table, run=run, stopped=stopped))


def test_columns_that_left_are_named_with_their_round_and_their_seeds(make_table: MakeTable) -> None:
    [table] = [each for each in incomplete_tables(found(make_table, run=10)) if each.title.startswith("Left after")]
    assert table.rows == tuple(
        (f"freeze-{depth}", labels, "1", "3", "surely worse than another by more than the margin")
        for labels in ("2", "20")
        for depth in (0, 1, 2)
    )


def test_the_page_says_how_seeds_came(make_table: MakeTable, undrawn: None) -> None:
    page = build_markdown(build_document(found(make_table, run=10)))
    assert "Data seeds come in rounds, of 3 and 10, while a budget is open: round 2 was the last." in page
    assert "minutes ended" not in page
    assert "in rounds" not in build_markdown(build_document(analyse(make_table())))


def test_the_page_says_what_ended_the_rounds(make_table: MakeTable, undrawn: None) -> None:
    page = build_markdown(build_document(found(make_table, run=3, stopped=1)))
    assert (
        "The study's minutes ended the rounds after round 1 of at most 2; more study.minutes go on with them." in page
    )


def test_networks_that_others_left_behind_are_named(make_table: MakeTable, undrawn: None) -> None:
    findings = analyse(of_networks(make_table))
    page = build_markdown(build_document(findings))
    told = "Trained with no more data seeds, for other networks reached more when trained: d after 3, c after 10."
    assert page.count(told) == 1
    assert " ".join(summary(findings, Path("multirun/shapes")).split()).count(told) == 1
    assert "those go on that have reached most: 3 after round 1 and 2 after round 2." in page
    assert page.count("| others reached more when trained |") == 8
    assert "Everything else is surely worse" not in page
    two = build_markdown(build_document(analyse(of_networks(make_table, "ab"))))
    assert "reached m" not in two
