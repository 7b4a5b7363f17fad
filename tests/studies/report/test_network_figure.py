import dataclasses
import itertools

import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from tests.studies.conftest import MakeTable
from tests.studies.report.test_networks import findings
from tlexp.studies.report.network_figure import _MOST_TICKS, _draw_costs, _tick, draw_networks
from tlexp.studies.report.rendering import render_figure


def test_the_figure_names_the_networks_that_were_compared(make_table: MakeTable) -> None:
    found = findings(make_table, "small")
    entrants = [
        dataclasses.replace(each.entrant, facts={**each.entrant.facts, "megabytes": 5.0 * place})
        for place, each in enumerate(found.screened, 1)
    ]
    screened = [
        dataclasses.replace(each, entrant=entrant) for each, entrant in zip(found.screened, entrants, strict=True)
    ]
    drawn = draw_networks(dataclasses.replace(found, screened=tuple(screened)))
    assert drawn is not None
    text = drawn.svg.decode()
    assert all(f">{word}<" in text for word in ("small", "large", "old", "MB of weights"))
    assert "ms per image" not in text  # of one it was not measured
    timed = [
        dataclasses.replace(each, entrant=dataclasses.replace(each.entrant, facts={"milliseconds": 2.0}))
        for each in found.screened
    ]
    measured = draw_networks(dataclasses.replace(found, screened=tuple(timed)))
    assert measured is not None
    assert ">ms per image, measured<" in measured.svg.decode()
    alike = draw_networks(found)
    assert alike is not None
    assert "MB of weights" not in alike.svg.decode()
    alone = dataclasses.replace(findings(make_table, "small"), screened=())
    assert draw_networks(alone) is None


@pytest.mark.parametrize("panels", [1, 2, 3])
@pytest.mark.parametrize(
    "costs", [(10, 390, 17_600), (1.1, 8.2, 210), (391, 405), (8.1, 8.4), (18, 22), (0.5, 200_000), (2, 9)]
)
def test_costs_along_an_axis_do_not_run_into_one_another(costs: tuple[float, ...], panels: int) -> None:
    boxes: list[list[Bbox]] = []

    def draw(figure: Figure) -> None:
        for axes in figure.subplots(1, panels, squeeze=False)[0]:
            named = {str(cost): cost for cost in costs}
            _draw_costs(axes, named, dict.fromkeys(named, 0.5), frozenset(), "costs")
            _tick(axes, _MOST_TICKS // panels)
        figure.canvas.draw()
        for axes in figure.axes:
            low, high = axes.get_xlim()
            ticks = [each for each in axes.xaxis.get_major_ticks() if low <= each.get_loc() <= high]
            boxes.append([each.label1.get_window_extent() for each in ticks])

    render_figure("networks", 2.8, draw)
    for row in boxes:
        assert len(row) > 1
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(row))
