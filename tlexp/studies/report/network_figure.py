"""What a study's networks reach, against what they cost: operations and time per image, megabytes of weights."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.report.networks import pareto_front, reached_by_networks
from tlexp.studies.report.palette import BLUE, MUTED
from tlexp.studies.report.rendering import RenderedFigure, render_figure
from tlexp.tracking.figures import plain_label

_LEAST_SPAN = 0.05
"""Of balanced accuracy on the axis: what differs by less than a point should look so."""
_MOST_TICKS = 12
"""Of all panels together: the names of more would run into one another."""


def draw_networks(findings: Findings) -> RenderedFigure | None:
    """Draw networks' accuracy over each cost, full marks on the front; None where fewer than two were compared."""
    reached, front = reached_by_networks(findings), pareto_front(findings)
    entrants = [each.entrant for each in findings.screened if each.entrant.name in reached]
    if len(entrants) < 2:
        return None

    panels = [({each.name: each.operations / 1e6 for each in entrants}, "M operations per image")]
    if len(times := _facts(entrants, "milliseconds")) == len(entrants):
        panels.append((times, "ms per image, measured"))
    if len(set((sizes := _facts(entrants, "megabytes")).values())) > 1:  # sizes of one network weigh the same
        panels.append((sizes, "MB of weights"))

    def draw(figure: Figure) -> None:
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (costs, title) in zip(every, panels, strict=True):
            _draw_costs(axes, costs, reached, front, title)
            _tick(axes, _MOST_TICKS // len(panels))
        every[0].set_ylabel("balanced accuracy")
        every[0].set_ylim(_widened(*every[0].get_ylim()))

    return render_figure("networks", 2.8, draw)


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis, further apart where they are nearer than the least span.

    >>> [round(end, 3) for end in _widened(0.9, 0.91)], _widened(0.5, 0.9)
    ([0.88, 0.93], (0.5, 0.9))
    """
    more = max(0.0, _LEAST_SPAN - (high - low)) / 2
    return low - more, high + more


def _facts(entrants: list[Entrant], name: str) -> dict[str, float]:
    """Return a fact of those networks of which it is known."""
    values = ((each.name, each.facts.get(name)) for each in entrants)
    return {network: float(value) for network, value in values if isinstance(value, int | float) and value > 0}


def _draw_costs(
    axes: Axes, costs: dict[str, float], reached: dict[str, float], front: frozenset[str], title: str
) -> None:
    """Draw a mark for each network over one of its costs, named beside it."""
    axes.set_xscale("log")
    for name, cost in costs.items():
        best = name in front
        colour = BLUE if best else MUTED
        axes.scatter([cost], [reached[name]], s=36, edgecolors=colour, facecolors=colour if best else "none", zorder=3)
        axes.annotate(
            plain_label(name, 18), (cost, reached[name]), xytext=(0, 6), textcoords="offset points",
            ha="center", fontsize=7.5, color=colour,
        )  # fmt: skip
    axes.margins(x=0.4, y=0.15)
    axes.grid(linewidth=0.6)
    axes.set_xlabel(title)


def _tick(axes: Axes, most: int) -> None:
    """Name round costs along an axis whose marks are drawn; where it spans too little for two such, even ones."""
    places = _round_costs(*axes.get_xlim(), most)
    axes.xaxis.set_major_locator(
        FixedLocator(places) if len(places) > 1 else MaxNLocator(min(most, 4), steps=[1, 2, 5, 10])
    )
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _round_costs(low: float, high: float, most: int) -> list[float]:
    """Return so many round numbers in a range at most, as dense as that allows: of each decade 1, 2 and 5, or 1.

    >>> _round_costs(0.6, 54, 12), _round_costs(0.6, 54, 4), _round_costs(0.2, 2e5, 4)
    ([1.0, 2.0, 5.0, 10.0, 20.0, 50.0], [1.0, 10.0], [10.0, 1000.0, 100000.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    places: list[float] = []
    for factors, step in (((1, 2, 5), 1), *(((1,), step) for step in range(1, last - first + 1))):
        every = (float(f"{factor}e{power}") for power in range(first, last + 1, step) for factor in factors)
        places = [place for place in every if low <= place <= high]
        if len(places) <= most:
            break
    return places
