"""What of a study is not as planned, against the replicates that failed, wait or were never planned."""

import dataclasses
from pathlib import Path

from tests.studies.conftest import MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.incomplete import count_replicates, incomplete_tables, left_out_notices
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.summary import summary


def told(table: TextTable) -> list[dict[str, str]]:
    assert all(len(row) == len(table.head) for row in table.rows)
    return [dict(zip(table.head, row, strict=True)) for row in table.rows]


def test_tables_name_the_cells_that_failed_wait_or_were_never_planned(make_table: MakeTable) -> None:
    tables = {table.title: told(table) for table in incomplete_tables(analyse(make_table()))}
    assert [(r["column"], r["labels per class"], r["seeds"]) for r in tables["Did not finish"]] == [
        ("freeze-1", "20", "1")
    ]
    assert [tuple(row.values()) for row in tables["Not run yet"]] == [("freeze-4", "100", "1 of 5")]
    assert [tuple(row.values()) for row in tables["Not planned"]] == [("scratch-long", "2, 5")]
    assert [row["what"] for row in tables["Left out of the study"]] == ["labels=1000"]
    [edge] = [rows for title, rows in tables.items() if title.startswith("The best learning rate")]
    assert [tuple(row.values()) for row in edge] == [("freeze-0", "2, 5, 20, 100", "1 of 5")]


def test_what_was_left_out_is_told_once_and_with_one_reason_together(make_table: MakeTable) -> None:
    why = "to fit study.minutes=9; the study would take about 2 h with it"
    title = "from scratch, 4 x steps"
    skipped = {f"labels=2 of {title}": why, "further rounds": why, "labels=1000": "too few images"}
    found = analyse(dataclasses.replace(make_table(), skipped=skipped))
    tables = {table.title: told(table) for table in incomplete_tables(found)}
    assert [tuple(row.values()) for row in tables["Left out of the study"]] == [
        (f"labels=2 of {title}; further rounds", why), ("labels=1000", "too few images"),
    ]  # fmt: skip
    assert [tuple(row.values()) for row in tables["Not planned"]] == [("scratch-long", "5")]


def test_every_planned_replicate_is_counted_once(make_table: MakeTable) -> None:
    counts = count_replicates(analyse(make_table()))
    assert (counts.finished, counts.failed, counts.missing) == (counts.planned - 2, 1, 1)
    assert counts.in_words() == "208 of 210 runs have finished, 1 did not finish, 1 has not run"


def test_what_the_minutes_left_out_stands_beside_the_answers(findings: Findings, tmp_path: Path) -> None:
    """Else what was never compared would seem to be worse than what is taken."""
    assert left_out_notices(findings.table) == ()
    why = "to fit study.minutes=9; the study would take about 2 h with it"
    titles = [f"lite0: {depth} of 9 units frozen" for depth in range(5)]
    skipped = {**dict.fromkeys([*titles, "labels=50", "further rounds"], why), "labels=1000": "too few images"}
    hurried = dataclasses.replace(findings, table=dataclasses.replace(findings.table, skipped=skipped))
    [told] = left_out_notices(hurried.table)
    named = "; ".join(titles[:4])
    assert told == f"Not measured, to fit study.minutes: 5 columns ({named}; and 1 more), labels=50, further rounds."
    assert told in build_document(hurried).notices
    assert told in " ".join(summary(hurried, tmp_path).split())
    cells = ["labels=5 of lite0: none", "labels=20,50 of lite0: none", "labels=2 of tiny: none", "tiny: none"]
    parts = dataclasses.replace(hurried.table, skipped=dict.fromkeys([*cells, "further data seeds of the screen"], why))
    assert left_out_notices(parts) == (
        "Not measured, to fit study.minutes: 1 column (tiny: none), further data seeds of the screen; labels=5,20,50 "
        "of lite0: none.",
    )
    assert [parts.lacks_columns(labels) for labels in ("20", "100")] == [True, True], "of tiny all budgets"
    assert not dataclasses.replace(parts, skipped={cells[1]: why}).lacks_columns("5")
    assert dataclasses.replace(parts, skipped={cells[1]: why}).lacks_columns("50")
    frozen = [dataclasses.replace(column, solved=True, entrant="tiny") for column in parts.columns if column.competes]
    alone = dataclasses.replace(parts, columns=tuple(frozen))
    assert left_out_notices(alone) == (
        "How much to freeze was not compared: nothing that trains layers fitted into study.minutes.",
        *left_out_notices(parts),
    )
    one = dataclasses.replace(hurried.table, skipped={"from scratch": why})
    assert left_out_notices(one) == ("Not measured, to fit study.minutes: 1 column (from scratch).",)
