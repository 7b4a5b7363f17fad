"""What a report leaves for people, from measurements that are made up."""

import csv
import dataclasses
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.studies.conftest import DEPTHS, STRENGTH, a_table
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.report.answers import answers
from tlexp.studies.report.document import Document
from tlexp.studies.report.incomplete import count_replicates
from tlexp.studies.report.markdown import build_markdown
from tlexp.studies.report.report import write_report
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.sentences import explain
from tlexp.studies.report.summary import summary

Make = Callable[..., StudyTable]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_loads_nothing_and_runs_nothing(written: list[Path]) -> None:
    text = written[0].read_text()
    assert not re.search(r"<(script|link|img|iframe|object)\b", text)
    assert not re.search(r"\bsrc=|@import|url\(\s*['\"]?(https?:|//)", text)
    assert not re.search(r'href="(?!#)', text)
    assert text.count("<svg") == text.count("<figure") >= 5
    identities = re.findall(r'\bid="([^"]+)"', text)
    assert len(identities) == len(set(identities))


def test_equal_findings_give_equal_bytes(written: list[Path], make_table: Make, tmp_path: Path) -> None:
    write_report(tmp_path, analyse(make_table()))
    one, other = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (written[0].parent, tmp_path / "report")
    )
    assert one == other


@pytest.mark.parametrize(("words", "told"), [(("tune.trials=0",), 0), (("tune.trials=2",), 1)])
def test_few_rates_are_told_where_something_is_trained(words: tuple[str, ...], told: int) -> None:
    columns = [dataclasses.replace(column, words=("tune.trials=0",)) for column in DEPTHS]
    columns[0] = dataclasses.replace(columns[0], words=words)
    table = a_table(columns=columns, seeds=2, budgets=("2", "20"))
    table = dataclasses.replace(table, about={**table.about, "fixed": {"tune.trials": 2}})
    assert build_markdown(build_document(analyse(table))).count("The best of two rates is always an end") == told


def test_figures_are_drawn_and_stand_beside_the_page(written: list[Path]) -> None:
    files = {path.name for path in written}
    assert {"accuracy.svg", "heat-map.png", "differences.svg", "cost.png", "transfer.svg", "controls.png"} <= files
    [cost] = (path for path in written if path.name == "cost.svg")
    assert "freeze-5: 516<" in cost.read_text(), "all columns take as many operations, or nothing tells"
    for path in written[0].parent.glob("*.png"):
        with Image.open(path) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, path.name


def test_the_numbers_of_every_figure_stand_beside_it(findings: Findings, report: Document, written: list[Path]) -> None:
    folder = written[0].parent
    assert {picture.name for picture in report.pictures} == {path.stem for path in folder.glob("*.svg")}
    for picture in report.pictures:
        assert len(rows(folder / f"{picture.name}.csv")) > 0, picture.name
    lines = [row for name in ("accuracy", "controls") for row in rows(folder / f"{name}.csv")]
    shown = {(row["column"], row["labels"]): row for row in lines}
    heat = {row["column"]: row for row in rows(folder / "heat-map.csv")}
    cost = {(row["column"], row["labels"]): row for row in rows(folder / "cost.csv")}
    for (name, labels), cell in findings.cells.items():
        column = next(column for column in findings.table.columns if column.name == name)
        assert cell.accuracy is not None
        value = str(cell.accuracy.value)
        assert cost[name, labels]["balanced_accuracy"] == value
        if column.competes:
            assert shown[name, labels]["balanced_accuracy"] == heat[name][labels] == value
    taken = {place for place, row in shown.items() if row["taken"] == "yes"}
    assert taken == {(each.column, each.labels) for each in findings.recommendations}
    assert findings.model is not None
    assert [float(row["recall"]) for row in rows(folder / "recalls.csv")] == sorted(
        each.recall for each in findings.model.recalls
    )


def test_page_markdown_and_files_of_values_say_the_same(findings: Findings, written: list[Path]) -> None:
    folder = written[0].parent
    page, text = (folder / "index.html").read_text(), (folder / "report.md").read_text()
    told = {row["labels"]: row for row in rows(folder / "recommendations.csv")}
    for explanation in explain(findings):
        each = explanation.recommendation
        assert told[each.labels]["column"] == (each.column or "")
        assert told[each.labels]["sentence"] == explanation.sentence()
        assert told[each.labels]["reasons"] == " ".join(explanation.reasons())
        assert told[each.labels]["change"] == explanation.change()
        assert told[each.labels]["best"] == each.best
        assert bool(told[each.labels]["cross_fitted"]) == (each.column is not None)
        assert told[each.labels]["sureness"] == each.sureness
        assert told[each.labels]["bound"] == ("" if each.bound is None else str(each.bound))
    for answer in answers(findings):
        taken, rest = answer.parts()
        assert page.count(f"<b>{taken}</b>{rest}") == 1
    pairs = {(row["labels"], row["first"], row["second"]): row for row in rows(folder / "differences.csv")}
    assert len(pairs) == len(findings.differences)
    for pair in findings.differences:
        row = pairs[pair.labels, pair.first, pair.second]
        assert float(row["difference"]) == pair.value
        assert [float(row[name]) for name in ("low", "high", "alone_low", "alone_high")] == [
            *(pair.low, pair.high, pair.alone_low, pair.alone_high)
        ]
    cells = {(row["column"], row["labels"]): row for row in rows(folder / "cells.csv")}
    assert set(cells) == set(findings.cells)
    for each in findings.recommendations:
        for candidate in each.candidates:
            assert cells[candidate.column, each.labels]["bound"] == str(candidate.bound)
    for key, cell in findings.cells.items():
        if cell.accuracy is not None:
            ends = cell.accuracy.value, cell.accuracy.low, cell.accuracy.high
            assert tuple(float(cells[key][name]) for name in ("balanced_accuracy", "low", "high")) == ends
            assert f"{cell.accuracy.value:.3f}" in text


def test_sections_stand_in_the_order_in_which_they_are_asked_for(report: Document) -> None:
    titles = [section.title for section in report.sections]
    first = ["Why, and what would decide it", "More labels?", "What the recommended model tells wrong"]
    assert titles[:3] == first
    assert titles[-4:] == ["To repeat it", "What the words mean", "Protocol", "Environment"]
    assert {"Failed, missing and left out", "What a fixed rule loses"} <= set(titles)


def test_why_an_answer_s_accuracy_is_not_the_mean_of_the_tables_stands_beside_it(
    findings: Findings, report: Document
) -> None:
    why = "told by test images and data seeds that did not choose it (cross-fitted), and mostly a little below the mean"
    [told] = report.sections[0].paragraphs
    assert why in told
    unsure = tuple(dataclasses.replace(each, accuracy=None) for each in findings.recommendations)
    section = build_document(dataclasses.replace(findings, recommendations=unsure)).sections[0]
    assert section.paragraphs == ()


@pytest.mark.usefixtures("undrawn")
def test_a_section_with_nothing_in_it_is_left_out(make_table: Make) -> None:
    table = dataclasses.replace(make_table(columns=DEPTHS, failed=(), waiting=(), missing=()), skipped={}, record=None)
    cells = {
        place: dataclasses.replace(
            cell, replicates=tuple(dataclasses.replace(each, selection=None) for each in cell.replicates)
        )
        for place, cell in table.cells.items()
    }
    titles = {section.title for section in build_document(analyse(dataclasses.replace(table, cells=cells))).sections}
    assert not titles & {
        *("Failed, missing and left out", "Environment", "Controls", "Transfer against training from scratch")
    }


@pytest.mark.usefixtures("undrawn")
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
    for line in build_markdown(build_document(findings)).splitlines():
        if line.startswith("|"):
            assert "<script>" not in line.replace("\\<", "")


def test_words_that_not_everybody_knows_are_explained(findings: Findings, report: Document) -> None:
    [first] = [section for section in report.sections if section.title == "What the words mean"]
    for word in (
        "Column",
        "Control",
        "Data seed",
        "Margin",
        "Point",
        "Decided",
        "Simultaneous interval",
        "Run",
        "Solved",
        "For these images alone",
        "Cross-fitted",
    ):
        assert sum(line.startswith(word) for line in first.lines) == 1, word
    assert any(f"{findings.table.margin:g} here, chosen before the study" in line for line in first.lines)
    assert max(map(len, first.lines)) <= 120


@pytest.mark.usefixtures("undrawn")
def test_the_command_that_would_decide_is_told_with_as_many_seeds_as_the_hardest_budget_needs(
    make_table: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table(seeds=10, per_class=(500,) * 4)
    typed = "python -m tlexp study=freeze_vs_labels 'study.labels=[2,5,20,100]' study.seeds=10 data.root='my photos'"
    stated = {**table.about["study"], "command": typed}
    found = analyse(dataclasses.replace(table, about={**table.about, "study": stated}))
    wanted = [each.deciding.seeds or 0 for each in found.recommendations if each.deciding is not None]
    assert max(wanted) > 10
    kept = [word for word in shlex.split(typed) if "seeds" not in word]
    command = shlex.join([*kept, "study.name=made-up", f"study.seeds={max(wanted)}", "study.minutes=0"])
    assert build_document(found).sections[0].commands == (command,)
    study = tmp_path / "multirun" / "made-up"
    assert f"decide  cd {tmp_path} && {command}\n" in summary(found, study)
    assert f"decide  {command}\n" in summary(found, tmp_path / "kept" / "made-up"), "nothing finds it there"
    monkeypatch.chdir(tmp_path)
    told = "would decide labels=20,100, in about 26 min"
    assert f"decide  {command}\n        {told}\n" in summary(found, study)
    assert build_document(found).sections[0].about == f"This command goes on to more data seeds, which {told}:"
    assert build_document(analyse(make_table(seeds=1))).sections[0].commands == ()


@pytest.mark.usefixtures("undrawn")
def test_captions_and_sentences_of_figures_tell_the_studys_own_figures(make_table: Make) -> None:
    found = analyse(make_table(margin=0.037, strength=STRENGTH | {"scratch": (-0.2, 0.7)}))
    sections = {section.title: section for section in build_document(found).sections}
    picture = sections["Differences to the best"].picture
    assert picture is not None
    assert "Dashes: the margin, 0.037 below the best." in picture.caption
    [told] = sections["Transfer against training from scratch"].paragraphs
    for gain in found.transfer:
        start = f"What {gain.column} reaches with {gain.labels} labels ({gain.accuracy:.3f}) training from scratch "
        reached = gain.scratch_labels
        end = (
            "does not reach within the budgets studied."
            if reached is None
            else f"reaches with {reached:.3g} per class."
        )
        assert start + end in told
    assert {gain.scratch_labels is None for gain in found.transfer} == {True, False}


def test_a_pair_that_changes_places_is_told_with_who_leads_where(findings: Findings, report: Document) -> None:
    [section] = [each for each in report.sections if each.title == "Where columns change places"]
    means = {place: cell.accuracy.value for place, cell in findings.cells.items() if cell.accuracy is not None}
    told = [re.match(r"(\S+) and (\S+): (\S+) leads at 2, (\S+) leads at 100; ", line) for line in section.lines]
    pairs = [found.groups() for found in told if found is not None]
    assert pairs
    for first, second, early, late in pairs:
        assert early == max((first, second), key=lambda name: means[name, "2"])
        assert late == max((first, second), key=lambda name: means[name, "100"])
        assert early != late


def on_photographs(table: StudyTable) -> StudyTable:
    assert table.record is not None
    config = table.record.config | {"data": {"source": "folder", "root": "photos"}}
    return dataclasses.replace(table, record=dataclasses.replace(table.record, config=config))


@pytest.mark.usefixtures("undrawn")
def test_rendered_shapes_are_a_demonstration_and_photographs_are_none_with_any_number_of_seeds(
    make_table: Make,
) -> None:
    for count in (1, 3, 10):
        shapes, photos = make_table(seeds=count, waiting=()), on_photographs(make_table(seeds=count, waiting=()))
        assert [text.partition(":")[0] for text in build_document(analyse(shapes)).notices] == ["A demonstration"]
        document = build_document(analyse(photos))
        assert document.notices == ()
        assert "emonstration" not in str(document)
        assert 1 < len(document.answers) <= 4


def test_the_terminal_gets_every_answer_within_its_width(findings: Findings, tmp_path: Path) -> None:
    text = summary(findings, tmp_path)
    assert max(map(len, text.splitlines())) <= 120 + len(str(tmp_path))
    joined = " ".join(text.split())
    assert all(each.sentence() in joined for each in answers(findings))
    assert not any(each.details() in joined for each in explain(findings))
    assert "model python -m tlexp freeze=depth freeze.depth=" in joined
    assert count_replicates(findings).in_words() in text.splitlines()[0]
    assert "report/index.html" in text


@pytest.mark.parametrize("kind", ["one budget", "one seed", "no controls", "running", "nothing", "all failed"])
def test_a_study_in_any_state_has_a_page(make_table: Make, tmp_path: Path, kind: str) -> None:
    table = altered(make_table(budgets=("2", "20")), kind)
    page = write_report(tmp_path, analyse(table))[0].read_text()
    if kind == "nothing":
        assert "Nothing has finished yet" in page
    if kind == "running":
        assert "This study is not complete" in page
    if kind == "all failed":
        assert "out of memory" in page


def altered(table: StudyTable, kind: str) -> StudyTable:
    import dataclasses

    from tlexp.studies.analysis.table import Cell, Replicate
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
        return replace(table, record=None, cells=cells(lambda cell, place, each: undone(each)))
    last = table.columns[0].name
    failed = RunStatus.oom
    return replace(
        table,
        cells=cells(lambda cell, place, each: undone(each, failed, "out of memory") if cell.column == last else each),
    )
