"""A diagnosis as one page of HTML: nothing is loaded, nothing runs, light and dark as the reader's system is."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from tlexp.data.thumbnails import data_address, thumbnail
from tlexp.doctor.chapters import Chapter
from tlexp.doctor.gallery import Gallery

_OPEN = 12
"""A list of more lines is opened by a click."""


def build_page(title: str, facts: Sequence[str], chapters: Sequence[Chapter], gallery: Gallery) -> str:
    """Return the page.

    Args:
        title: Its heading.
        facts: What was looked at.
        chapters: What it says.
        gallery: The images of its cards.
    """
    return _ENVIRONMENT.get_template("page.html.j2").render(
        title=title,
        facts=facts,
        chapters=chapters,
        thumbnail=lambda place: data_address(thumbnail(gallery.images.read(place))),
        open=_OPEN,
    )


def _build_environment() -> Environment:
    """Return what the template is read with: every text that it shows is escaped."""
    environment = Environment(
        loader=PackageLoader("tlexp.doctor", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["number_word"] = lambda text: text.replace(",", "").isdecimal()
    return environment


_ENVIRONMENT = _build_environment()
