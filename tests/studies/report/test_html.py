"""The page and the Markdown file show all that a report says, once and in its order."""

import dataclasses
import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from tests.studies.conftest import DEPTHS, a_table
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.document import Document, ImageCard, Section, TextTable, TypedCommand
from tlexp.studies.report.html import build_page
from tlexp.studies.report.markdown import build_markdown
from tlexp.studies.report.palette import column_styles, dark_colours
from tlexp.studies.report.sections import build_document


class Texts(HTMLParser):
    """The texts of a page, without its style and the letters of its figures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("style", "svg", "title"):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within and data.strip():
            self.found.append(data)


def rows(table: TextTable) -> list[tuple[str, ...]]:
    return [(table.title,), table.head, *table.rows]


def order(section: Section) -> Iterator[tuple[str, ...]]:
    """Yield what a section says, a row at a time."""
    yield (section.title,)
    yield from ((text,) for text in section.paragraphs)
    if section.picture is not None:
        yield (f"{section.picture.alt} {section.picture.caption}",)
    for table in section.tables:
        yield from rows(table)
    yield from ((line,) for card in section.cards for line in card.lines)
    yield from ((line,) for line in section.lines)
    for table in section.folded:
        if table.rows:
            yield from rows(table)
    if section.commands:
        yield from ((section.about,),) if section.about else ()
        yield ("\n".join(section.commands),)


def first_screen(report: Document) -> Iterator[str]:
    """Yield what stands before the sections."""
    yield report.title
    yield from report.notices
    yield from (part for answer in report.answers for part in answer)
    if report.picture is not None:
        yield f"{report.picture.alt} {report.picture.caption}"
    yield from (text for command in report.commands for text in (command.about, command.line))
    yield from (text for fact in report.facts for text in fact)


def test_the_page_shows_everything_once_and_in_order(findings: Findings, report: Document) -> None:
    page = build_page(report, dark=dark_colours(column_styles(findings.table.columns)))
    said = [*first_screen(report), *(text for section in report.sections for row in order(section) for text in row)]
    assert Texts(page).found == said


def test_answers_a_figure_and_a_command_come_before_any_table_and_any_definition(report: Document) -> None:
    page = build_page(report, dark={})
    signs = [
        *(f"<b>{taken}</b>" for taken, _ in report.answers),
        "<svg",
        *(command.line for command in report.commands),
        "<dl>",
        "<section>",
        "<table",
    ]
    places = [page.index(sign) for sign in signs]
    assert places == sorted(places)
    assert len(report.answers) == 2
    assert len(report.commands) == 1


def test_what_is_looked_up_is_folded(report: Document) -> None:
    closed = {section.title for section in report.sections if section.closed}
    assert closed == {"What the words mean", "Protocol", "Environment"}
    page = build_page(report, dark={})
    for title in closed:
        assert f"<details><summary><h2>{title}</h2></summary>" in page


def test_markdown_shows_everything_in_order(report: Document) -> None:
    lines = re.sub(r"\\(.)", r"\1", build_markdown(report)).splitlines()
    place = lines.index(f"# {report.title}")
    for taken, rest in report.answers:
        place = lines.index(f"- **{taken}**{rest}", place)
    for name, value in report.facts:
        place = lines.index(f"- {name}: {value}", place)
    for section in report.sections:
        for wanted in _lines(section):
            assert wanted in lines[place:], (section.title, wanted)
            place = lines.index(wanted, place) + 1
    assert place == len(lines)


def test_every_figure_of_the_report_is_named_in_markdown(report: Document) -> None:
    text = build_markdown(report)
    assert re.findall(r"\]\((\S+)\.svg\)", text) == [picture.name for picture in report.pictures]
    assert len(report.pictures) == 6


def test_a_table_of_long_texts_can_be_read_on_a_telephone(findings: Findings, report: Document) -> None:
    """Each cell tells its head there."""
    page = build_page(report, dark=dark_colours(column_styles(findings.table.columns)))
    [table] = re.findall(r"<table class=prose><caption>Of each answer</caption>.*?</table>", page)
    heads = re.findall(r'data-head="(.*?)"', table)
    shown = report.sections[0].tables[0]
    assert [html.unescape(head) for head in heads] == list(shown.head) * len(shown.rows)


def test_on_a_telephone_a_figure_says_that_it_scrolls_sideways(report: Document) -> None:
    """The names of its lines stand at its right end; the box is narrower than the figure just where it says so."""
    page = build_page(report, dark={})
    assert "figure svg{width:100%;min-width:28rem;" in page
    assert '@media (max-width:30rem){figure .wide::before{content:"The figure scrolls sideways.";' in page
    assert "body{margin:0 auto;max-width:76rem;padding:1rem 1rem 4rem;" in page


def test_every_figure_is_told_to_those_who_do_not_see_it(report: Document) -> None:
    page = build_page(report, dark={})
    for picture in report.pictures:
        assert page.count(f'aria-labelledby="{picture.name}-caption"') == 1
        assert page.count(f'id="{picture.name}-caption"') == 1


class Elements(HTMLParser):
    """The names of a page's elements and of their attributes, figures included."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


HOSTILE = """<script>alert(1)</script> & " onload="alert(1)" '><b>"""


def test_texts_from_outside_are_shown_as_they_are_and_make_no_element(findings: Findings, report: Document) -> None:
    table = TextTable(title=HOSTILE, head=(HOSTILE, HOSTILE), rows=((HOSTILE, HOSTILE * 2),))
    picture = dataclasses.replace(report.pictures[0], alt=HOSTILE, caption=HOSTILE)
    texts: dict[str, Any] = dict.fromkeys(("paragraphs", "lines", "commands"), (HOSTILE,))
    cards = (ImageCard(thumbnail=None, lines=(HOSTILE,)),)
    section = Section(
        title=HOSTILE, picture=picture, tables=(table,), cards=cards, folded=(table,), closed=True, **texts
    )
    hostile = Document(
        title=HOSTILE,
        notices=(HOSTILE,),
        answers=((HOSTILE, HOSTILE),),
        picture=dataclasses.replace(picture, name="first"),
        commands=(TypedCommand(about=HOSTILE, line=HOSTILE),),
        facts=((HOSTILE, HOSTILE),),
        sections=(section,),
    )
    page = build_page(hostile, dark={})
    said = [*first_screen(hostile), *(text for row in order(section) for text in row)]
    assert Texts(page).found == said
    known, found = Elements(build_page(report, dark={})), Elements(page)
    assert found.tags <= known.tags
    assert found.attributes <= known.attributes


def test_a_studys_own_names_make_no_element_even_within_figures() -> None:
    table = a_table(seeds=2, budgets=("2", "20"), columns=DEPTHS, failed=(), waiting=(), missing=())
    columns = tuple(dataclasses.replace(column, title=HOSTILE) for column in table.columns)
    hostile = dataclasses.replace(
        table, name=HOSTILE, backbone=HOSTILE, columns=columns, classes=(HOSTILE,) * 4, skipped={HOSTILE: HOSTILE}
    )
    known, found = (Elements(build_page(build_document(analyse(each)), dark={})) for each in (table, hostile))
    assert found.tags == known.tags
    assert found.attributes == known.attributes


def _lines(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield from section.paragraphs
    if section.picture is not None:
        yield f"![{section.picture.alt}]({section.picture.name}.svg)"
        yield section.picture.caption
    yield from _table_lines(section.tables)
    yield from (f"- {'; '.join(card.lines)}" for card in section.cards)
    yield from (f"- {line}" for line in section.lines)
    yield from _table_lines(section.folded)
    yield from (f"    {line}" for line in section.commands)


def _table_lines(tables: tuple[TextTable, ...]) -> Iterator[str]:
    for table in tables:
        if table.rows:
            yield f"{table.title}:"
            yield from (f"| {' | '.join(row)} |" for row in (table.head, *table.rows))


def test_a_table_of_many_columns_is_read_downwards_on_a_telephone(report: Document) -> None:
    """Nine columns of a table were cut there, without a sign that more stands at the right."""
    tables = tuple(TextTable(title=f"of {n}", head=("a",) * n, rows=(("b",) * n,)) for n in (8, 9))
    page = build_page(dataclasses.replace(report, sections=(Section(title="S", tables=tables),)), dark={})
    assert "<table><caption>of 8<" in page
    assert "<table class=prose><caption>of 9<" in page
