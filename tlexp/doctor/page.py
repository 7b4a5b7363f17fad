"""A diagnosis as one page of HTML: nothing is loaded, nothing runs, light and dark as the reader's system is."""

import base64
import io
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from tlexp.doctor.chapters import Chapter
from tlexp.doctor.gallery import Gallery

_SIDE = 144
"""Of a thumbnail, in pixels."""
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
        title=title, facts=facts, chapters=chapters, thumbnail=lambda place: _data_uri(gallery, place), open=_OPEN
    )


def _data_uri(gallery: Gallery, place: int) -> str:
    """Return an image, small and without what its file says of camera and place, as an address within the page."""
    file = io.BytesIO()
    gallery.thumbnail(place, _SIDE).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


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
