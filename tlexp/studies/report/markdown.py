"""A report as Markdown, its figures as files beside it."""

import re
from collections.abc import Iterable, Iterator

from tlexp.studies.report.document import Document, Picture, Section, TextTable

_SIGNS = re.compile(r"([\\`*_\[\]<>#|~])")


def build_markdown(report: Document) -> str:
    """Return the text."""
    return "\n\n".join(_blocks(report)) + "\n"


def _blocks(report: Document) -> Iterator[str]:
    yield f"# {plain(report.title)}"
    yield from (f"> {plain(text)}" for text in report.notices)
    if report.answers:
        yield "\n".join(f"- **{plain(taken)}**{plain(rest)}" for taken, rest in report.answers)
    if report.picture is not None:
        yield from _picture(report.picture)
    for command in report.commands:
        yield plain(command.about)
        yield f"    {command.line}"
    yield "\n".join(f"- {plain(name)}: {plain(value)}" for name, value in report.facts)
    for section in report.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield f"## {plain(section.title)}"
    yield from map(plain, section.paragraphs)
    if section.picture is not None:
        yield from _picture(section.picture)
    yield from _tables(section.tables)
    if section.cards:
        yield "\n".join(f"- {plain('; '.join(card.lines))}" for card in section.cards)
    if section.lines:
        yield "\n".join(f"- {plain(line)}" for line in section.lines)
    yield from _tables(section.folded)
    if section.commands:
        yield from [plain(section.about)] if section.about else []
        yield "\n".join(f"    {line}" for command in section.commands for line in command.splitlines())


def _picture(picture: Picture) -> Iterator[str]:
    yield f"![{plain(picture.alt)}]({picture.name}.svg)"
    yield plain(picture.caption)


def _tables(tables: Iterable[TextTable]) -> Iterator[str]:
    for table in tables:
        if table.rows:
            yield f"{plain(table.title)}:"
            yield _table(table)


def _table(table: TextTable) -> str:
    rows = [table.head, ("---",) * len(table.head), *table.rows]
    return "\n".join(f"| {' | '.join(cell if row == rows[1] else plain(cell) for cell in row)} |" for row in rows)


def plain(text: str) -> str:
    r"""Return a text that Markdown shows as it is, on one line.

    >>> plain("freeze_3 | <b>")
    'freeze\\_3 \\| \\<b\\>'
    """
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))
