"""A report as one page of HTML: nothing is loaded, nothing runs, light and dark as the reader's system is."""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tlexp.data.thumbnails import data_address
from tlexp.studies.report.document import Document, Picture, TextTable
from tlexp.studies.report.rendering import inline_svg, theme_rules

_LONG = 60
"""A cell of more letters gets room to be read, and on a telephone its row becomes a paragraph."""

_WIDE = 8
"""Columns of the widest table that a telephone shows as one; the rows of wider ones become paragraphs there."""


def build_page(report: Document, *, dark: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: What it says.
        dark: Colours of the figures, light -> dark.
    """

    def inline(picture: Picture) -> Markup:
        return Markup(inline_svg(picture.drawn.svg, name=picture.name, dark=dark))

    return _ENVIRONMENT.get_template("page.html.j2").render(
        report=report,
        inline=inline,
        address=data_address,
        light=Markup(theme_rules(dark, is_dark=False)),
        dark=Markup(theme_rules(dark, is_dark=True)),
    )


def _is_long(text: str) -> bool:
    return len(text) > _LONG


def _is_prose(table: TextTable) -> bool:
    return len(table.head) > _WIDE or any(_is_long(text) for row in table.rows for text in row)


def _build_environment() -> Environment:
    """Return what the template is read with: every text that it shows is escaped, but for figures and colours."""
    environment = Environment(
        loader=PackageLoader("tlexp.studies.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests |= {"long": _is_long, "prose": _is_prose}
    return environment


_ENVIRONMENT = _build_environment()
