"""From matplotlib to pages: a figure as SVG and PNG, the same bytes for the same figure; no pyplot, no global state."""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tlexp.studies.report.palette import GRID, INK, PAPER
from tlexp.tracking.figures import png_bytes

WIDTH = 5.6
"""Inches. Narrow, so that a telephone shows the letters large enough to be read."""
_DPI = 200
_RULES: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "svg.fonttype": "none",
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True, kw_only=True)
class RenderedFigure:
    """A figure in both forms; the SVG keeps its text as text."""

    svg: bytes
    png: bytes


def render_figure(name: str, height: float, draw: Callable[[Figure], None], width: float = WIDTH) -> RenderedFigure:
    """Return a figure.

    Args:
        name: Of the figure, from which the ids in the SVG follow.
        height: Inches.
        draw: Fills the empty figure.
        width: Inches.
    """
    with matplotlib.rc_context(_RULES | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        _lay_out(figure)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata=_NO_METADATA)
        png = png_bytes(figure, dpi=_DPI, metadata={"Software": None})
    return RenderedFigure(svg=svg.getvalue(), png=png)


def _lay_out(figure: Figure) -> None:
    """Place everything, once for both forms: each would place it anew, which takes longer than to draw it."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine(None)


def inline_svg(svg: bytes, *, name: str, dark: Mapping[str, str]) -> str:
    """Return an SVG as it may stand within a page: ids of its own, colours as variables of the style sheet.

    Args:
        svg: Of `render_figure`.
        name: Begins the ids; a page has several figures.
        dark: Light colour -> dark one, see `theme_rules`.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", lambda tag: _inline_tag(tag[0], name, dark), text).strip()


def theme_rules(dark: Mapping[str, str], *, is_dark: bool) -> str:
    """Return the declarations of the style sheet that give each variable its colour."""
    return "".join(f"{_variable(light)}:{other if is_dark else light};" for light, other in dark.items())


def _inline_tag(tag: str, name: str, dark: Mapping[str, str]) -> str:
    if tag.startswith("<svg"):
        box = re.search(r'viewBox="[^"]*"', tag)
        return f'<svg {box[0] if box else ""} role="img" aria-labelledby="{name}-caption">'
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    return re.sub(r"#[0-9a-f]{6}\b", lambda colour: _themed(colour[0], dark), tag)


def _themed(colour: str, dark: Mapping[str, str]) -> str:
    return f"var({_variable(colour)})" if colour in dark else colour


def _variable(colour: str) -> str:
    return f"--c{colour.removeprefix('#')}"
