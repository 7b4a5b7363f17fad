"""What a study's columns reach over the labels per class: a line each, with its interval, on a logarithmic axis."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlexp.studies.analysis.findings import Findings, Interval, Recommendation, Sureness, TransferGain
from tlexp.studies.analysis.table import Column, Role, StudyTable
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.palette import BLUE, GREEN, GRID, INK, MUTED, ORANGE, Style, column_styles
from tlexp.studies.report.rendering import RenderedFigure, render_figure
from tlexp.tracking.figures import plain_label

_MOST_BANDS = 7
"""More bands than these hide one another; whiskers stand for them then."""
_LEAST_GAP = 0.07
"""Of the axis: ticks nearer than this are named on two lines."""
_MOST_NAMES = 12
"""More names beside their lines would hide one another; only what is taken, and the best beside it, is named then."""
_WITH_NAMES = 4.6
"""Inches: narrower than others, for what is seen first is seen on a telephone too."""
_LINE = 0.055
"""Of the height of the axes: a line of text."""
CONTROLS = (Role.random, Role.pixels, Role.closed)
Points = list[tuple[float, Interval]]


def draw_accuracy(findings: Findings) -> RenderedFigure | None:
    """Draw the balanced accuracy of every competing column, with what is recommended; None where nothing finished."""
    table = findings.table
    members = [column for column in table.columns if column.competes and _points(findings, column.name)]
    if not members:
        return None

    def draw(figure: Figure) -> None:
        axes = _budget_axes(figure, table)
        _draw_means(axes, findings, members)
        _draw_forecast(axes, findings)
        _draw_answers(axes, findings, members)
        _name_lines(axes, findings, members)

    return render_figure("accuracy", 3.0, draw, _WITH_NAMES)


def draw_transfer(findings: Findings) -> RenderedFigure | None:
    """Draw the best pretrained column and training from scratch; None where nothing was trained from scratch."""
    gains = findings.transfer
    if not gains:
        return None

    def draw(figure: Figure) -> None:
        axes = _budget_axes(figure, findings.table)
        pretrained = _line(findings, [(gain.column, gain.labels) for gain in gains])
        _draw_line(axes, pretrained, _style(BLUE, "o"), "pretrained, the best of each budget", -0.3, 1)
        for role, style, title in (
            (Role.scratch, _style(ORANGE, "s", 5, 1.5), "from scratch"),
            (Role.scratch_long, _style(GREEN, "^", 1.5, 1.2), "from scratch, more steps"),
        ):
            for column in findings.table.columns:
                if column.role is role and _points(findings, column.name):
                    _draw_line(axes, _points(findings, column.name), style, title, 0.3, 1)
        for gain in gains:
            _draw_gain(axes, gain, findings.table.per_class[gain.labels])
        _add_legend(figure, axes)

    return render_figure("transfer", 4.4, draw)


def draw_controls(findings: Findings) -> RenderedFigure | None:
    """Draw the controls on frozen features and pixels beside the best column; None where none finished."""
    table = findings.table
    members = [column for column in table.columns if column.role in CONTROLS and _points(findings, column.name)]
    if not members:
        return None

    def draw(figure: Figure) -> None:
        axes = _budget_axes(figure, table)
        best = _line(
            findings,
            [
                (name, recommendation.labels)
                for recommendation in findings.recommendations
                if (name := recommendation.best) is not None
            ],
        )
        if best:
            _draw_line(axes, best, _style(INK, "."), "the best column of each budget", 0.0, 1)
        _draw_columns(axes, findings, members)
        _add_legend(figure, axes)

    return render_figure("controls", 3.9 + _legend_height(len(members) + 1), draw)


def _points(findings: Findings, column: str) -> Points:
    """Return (labels per class, accuracy) of the budgets at which a column has a finished replicate."""
    return _line(findings, [(column, labels) for labels in findings.table.budgets])


def _line(findings: Findings, cells: Iterable[tuple[str, str]]) -> Points:
    """Return (labels per class, accuracy) of those cells, (column, labels) each, that have a finished replicate."""
    points = ((findings.table.per_class[labels], _reached(findings, column, labels)) for column, labels in cells)
    return sorted(((place, reached) for place, reached in points if reached is not None), key=lambda point: point[0])


def _reached(findings: Findings, column: str, labels: str) -> Interval | None:
    cell = findings.cells.get((column, labels))
    return None if cell is None else cell.accuracy


def _budget_axes(figure: Figure, table: StudyTable) -> Axes:
    """Return axes with the budgets in log k, named as they were stated."""
    axes = figure.add_subplot()
    axes.set_xscale("log")
    names: dict[float, str] = {}
    for labels in table.budgets:
        place = table.per_class[labels]
        names[place] = ", ".join(filter(None, (names.get(place), budget_name(labels))))
    places = sorted(names)
    low, high = places[0], places[-1]
    room = (high / low) ** 0.07 if high > low else 1.5
    axes.set_xlim(low / room, high * room)
    axes.set_xticks(places, _staggered(places, [plain_label(names[place], 16) for place in places]))
    axes.set_xticks([], minor=True)
    axes.set(xlabel="labels per class", ylabel="balanced accuracy")
    axes.grid(linewidth=0.6)
    return axes


def _staggered(places: Sequence[float], names: Sequence[str]) -> list[str]:
    """Return the names, every second of neighbours that stand too near on a line of its own."""
    shifted: list[bool] = [False]
    for left, right in itertools.pairwise(places):
        near = math.log(right / left) < _LEAST_GAP * math.log(places[-1] / places[0])
        shifted.append(near and not shifted[-1])
    return [f"\n{name}" if lower else name for name, lower in zip(names, shifted, strict=True)]


def _draw_columns(axes: Axes, findings: Findings, columns: Sequence[Column]) -> None:
    styles = column_styles(findings.table.columns)
    for column in columns:
        points, title = _points(findings, column.name), plain_label(column.title, 34)
        _draw_line(axes, points, styles[column.name], title, _aside(columns, column.name), len(columns))


def _aside(columns: Sequence[Column], name: str) -> float:
    """Return where a column stands among others, -0.5 .. 0.5."""
    return [column.name for column in columns].index(name) / max(1, len(columns) - 1) - 0.5


def _draw_line(axes: Axes, points: Points, style: Style, title: str, aside: float, among: int) -> None:
    """Draw a column with its intervals: a band where there is room, whiskers else, those a little aside."""
    whiskers = among > _MOST_BANDS or len(points) < 2
    shift = _shift(axes, aside) if whiskers or among == 1 else 1.0
    places = [place * shift for place, _ in points]
    values = [reached.value for _, reached in points]
    look: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "linewidth": 1.4}
    axes.plot(places, values, marker=style.mark, markersize=5, label=title, zorder=3, **look)
    ends = [
        (place, interval.low, interval.high)
        for place, (_, interval) in zip(places, points, strict=True)
        if _is_whole(interval)
    ]
    if not ends:
        return
    at, lows, highs = zip(*ends, strict=True)
    if whiskers:
        axes.vlines(at, lows, highs, color=style.colour, linewidth=0.9, alpha=0.7, zorder=2)
    else:
        axes.fill_between(at, lows, highs, color=style.colour, alpha=0.1, linewidth=0, zorder=1)
        axes.vlines(at, lows, highs, color=style.colour, linewidth=0.7, alpha=0.45, zorder=2)


def _shift(axes: Axes, aside: float) -> float:
    """Return the factor that moves a point a little aside, or far where one budget has the axis to itself."""
    low, high = axes.get_xlim()
    share: float = 0.7 if len(axes.get_xticks()) == 1 else 0.03
    return float((high / low) ** (aside * share))


def _is_whole(interval: Interval) -> bool:
    return interval.low is not None and interval.high is not None


def _draw_means(axes: Axes, findings: Findings, columns: Sequence[Column]) -> None:
    """Draw the means alone: what is taken anywhere strong, others thin, and those that have no name here grey."""
    styles = column_styles(findings.table.columns)
    taken = {recommendation.column for recommendation in findings.recommendations}
    named = _named(findings, columns)
    for column in columns:
        points, style, strong = _points(findings, column.name), styles[column.name], column.name in taken
        if column not in named:
            axes.plot([place for place, _ in points], [found.value for _, found in points], color=GRID, linewidth=0.9)
            continue
        shift = _shift(axes, _aside(columns, column.name)) if len(axes.get_xticks()) == 1 else 1.0
        axes.plot(
            [place * shift for place, _ in points],
            [reached.value for _, reached in points],
            color=style.colour,
            linestyle=style.line,
            marker=style.mark,
            linewidth=1.8 if strong else 0.9,
            markersize=5 if strong else 3.5,
            zorder=3 if strong else 2,
        )


def _draw_forecast(axes: Axes, findings: Findings) -> None:
    """Draw a dashed band from the largest budget to twice as many labels, where something is forecast."""
    outlook = findings.outlook
    if outlook is None or outlook.twice is None:
        return
    colour = column_styles(findings.table.columns)[outlook.column].colour
    low, high = axes.get_xlim()
    axes.set_xlim(low, max(high, outlook.twice.labels))
    places = [each.labels for each in outlook.curve]
    ends = zip(*((each.reached.low, each.reached.high) for each in outlook.curve), strict=True)
    for heights in ([each.reached.value for each in outlook.curve], *ends):
        axes.plot(places, heights, color=colour, linestyle=(0, (3, 2)), linewidth=0.8, zorder=1)


def _draw_answers(axes: Axes, findings: Findings, columns: Sequence[Column]) -> None:
    """Ring what to take at each budget, and draw its interval and that of the best beside it, a little aside."""
    styles, single = column_styles(findings.table.columns), len(axes.get_xticks()) == 1
    for recommendation in findings.recommendations:
        place = findings.table.per_class[recommendation.labels]
        for name, aside in zip(_shown(recommendation), (-0.25, 0.25), strict=False):
            reached = _reached(findings, name, recommendation.labels)
            if reached is None or name not in [column.name for column in columns]:
                continue
            own = place * _shift(axes, _aside(columns, name)) if single else place
            at = own if single else place * _shift(axes, aside)
            if reached.low is not None and reached.high is not None:
                axes.vlines(at, reached.low, reached.high, color=styles[name].colour, linewidth=1.6, zorder=4)
            if name == recommendation.column:
                dashes = "-" if recommendation.sureness is Sureness.decided else (0, (1, 1))
                look: dict[str, Any] = {"edgecolors": INK, "facecolors": "none", "linestyles": [dashes]}
                axes.scatter([own], [reached.value], s=130, linewidths=1.4, zorder=5, **look)


def _shown(recommendation: Recommendation) -> tuple[str, ...]:
    """Return the column to take and the best beside it, by name."""
    ranked = sorted(recommendation.candidates, key=lambda candidate: -candidate.mean)
    first = [recommendation.column] if recommendation.column is not None else []
    return tuple([*first, *(each.column for each in ranked if each.column not in first)][:2])


def _name_lines(axes: Axes, findings: Findings, columns: Sequence[Column]) -> None:
    """Write each column's name beside the end of its line, a little above or below where names would meet."""
    styles, taken = column_styles(findings.table.columns), {each.column for each in findings.recommendations}
    named = _named(findings, columns)
    low, high = axes.get_ylim()
    single, edge = len(axes.get_xticks()) == 1, axes.get_xlim()[1]
    ends = [_points(findings, column.name)[-1] for column in named]
    axes.set_ylim(low, high)
    for column, (place, end), height in zip(
        named, ends, _apart([end.value for _, end in ends], low, high), strict=True
    ):
        start = place * (_shift(axes, _aside(columns, column.name)) if single else 1.0)
        look: dict[str, Any] = {"color": styles[column.name].colour, "linewidth": 0.5, "clip_on": False, "zorder": 1}
        axes.plot([start, edge], [end.value, height], **look)
        axes.annotate(
            plain_label(column.name, 18),
            (edge, height),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            fontweight="bold" if column.name in taken else "normal",
            color=INK if column.name in taken else MUTED,
            annotation_clip=False,
        )


def _named(findings: Findings, columns: Sequence[Column]) -> Sequence[Column]:
    """Return the columns whose lines have names: of many what is taken anywhere, and the best beside it."""
    if len(columns) <= _MOST_NAMES:
        return columns
    shown = {name: None for each in findings.recommendations for name in _shown(each)[:1]}
    shown |= {name: None for each in findings.recommendations for name in _shown(each)[1:]}
    kept = list(shown)[:_MOST_NAMES]
    return [column for column in columns if column.name in kept]


def _apart(heights: Sequence[float], low: float, high: float) -> list[float]:
    """Return where names may stand: in the order of what they name, and none nearer to another than a line of text.

    >>> [round(height, 2) for height in _apart([0.5, 0.5, 0.9], 0.0, 1.0)]
    [0.47, 0.53, 0.9]
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    gap = min(_LINE, 1 / max(1, len(heights))) * (high - low)
    placed = [heights[place] for place in order]
    for _ in range(10 * len(placed)):  # a pair that is too near moves apart, and may push its neighbours
        for below in range(len(placed) - 1):
            lacking = gap - (placed[below + 1] - placed[below])
            if lacking > 0:
                placed[below] -= lacking / 2
                placed[below + 1] += lacking / 2
    found = [0.0] * len(heights)
    for place, height in zip(order, placed, strict=True):
        found[place] = height
    return found


def _draw_gain(axes: Axes, gain: TransferGain, place: float) -> None:
    """Lead from what transfer has to the budget at which training from scratch has as much."""
    if gain.scratch_labels is None or gain.scratch_labels <= place:
        return
    axes.plot([place, gain.scratch_labels], [gain.accuracy] * 2, color=MUTED, linewidth=0.9, linestyle=":")
    axes.annotate(
        f"{gain.scratch_labels:.3g} from scratch",
        (gain.scratch_labels, gain.accuracy),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
        color=MUTED,
    )


def _style(colour: str, mark: str, *dashes: float) -> Style:
    return Style(colour=colour, dark=colour, mark=mark, dashes=dashes)


def _legend_height(count: int) -> float:
    return 0.18 * math.ceil(count / 2)


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Name the lines below the axes, where they hide nothing."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, handlelength=3.2, columnspacing=1.2)
