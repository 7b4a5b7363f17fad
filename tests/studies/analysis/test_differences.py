import dataclasses

import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.differences import against_best, reach
from tlexp.studies.analysis.findings import Difference
from tlexp.studies.analysis.intervals import TestImages

PAIR = Difference(
    labels="5",
    first="freeze-0",
    second="freeze-1",
    value=0.02,
    seeds=3,
    family=15,
    low=-0.01,
    high=0.05,
    alone_low=0.005,
    alone_high=0.035,
)


def test_a_difference_turned_round_has_its_ends_the_other_way_round() -> None:
    turned = PAIR.turned()
    assert (turned.first, turned.second, turned.value) == ("freeze-1", "freeze-0", -0.02)
    assert (turned.low, turned.high, turned.alone_low, turned.alone_high) == (-0.05, 0.01, -0.035, -0.005)
    assert turned.turned() == PAIR
    bare = dataclasses.replace(PAIR, low=None, high=None, alone_low=None, alone_high=None)
    assert (bare.turned().low, bare.turned().alone_high) == (None, None)


def test_every_column_but_the_best_is_compared_with_the_best_of_its_budget(make_table: MakeTable) -> None:
    findings = analyse(make_table(seeds=10))
    pairs = {(pair.labels, pair.first, pair.second): pair for pair in findings.differences}
    for recommendation in findings.recommendations:
        labels, best = recommendation.labels, recommendation.best or ""
        others = [column.name for column in DEPTHS if column.name != best]
        against = against_best(findings, recommendation)
        assert [(pair.first, pair.second) for pair in against] == [(name, best) for name in others]
        for pair in against:
            stated = pairs.get((labels, pair.first, best)) or pairs[labels, best, pair.first].turned()
            assert pair == stated


def test_intervals_count_that_seeds_share_images_of_one_pool(make_table: MakeTable) -> None:
    """Of 60 a class, 20 in each draw: the variance between seeds of a mean is (1/S + 20/40) s^2, not s^2/S."""
    table = make_table(seeds=10, budgets=("20",), per_class=(2000,) * 4)
    data = dataclasses.replace(table.record.data, pool=dict.fromkeys(table.classes, 60))
    about = {**table.about, "study": {**table.about["study"], "budgets": [{"labels": "20", "images": 80}]}}
    known = dataclasses.replace(table, about=about, record=dataclasses.replace(table.record, data=data))
    assert (table.shared_share("20"), known.shared_share("20")) == (0.0, 0.5)
    for cell in known.cells.values():
        spreads = [reach(each, cell, TestImages(labels=table.labels)) for each in (table, known)]
        assert spreads[1].seed_variance == pytest.approx((1 + len(cell.finished) / 2) * spreads[0].seed_variance)
    wide, narrow = (analyse(each).recommendations[0].accuracy for each in (known, table))
    assert wide is not None
    assert narrow is not None
    assert (wide.high or 1) - (wide.low or 0) > 1.5 * ((narrow.high or 1) - (narrow.low or 0))
