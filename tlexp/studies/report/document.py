"""What a report is made of; the page and the Markdown file show the same parts. Text is plain and not yet escaped."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    drawn: "RenderedFigure"


@dataclass(frozen=True, kw_only=True)
class ImageCard:
    """An image, and what to say of it.

    Attributes:
        thumbnail: JPEG; None where the image could not be had.
        lines: Below it.
    """

    thumbnail: bytes | None
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report; all text is plain and not yet escaped.

    Attributes:
        title: Its heading.
        paragraphs: Before everything else.
        picture: Its figure.
        tables: To be read.
        cards: Images.
        folded: Tables that are opened by a click, such as the numbers of the figure.
        lines: A list.
        about: What the commands do.
        commands: To be typed.
        closed: Whether it is opened by a click as a whole.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[TextTable, ...] = ()
    cards: tuple[ImageCard, ...] = ()
    folded: tuple[TextTable, ...] = ()
    lines: tuple[str, ...] = ()
    about: str = ""
    commands: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class TypedCommand:
    """What can be typed.

    Attributes:
        about: What it does.
        line: The command.
    """

    about: str
    line: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report; what a reader came for stands before everything else.

    Attributes:
        title: Its heading.
        notices: What to know before anything else is read.
        answers: Of the largest budget first, each in two parts: what to take, and the rest.
        picture: What the answers rest on; None where there is nothing to draw.
        commands: What makes the recommended model, and what to do first; none where nothing is recommended.
        facts: What the study is about, a name and a value each.
        sections: In their order.
    """

    title: str
    notices: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    picture: Picture | None
    commands: tuple[TypedCommand, ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The figures in their order."""
        pictures = (self.picture, *(section.picture for section in self.sections))
        return tuple(picture for picture in pictures if picture is not None)
