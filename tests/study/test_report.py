"""What a report leaves for people, from measurements that are made up."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tlexp.study.analyse import analyse
from tlexp.study.findings import Findings
from tlexp.study.markdown import build_markdown
from tlexp.study.report import write_report
from tlexp.study.sections import build_report
from tlexp.study.summary import summary
from tlexp.study.table import StudyTable

Make = Callable[..., StudyTable]


@pytest.fixture
def findings(make_table: Make) -> Findings:
    return analyse(make_table())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_loads_nothing_and_runs_nothing(findings: Findings, tmp_path: Path) -> None:
    text = write_report(tmp_path, findings)[0].read_text()
    assert not re.search(r"<(script|link|img|iframe|object)\b", text)
    assert not re.search(r"\bsrc=|@import|url\(\s*['\"]?(https?:|//)", text)
    assert not re.search(r'href="(?!#)', text)
    assert text.count("<svg") == text.count("<figure") >= 5
    identities = re.findall(r'\bid="([^"]+)"', text)
    assert len(identities) == len(set(identities))


def test_equal_findings_give_equal_bytes(make_table: Make, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, analyse(make_table()))
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "report").iterdir()} for name in ("one", "other")
    )
    assert one == other


def test_figures_are_drawn_and_stand_beside_the_page(findings: Findings, tmp_path: Path) -> None:
    files = {path.name for path in write_report(tmp_path, findings)}
    assert {"accuracy.svg", "heat-map.png", "differences.svg", "cost.png", "transfer.svg", "controls.png"} <= files
    for path in (tmp_path / "report").glob("*.png"):
        with Image.open(path) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, path.name


def test_page_markdown_and_files_of_values_say_the_same(findings: Findings, tmp_path: Path) -> None:
    write_report(tmp_path, findings)
    page, text = (tmp_path / "report/index.html").read_text(), (tmp_path / "report/report.md").read_text()
    told = {row["labels"]: row for row in rows(tmp_path / "report/recommendations.csv")}
    for each in findings.recommendations:
        assert told[each.labels]["column"] == (each.column or "")
        assert told[each.labels]["sentence"] == each.sentence
        assert each.sentence in page
    cells = {(row["column"], row["labels"]): row for row in rows(tmp_path / "report/cells.csv")}
    assert set(cells) == set(findings.cells)
    for key, cell in findings.cells.items():
        if cell.accuracy is not None:
            assert float(cells[key]["balanced_accuracy"]) == cell.accuracy.value
            assert f"{cell.accuracy.value:.3f}" in text


def test_the_recommendation_comes_first(findings: Findings) -> None:
    titles = [section.title for section in build_report(findings).sections]
    assert titles[0] == "Recommendation"
    assert titles[-1] == "To repeat it"
    assert {"Protocol", "Failed, missing and left out", "Environment", "What a fixed rule loses"} <= set(titles)


def test_names_from_outside_cannot_become_markup(make_table: Make, tmp_path: Path) -> None:
    table = make_table()
    evil = '<script>alert("x")</script>|`'
    findings = analyse(
        StudyTable(
            **{**vars(table), "name": evil, "classes": tuple(evil for _ in table.classes), "skipped": {evil: evil}}
        )
    )
    page = write_report(tmp_path, findings)[0].read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for line in build_markdown(build_report(findings)).splitlines():
        if line.startswith("|"):
            assert "<script>" not in line.replace("\\<", "")


def test_fewer_than_ten_seeds_are_called_a_demonstration(make_table: Make) -> None:
    few, many = (build_report(analyse(make_table(seeds=count))) for count in (3, 10))
    assert any("demonstration" in text for text in few.notices)
    assert not any("demonstration" in text for text in many.notices)


def test_the_terminal_gets_every_sentence_within_its_width(findings: Findings, tmp_path: Path) -> None:
    text = summary(findings, tmp_path)
    assert max(map(len, text.splitlines())) <= 120 + len(str(tmp_path))
    joined = " ".join(text.split())
    assert all(each.sentence in joined for each in findings.recommendations)
    assert "report/index.html" in text


@pytest.mark.parametrize("kind", ["one budget", "one seed", "no controls", "running", "nothing", "all failed"])
def test_a_study_in_any_state_has_a_page(make_table: Make, tmp_path: Path, kind: str) -> None:
    table = altered(make_table(), kind)
    page = write_report(tmp_path, analyse(table))[0].read_text()
    if kind == "nothing":
        assert "Nothing has finished yet" in page
    if kind == "running":
        assert "This study is not complete" in page
    if kind == "all failed":
        assert "out of memory" in page


def altered(table: StudyTable, kind: str) -> StudyTable:
    import dataclasses

    from tlexp.study.table import Cell, Replicate
    from tlexp.tracking import RunStatus

    def cells(change: Callable[[Cell, int, Replicate], Replicate]) -> dict[tuple[str, str], Cell]:
        return {
            key: dataclasses.replace(
                cell, replicates=tuple(change(cell, place, each) for place, each in enumerate(cell.replicates))
            )
            for key, cell in table.cells.items()
        }

    def undone(each: Replicate, status: RunStatus | None = None, reason: str | None = None) -> Replicate:
        return Replicate(seed=each.seed, status=status, reason=reason)

    replace = dataclasses.replace
    if kind == "one budget":
        kept = table.budgets[-1:]
        return replace(table, budgets=kept, cells={key: cell for key, cell in table.cells.items() if key[1] in kept})
    if kind == "one seed":
        one = {key: replace(cell, replicates=cell.replicates[:1]) for key, cell in table.cells.items()}
        return replace(table, seeds=table.seeds[:1], cells=one)
    if kind == "no controls":
        columns = tuple(column for column in table.columns if column.competes)
        names = {column.name for column in columns}
        return replace(
            table, columns=columns, cells={key: cell for key, cell in table.cells.items() if key[0] in names}
        )
    if kind == "running":
        return replace(table, cells=cells(lambda cell, place, each: undone(each) if place else each))
    if kind == "nothing":
        return replace(table, record={}, cells=cells(lambda cell, place, each: undone(each)))
    last = table.columns[0].name
    failed = RunStatus.oom
    return replace(
        table,
        cells=cells(lambda cell, place, each: undone(each, failed, "out of memory") if cell.column == last else each),
    )
