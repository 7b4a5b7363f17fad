import dataclasses

from tests.studies.conftest import MakeTable
from tests.studies.report.test_networks import findings
from tlexp.studies.report.network_figure import draw_networks


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
