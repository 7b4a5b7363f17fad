"""A study's columns at each label budget by itself: the heat map, differences to the best, accuracy by cost."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from tlexp.studies.analysis.decision import ColumnCost, column_costs
from tlexp.studies.analysis.differences import against_best
from tlexp.studies.analysis.findings import Difference, Findings, Interval, Recommendation, Sureness
from tlexp.studies.analysis.table import Column, Role
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.palette import BLUE, INK, MUTED, ORANGE, cell_colour, column_styles
from tlexp.studies.report.rendering import RenderedFigure, render_figure
from tlexp.studies.report.tables import format_count
from tlexp.tracking.figures import plain_label

_MOST_ROWS = 12
"""Columns that a panel has room for; tables have all."""


def draw_heat_map(findings: Findings) -> RenderedFigure | None:
    """Draw columns by budgets, the accuracy written into each cell; None where nothing finished."""
    columns, budgets = _competing(findings), findings.table.budgets
    values = {place: cell.accuracy.value for place, cell in findings.cells.items() if cell.accuracy is not None}
    shown = [values[column.name, labels] for column in columns for labels in budgets if (column.name, labels) in values]
    if not shown:
        return None
    low, span = min(shown), max(shown) - min(shown) or 1.0

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, column in enumerate(columns):
            for at, labels in enumerate(budgets):
                value = values.get((column.name, labels))
                _draw_cell(axes, at, row, value, 0.0 if value is None else (value - low) / span, len(budgets))
        for recommendation in findings.recommendations:
            _frame(axes, recommendation, [column.name for column in columns], budgets)
        axes.set(xlim=(-0.5, len(budgets) - 0.5), ylim=(len(columns) - 0.5, -0.5), xlabel="labels per class")
        axes.set_xticks(range(len(budgets)), [plain_label(budget_name(labels), 10) for labels in budgets])
        axes.set_yticks(range(len(columns)), [_name(column) for column in columns])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return render_figure("heat-map", 0.9 + 0.32 * len(columns), draw)


def draw_differences(findings: Findings) -> RenderedFigure | None:
    """Draw each column against the best of its budget, with simultaneous intervals; None where there is no pair."""
    compared = {
        recommendation.labels: differences
        for recommendation in findings.recommendations
        if (differences := against_best(findings, recommendation))
    }
    if not compared:
        return None
    columns = _leading(findings, _competing(findings))

    def draw(figure: Figure) -> None:
        for axes, recommendation in _panels(figure, findings, compared):
            names = [column.name for column in columns]
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.axvline(-findings.table.margin, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
            _draw_differences(axes, compared[recommendation.labels], names)
            if recommendation.best is not None:
                axes.plot([0], [names.index(recommendation.best)], "*", color=INK, markersize=9)
            axes.set_ylim(len(columns) - 0.4, -0.6)
            axes.set_yticks(range(len(columns)), [_name(column) for column in columns])
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(axis="x", linewidth=0.6)
            axes.set_xlabel("minus the best")

    rows = math.ceil(len(compared) / 2)
    return render_figure("differences", 0.4 + rows * (0.55 + 0.22 * len(columns)), draw)


def draw_cost(findings: Findings) -> RenderedFigure | None:
    """Draw what columns reach in the order of their cost, the cheapest on top; None where nothing finished."""
    known = [cost for cost in column_costs(findings.table) if cost.column.competes or cost.column.role is Role.closed]
    leading = _leading(findings, [cost.column for cost in known])
    costs = [cost for cost in known if cost.column in leading]
    shown = [
        each.labels
        for each in findings.recommendations
        if any(_accuracy(findings, cost.column.name, each.labels) is not None for cost in costs)
    ]
    if not shown:
        return None
    labels = _cost_labels(costs)

    def draw(figure: Figure) -> None:
        for axes, recommendation in _panels(figure, findings, shown):
            _draw_reached(axes, findings, costs, recommendation)
            axes.set_ylim(len(costs) - 0.4, -0.6)
            axes.set_yticks(range(len(costs)), labels)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(axis="x", linewidth=0.6)
            axes.set_xlabel("balanced accuracy")

    rows = math.ceil(len(shown) / 2)
    return render_figure("cost", 0.4 + rows * (0.55 + 0.2 * len(costs)), draw)


def _draw_reached(axes: Axes, findings: Findings, costs: Sequence[ColumnCost], recommendation: Recommendation) -> None:
    """Draw what each column reaches in its row, hollow where it is never taken, and ring the one to take."""
    styles = column_styles(findings.table.columns)
    reached = [(cost.column, _accuracy(findings, cost.column.name, recommendation.labels)) for cost in costs]
    known = [(row, column, found) for row, (column, found) in enumerate(reached) if found is not None]
    rows, values = [row for row, _, _ in known], [found.value for _, _, found in known]
    colours = [styles[column.name].colour for _, column, _ in known]
    fillings = [styles[column.name].colour if column.competes else "none" for _, column, _ in known]
    lows = [found.value if found.low is None else found.low for _, _, found in known]
    highs = [found.value if found.high is None else found.high for _, _, found in known]
    axes.hlines(rows, lows, highs, colors=colours, linewidth=1.4)
    axes.scatter(values, rows, s=25, edgecolors=colours, facecolors=fillings, zorder=3)
    for row, column, found in known:
        if column.name == recommendation.column:
            axes.scatter([found.value], [row], s=120, edgecolors=INK, facecolors="none", linewidths=1.2, zorder=4)


def _cost_labels(costs: Sequence[ColumnCost]) -> list[str]:
    """Return each column with the parameters that it trains, and its operations where columns differ in them."""
    differ = len({cost.operations for cost in costs}) > 1
    return [
        f"{_name(cost.column)}: {format_count(cost.parameters)}"
        + (f" / {format_count(cost.operations)}" if differ else "")
        for cost in costs
    ]


def _accuracy(findings: Findings, column: str, labels: str) -> Interval | None:
    cell = findings.cells.get((column, labels))
    return None if cell is None else cell.accuracy


def _leading(findings: Findings, columns: Sequence[Column]) -> list[Column]:
    """Return the columns that are drawn: of many what is taken anywhere or has a highest mean, and then the best."""
    needed = {name for each in findings.recommendations for name in (each.column, each.best)}

    def rank(column: Column) -> tuple[bool, float]:
        found = [_accuracy(findings, column.name, labels) for labels in findings.table.budgets]
        values = [each.value for each in found if each is not None]
        return column.name not in needed, -sum(values) / max(1, len(values))

    kept = sorted(columns, key=rank)[: max(_MOST_ROWS, len(needed))]
    return [column for column in columns if column in kept]


def _competing(findings: Findings) -> list[Column]:
    return [column for column in findings.table.columns if column.competes]


def _name(column: Column) -> str:
    return plain_label(column.name, 18)


def _draw_cell(axes: Axes, at: int, row: int, value: float | None, share: float, among: int) -> None:
    ground, letters = ("none", MUTED) if value is None else cell_colour(share)
    axes.add_patch(Rectangle((at - 0.48, row - 0.46), 0.96, 0.92, facecolor=ground, edgecolor="none"))
    text = "–" if value is None else f"{value:.3f}"
    axes.text(at, row, text, ha="center", va="center", color=letters, fontsize=9 if among <= 8 else 7)


def _frame(axes: Axes, recommendation: Recommendation, columns: Sequence[str], budgets: Sequence[str]) -> None:
    """Frame the cell of the column to take, with dashes where that is not decided."""
    name = recommendation.column
    if name is None or name not in columns:
        return
    corner = budgets.index(recommendation.labels) - 0.48, columns.index(name) - 0.46
    line = "-" if recommendation.sureness is Sureness.decided else (0, (2, 1.5))
    frame: dict[str, Any] = {"facecolor": "none", "edgecolor": ORANGE, "linewidth": 2.4, "linestyle": line}
    axes.add_patch(Rectangle(corner, 0.96, 0.92, **frame))


def _panels(figure: Figure, findings: Findings, budgets: Collection[str]) -> Iterator[tuple[Axes, Recommendation]]:
    """Yield axes for each of the budgets, two abreast."""
    shown = [recommendation for recommendation in findings.recommendations if recommendation.labels in budgets]
    across = min(2, len(shown))
    grid = figure.subplots(math.ceil(len(shown) / across), across, sharex=True, sharey=True, squeeze=False)
    for axes, recommendation in zip(grid.flat, shown, strict=False):
        axes.set_title(f"labels: {plain_label(budget_name(recommendation.labels), 16)}", loc="left")
        axes.tick_params(labelbottom=True)
        yield axes, recommendation
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)


def _draw_differences(axes: Axes, differences: Sequence[Difference], names: Sequence[str]) -> None:
    """Draw differences, each in the row of its column; a full mark where the interval leaves out 0."""
    shown = [difference for difference in differences if difference.first in names]
    rows, values = [names.index(difference.first) for difference in shown], [difference.value for difference in shown]
    colours = [BLUE if difference.distinguishable else ORANGE for difference in shown]
    fillings = [BLUE if difference.distinguishable else "none" for difference in shown]
    lows = [difference.value if difference.low is None else difference.low for difference in shown]
    highs = [difference.value if difference.high is None else difference.high for difference in shown]
    axes.hlines(rows, lows, highs, colors=colours, linewidth=1.5)
    axes.scatter(values, rows, s=36, edgecolors=colours, facecolors=fillings, zorder=3)
