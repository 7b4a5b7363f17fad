import dataclasses

import numpy as np
import pytest

from tests.studies.conftest import CONTROLS, DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.deciding import find_deciding_size, seconds_of_seeds
from tlexp.studies.analysis.findings import DecidingSize, Departure, Sureness
from tlexp.studies.analysis.intervals import Spread


def rival(*, value: float = -0.005, seed: float = 0.01, image: float = 0.001, seeds: int = 3) -> Spread:
    """Return a column minus the one to take, with the deviation of a seed and the standard error by images."""
    return Spread(
        value=np.array(value),
        per_seed=np.zeros(seeds),
        seed_variance=np.array(seed**2 / seeds),
        seed_freedom=np.array(2.0 * (seeds - 1)),
        image_variance=np.array(image**2),
        image_freedom=np.array(500.0),
    )


def size(*rivals: Spread, shared: float = 0.0) -> DecidingSize:
    return find_deciding_size(rivals, margin=0.01, family=4, images=500, shared=shared)


def test_the_seeds_that_would_decide_do_with_the_variances_measured() -> None:
    found = size(rival())
    assert found.seeds is not None
    assert 3 < found.seeds < 10

    def bound(seeds: int) -> float:
        grown = dataclasses.replace(
            rival(), seed_variance=np.array(0.01**2 / seeds), seed_freedom=np.array(2.0 * (seeds - 1))
        )
        return float(grown.value + grown.half_width(4, sides=1))

    assert bound(found.seeds) <= 0.01 < bound(found.seeds - 1)
    assert found.least < 0.01


def test_the_rival_that_is_hardest_to_tell_apart_decides() -> None:
    assert (size(rival(), rival(seed=0.02)).seeds or 0) > (size(rival()).seeds or 0)


def test_where_images_are_few_no_number_of_seeds_would() -> None:
    found = size(rival(image=0.01))
    assert (found.seeds, found.images, found.pool) == (None, None, False)
    assert found.least == pytest.approx(-0.005 + 2.25 * 0.01, abs=3e-4)
    assert found.both is not None
    seeds, images = found.both
    assert seeds == 30
    assert 500 < images <= 2500
    assert size(rival(image=0.01, seed=0.0001)).images in (1000, 1300, 1500)


def test_where_all_seeds_draw_from_a_small_pool_the_pool_is_named() -> None:
    found = size(rival(value=0.0), shared=0.9)
    assert (found.seeds, found.images, found.both, found.pool) == (None, None, None, True)
    assert not size(rival(), shared=0.05).pool


def test_seeds_that_decide_take_what_those_before_took_where_more_are_run(make_table: MakeTable) -> None:
    """Decided budgets and columns that left take no more, solved heads take them everywhere, controls none."""
    columns = [dataclasses.replace(each, solved=each.name == "freeze-5") for each in DEPTHS]
    found = analyse(make_table(columns=(*columns, *CONTROLS), failed=(), waiting=(), missing=(), seeds=3))
    sure = {"2": Sureness.decided, "5": Sureness.open, "20": Sureness.nearly, "100": Sureness.decided}
    told = tuple(
        dataclasses.replace(
            each,
            sureness=sure[each.labels],
            dropped={"freeze-0": Departure(round=1, surely=True)} if each.labels == "5" else {},
        )
        for each in found.recommendations
    )
    found = dataclasses.replace(found, recommendations=told)
    expected = 0.0
    for (name, labels), cell in found.cells.items():
        [column] = [each for each in (*columns, *CONTROLS) if each.name == name]
        goes_on = labels in ("5", "20") and (name, labels) != ("freeze-0", "5")
        if not column.is_control and (goes_on or not column.in_rounds):
            expected += 7 * (cell.seconds or 0.0)
    assert expected > 0
    assert seconds_of_seeds(found, 10) == pytest.approx(expected)
    assert seconds_of_seeds(found, 3) is None
