import dataclasses

import numpy as np
import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.decision import Decision, decide
from tlexp.studies.analysis.findings import Sureness
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.analysis.pairs import measure_pairs, with_borrowed_variances
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.analysis.table import Column, Role, StudyTable

FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def decided(table: StudyTable, labels: str, *, above: bool = False) -> Decision:
    images = TestImages(labels=table.labels)
    return decide(table, labels, images, with_borrowed_variances(table, measure_pairs(table, images)), above=above)


def taken(found: Decision) -> str | None:
    return None if found.chosen is None else found.name(found.chosen)


def test_contenders_are_those_that_nothing_is_surely_better_than(make_table: MakeTable) -> None:
    found = decided(make_table(seeds=10, per_class=(300,) * 4, noise=0.02), "2")
    names = [found.name(place) for place in found.contenders]
    assert names[0] == "freeze-5"
    assert 1 <= len(names) < 4
    gaps = found.means[:, None] - found.means - found.widths
    worse = {found.name(place) for place in range(6) if (gaps[:, place] > 1e-9).any()}
    assert set(names) == {column.name for column in DEPTHS} - worse


def test_a_column_surely_better_than_all_is_decided(make_table: MakeTable) -> None:
    strength = FLAT | {"freeze-3": (1.2, 0.2)}
    found = decided(make_table(seeds=10, columns=DEPTHS, strength=strength, noise=0.02), "5")
    assert found.sureness is Sureness.decided
    assert found.contenders == (3,) == (found.chosen,)
    assert found.bounds[3] == 0
    assert found.bounds[0] > 0.05


def test_two_columns_that_lie_together_far_above_the_rest_are_both_contenders(make_table: MakeTable) -> None:
    strength = FLAT | {"freeze-3": (1.2, 0.2), "freeze-1": (1.2, 0.2)}
    found = decided(make_table(seeds=10, columns=DEPTHS, strength=strength, noise=0.02), "5")
    assert found.sureness in (Sureness.open, Sureness.nearly)
    assert sorted(found.contenders) == [1, 3]
    assert found.chosen in (1, 3)


def test_how_sure_it_is_goes_by_the_margin(make_table: MakeTable) -> None:
    settings = {"seeds": 10, "columns": DEPTHS, "strength": FLAT, "noise": 0.02, "per_class": (200,) * 4}
    bound = float(decided(make_table(margin=1e-6, **settings), "5").bounds.min())
    assert 0.01 < bound < 0.1
    for margins, sureness in ((0.999, Sureness.nearly), (2.99, Sureness.nearly), (3.01, Sureness.open)):
        found = decided(make_table(margin=bound / margins, **settings), "5")
        lost = found.bounds[found.chosen]
        expected = Sureness.decided if lost <= found.margin else sureness
        assert found.sureness is expected
    wide = decided(make_table(margin=0.1, **settings), "5")
    assert (wide.chosen, wide.sureness) == (5, Sureness.decided)


def test_chance_is_recommended_nothing(make_table: MakeTable) -> None:
    strength = {column.name: (-0.5755, 0.0) for column in DEPTHS}  # an accuracy of 1 / 4
    table = make_table(seeds=10, columns=DEPTHS, strength=strength, margin=0.5)
    found = decided(table, "20")
    assert found.sureness is Sureness.chance
    assert found.chosen is None
    assert decided(table, "20", above=True).chosen is not None, "an earlier look has told that it is better"


def test_a_dozen_columns_of_three_seeds_are_told_from_guessing_together(make_table: MakeTable) -> None:
    """At once the interval of each is 15 standard errors wide to each side, and none would be."""
    columns = [dataclasses.replace(DEPTHS[0], name=f"c{number}", depth=None, role=Role.way) for number in range(12)]
    settings = {"columns": columns, "seeds": 3, "noise": 0.3, "failed": (), "waiting": (), "missing": ()}
    better = decided(make_table(strength={column.name: (-0.1, 0.0) for column in columns}, **settings), "20")
    assert max(each.value for each in better.reached) > 0.5
    assert all(each.low is not None and each.low < 0.25 for each in better.reached)
    assert (better.sureness, better.chosen is None) == (Sureness.open, False)
    guessing = decided(make_table(strength={column.name: (-0.5755, 0.0) for column in columns}, **settings), "20")
    assert (guessing.sureness, guessing.chosen) == (Sureness.chance, None)


def test_one_seed_takes_the_highest_mean_and_bounds_nothing(make_table: MakeTable) -> None:
    found = decided(make_table(seeds=1, strength=FLAT | {"freeze-2": (2.5, 0.2)}, columns=DEPTHS), "5")
    assert (found.sureness, taken(found)) == (Sureness.one_seed, "freeze-2")
    assert (found.bounds == 1).all()


def test_columns_with_a_single_replicate_are_left_out(make_table: MakeTable) -> None:
    failed = [("freeze-2", "5", seed) for seed in range(1, 4)]
    found = decided(make_table(seeds=4, failed=failed, waiting=()), "5")
    assert found.left_out == ("freeze-2",)
    assert len(found.candidates) == 5
    assert found.seeds == (0, 1, 2, 3)


def test_means_are_compared_over_shared_seeds(make_table: MakeTable) -> None:
    table = make_table(seeds=5, failed=[("freeze-1", "20", 3)], waiting=[("freeze-2", "20", 0)])
    found = decided(table, "20")
    assert found.seeds == (1, 2, 4)
    cell = table.cells["freeze-5", "20"]
    shared = [each.metrics["test/balanced_accuracy"] for each in cell.finished if each.seed in found.seeds]
    assert found.means[5] == pytest.approx(np.mean(shared))


def test_columns_without_a_common_seed_have_no_bound(make_table: MakeTable) -> None:
    failed = [("freeze-0", "5", 0), ("freeze-0", "5", 1), ("freeze-1", "5", 2), ("freeze-1", "5", 3)]
    found = decided(make_table(seeds=4, failed=failed, waiting=()), "5")
    assert found.bounds[0] == found.bounds[1] == 1
    assert (found.bounds[2:] < 1).all()


def with_costs(table: StudyTable, operations: dict[str, int]) -> StudyTable:
    cells = {
        place: dataclasses.replace(cell, operations=operations[cell.column]) for place, cell in table.cells.items()
    }
    return dataclasses.replace(table, cells=cells)


def test_cost_is_what_trains_and_then_what_an_image_takes(make_table: MakeTable) -> None:
    sizes = {"full": 300_000, "lora": 5_000, "lpft": 300_000, "norm": 300_000, "unknown": 0}
    columns = [Column(name=name, title=name, role=Role.way, depth=0, trainable=size) for name, size in sizes.items()]
    table = make_table(columns=columns, strength=dict.fromkeys(sizes, (0.5, 0.2)), missing=())
    operations = {"full": 2, "lora": 9, "lpft": 1, "norm": 2, "unknown": 1}
    found = decided(with_costs(table, operations), "5")
    assert dict(zip(sizes, found.costs.tolist(), strict=True)) == {
        "full": 2, "lora": 0, "lpft": 1, "norm": 2, "unknown": 3,
    }  # fmt: skip
    assert found.cheapest == (1, 2, 0, 3, 4)


def test_deeper_freezing_is_cheaper(make_table: MakeTable) -> None:
    found = decided(make_table(), "5")
    assert [found.name(place) for place in found.cheapest] == [f"freeze-{depth}" for depth in (5, 4, 3, 2, 1, 0)]


def test_the_network_that_imagenet_favours_is_taken_where_the_seeds_cannot_tell(make_table: MakeTable) -> None:
    strength = {"freeze-5": (1.0, 0.2), "freeze-1": (1.0, 0.2), "freeze-0": (0.2, 0.2)}
    columns = [column for column in DEPTHS if column.name in strength]
    taken_as = set()
    for seeds in range(4, 12):
        table = make_table(seeds=seeds, columns=columns, strength=strength, noise=0.02, per_class=(60,) * 4)
        plain = decided(table, "5")
        high = plain.name(plain.ranked[0])
        own = {"freeze-5", "freeze-1"} - {high}
        known = [
            Entrant(name="high", columns=(high,), operations=1, prior=0.7),
            Entrant(name="other", columns=(*own, "freeze-0"), operations=2, prior=0.8),
            Entrant(name="own weights", columns=("freeze-0",), operations=1),  # of which ImageNet says nothing
        ]
        stated = {**table.about["study"], "entrants": [dataclasses.asdict(each) for each in known]}
        found = decided(dataclasses.replace(table, about={**table.about, "study": stated}), "5")
        places = {found.name(place): place for place in range(3)}
        [other] = own
        reached = [
            np.array([run.metrics["test/balanced_accuracy"] for run in table.cells[name, "5"].finished])
            for name in (high, other)
        ]
        error = np.std(reached[0] - reached[1], ddof=1) / seeds**0.5
        assert found.leeway[places[other], places[high]] == pytest.approx(error)
        trails = found.means[places[high]] - found.means[places[other]]
        known_as_good = (found.bounds <= found.margin).any()
        expected = taken(plain) if trails > error + 1e-9 or known_as_good else other
        assert taken(found) == expected
        assert not plain.leeway.any()
        taken_as |= {expected == other}
    assert taken_as == {True, False}, "both came"
