"""What a report is made of; the page and the Markdown file show the same parts. Text is plain and not yet escaped."""

from dataclasses import dataclass

from tlexp.studies.report.rendering import RenderedFigure


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of plain text, not yet escaped.

    Attributes:
        title: What it shows.
        head: Of the columns.
        rows: As many cells each as the head.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of a section.

    Attributes:
        name: Of its files.
        alt: What is to be seen, for those who do not see it.
        caption: What the numbers mean.
        drawn: The figure.
    """

    name: str
    alt: str
    caption: str
    drawn: RenderedFigure


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report; all text is plain and not yet escaped.

    Attributes:
        title: Its heading.
        paragraphs: Before everything else.
        picture: Its figure.
        tables: To be read.
        folded: Tables that are opened by a click, such as the numbers of the figure.
        lines: A list.
        commands: To be typed.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[TextTable, ...] = ()
    folded: tuple[TextTable, ...] = ()
    lines: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report.

    Attributes:
        title: Its heading.
        facts: What the study is about, a name and a value each.
        notices: What to know before anything else is read.
        sections: In their order.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The figures in their order."""
        return tuple(section.picture for section in self.sections if section.picture is not None)
