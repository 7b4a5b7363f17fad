"""Colours, marks and dashes of a study's figures, chosen once: told apart with any colour vision and on grey paper.

A colour is a hexadecimal text, `#rrggbb`, of lower case. Figures are drawn in the light one; pages replace it by the
dark one where the reader's system is dark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.colors import to_hex

from tlexp.studies.analysis.table import Column, Role

INK, MUTED, GRID, PAPER = "#1f2328", "#656d76", "#d8dee4", "#ffffff"
NEUTRALS = {INK: "#e6edf3", MUTED: "#9aa4af", GRID: "#343b44", PAPER: "#14171c"}
"""Light -> dark: text and frames, lesser text, lines of the grid, the ground."""

# Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color); lighter on a dark ground.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
_UNORDERED = {BLUE: "#4fa8e0", ORANGE: "#ff8a3d", GREEN: "#2fc79a", PINK: "#e29cc4", YELLOW: "#f2c14e", SKY: "#8cd0f5"}
_CONTROLS = {
    Role.scratch: (ORANGE,),
    Role.scratch_long: (GREEN,),
    Role.random: (PINK,),
    Role.pixels: (YELLOW,),
    Role.closed: (GREEN, SKY, BLUE),  # stand beside the depths, which have all colours from blue to orange
}
_MARKS = "os^Dv<P>Xh"
_DASHES = ("", "5 1.5", "1.5 1.2", "6 1.5 1.5 1.5", "9 2")
_LIGHT_PART, _DARK_PART = (0.0, 0.72), (0.38, 0.98)
"""What is legible of an ordered scale on white and on a dark ground."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a column is drawn.

    Attributes:
        colour: On a light ground.
        dark: On a dark ground.
        mark: matplotlib's sign for it.
        dashes: Lengths on and off; none for a line without gaps.
    """

    colour: str
    dark: str
    mark: str
    dashes: tuple[float, ...]

    @property
    def line(self) -> str | tuple[float, tuple[float, ...]]:
        """The dashes as matplotlib takes them."""
        return (0.0, self.dashes) if self.dashes else "-"


def column_styles(columns: Sequence[Column]) -> dict[str, Style]:
    """Return a style for each column: depths in the order of a scale from dark to light, others in unlike colours."""
    ordered = [column.name for column in columns if column.depth is not None and column.competes]
    light, dark = (_scale(len(ordered), part) for part in (_LIGHT_PART, _DARK_PART))
    pairs = dict(zip(ordered, zip(light, dark, strict=True), strict=True))
    for role in Role:
        colours = _CONTROLS.get(role, tuple(_UNORDERED))
        others = [column.name for column in columns if column.role is role and column.name not in pairs]
        for place, name in enumerate(others):
            colour = colours[place % len(colours)]
            pairs[name] = colour, _UNORDERED[colour]
    return {
        column.name: Style(
            colour=pairs[column.name][0],
            dark=pairs[column.name][1],
            mark=_MARKS[place % len(_MARKS)],
            dashes=tuple(map(float, _DASHES[place % len(_DASHES)].split())),
        )
        for place, column in enumerate(columns)
    }


def dark_colours(styles: Mapping[str, Style]) -> dict[str, str]:
    """Return the dark colour of each light one that figures use."""
    return NEUTRALS | _UNORDERED | {style.colour: style.dark for style in styles.values()}


def cell_colour(share: float) -> tuple[str, str]:
    """Return the ground of a heat map's cell and the colour of what is written on it.

    Args:
        share: Where the value lies between the least, 0, and the greatest, 1.

    >>> cell_colour(0.0), cell_colour(1.0)
    (('#00224e', '#fffffe'), ('#fee838', '#000001'))
    """
    ground = colormaps["cividis"](share)
    bright = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2] > 0.45
    # Not quite black and white: those change with the ground of the page, the cell's colour does not.
    return to_hex(ground), "#000001" if bright else "#fffffe"


def _scale(count: int, part: tuple[float, float]) -> list[str]:
    """Return colours of growing lightness; plasma keeps its order with any colour vision and in grey."""
    low, high = part
    return [to_hex(colormaps["plasma"](low + (high - low) * place / max(1, count - 1))) for place in range(count)]
