import dataclasses

from tests.studies.conftest import MakeTable
from tests.studies.report.test_networks import findings
from tlexp.studies.report.network_figure import draw_networks


def test_the_figure_names_the_networks_that_were_compared(make_table: MakeTable) -> None:
    drawn = draw_networks(findings(make_table, "small"))
    assert drawn is not None
    text = drawn.svg.decode()
    assert all(f">{word}<" in text for word in ("small", "large", "old", "MB of weights"))
    alone = dataclasses.replace(findings(make_table, "small"), screened=())
    assert draw_networks(alone) is None
