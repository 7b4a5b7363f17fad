import dataclasses

import numpy as np
import pytest

from tests.studies.conftest import DEPTHS, a_table
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.crossfit import highest
from tlexp.studies.analysis.forecast import Outlook, paired_change
from tlexp.studies.analysis.outlook import _as_picked
from tlexp.studies.analysis.table import Cell, Role, StudyTable

BUDGETS = ("2", "5", "10", "20", "50")
STEEP = {f"freeze-{depth}": (0.9 - 0.3 * abs(depth - 3), 0.5) for depth in range(6)}
"""Column -> (probit of the accuracy with 2 labels, what ten times add): three frozen units are best throughout."""


def looked(table: StudyTable) -> Outlook:
    outlook = analyse(table).outlook
    assert outlook is not None
    return outlook


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return a_table(
        seeds=4, columns=DEPTHS, budgets=BUDGETS, strength=STEEP, failed=(), waiting=(), missing=(), per_class=(40,) * 4
    )


def test_twice_the_labels_are_forecast_for_what_is_taken(table: StudyTable) -> None:
    outlook = looked(table)
    assert outlook.column == "freeze-3"
    assert outlook.twice is not None
    assert [each.labels for each in outlook.curve[:: len(outlook.curve) - 1]] == [50, 100]
    assert outlook.twice.gain.low < outlook.twice.gain.value < outlook.twice.gain.high
    assert outlook.twice.reached.value > outlook.curve[0].reached.value


def test_unfreezing_what_is_better_frozen_loses(table: StudyTable) -> None:
    outlook = looked(table)
    assert outlook.unfreezing is not None
    assert outlook.unfreezing.value < 0


def test_where_nothing_freezes_less_nothing_is_said_of_it() -> None:
    columns = tuple(column for column in DEPTHS if column.depth in (3, 5))
    table = a_table(
        seeds=3,
        columns=columns,
        budgets=BUDGETS,
        strength=STEEP,
        failed=(),
        waiting=(),
        missing=(),
        per_class=(40,) * 4,
    )
    assert looked(table).column == "freeze-3"
    assert looked(table).unfreezing is None


def test_of_several_networks_the_one_that_is_taken_is_unfrozen_and_no_other(table: StudyTable) -> None:
    def of(names: dict[str, str]) -> StudyTable:
        columns = [dataclasses.replace(each, role=Role.way, entrant=names.get(each.name, "a")) for each in DEPTHS]
        return dataclasses.replace(table, columns=tuple(columns))

    assert looked(of({})).unfreezing == looked(table).unfreezing
    assert looked(of({"freeze-3": "b"})).unfreezing is None


def test_labels_for_an_accuracy_are_a_range_or_not_within_twice(table: StudyTable) -> None:
    needed = looked(table).needed
    assert [each.accuracy for each in needed] == sorted(each.accuracy for each in needed)
    for each in needed:
        assert each.most is None or (each.least is not None and each.least <= each.most <= 100)
    assert needed[-1].most is None


def test_few_budgets_have_no_outlook_and_a_budget_without_shared_seeds_says_why(table: StudyTable) -> None:
    assert analyse(dataclasses.replace(table, budgets=BUDGETS[1:])).outlook is None
    cells = dict(table.cells)
    lone = cells["freeze-3", "10"]
    cells["freeze-3", "10"] = dataclasses.replace(lone, replicates=lone.replicates[:1])
    outlook = looked(dataclasses.replace(table, cells=cells))
    assert outlook.twice is None
    assert "two data seeds that finished at all of them" in str(outlook.reason)


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_new_draw_of_the_best_of_many_gains_what_the_band_says(seeds: int) -> None:
    """Of three columns that are equal but for luck each, the best against the best."""
    generator, held = np.random.default_rng(0), []
    for _ in range(400):
        scores = generator.normal(0.7, 0.02, (1, 6, seeds + 1)) + generator.normal(0, 0.02, (1, 1, seeds + 1))
        known, sides = scores[..., :seeds], (slice(0, 3), slice(3, 6))
        picked = [int(known[-1, side].mean(axis=-1).argmax()) for side in sides]
        first, second = (
            _as_picked(known[:, side], place, highest(range(3)))[-1] for side, place in zip(sides, picked, strict=True)
        )
        told = paired_change(first, second)
        new = scores[-1, 3 + picked[1], -1] - scores[-1, picked[0], -1]
        held.append(told.low <= new <= told.high)
    assert np.mean(held) > 0.87


def test_budgets_are_compared_on_the_images_that_all_of_them_were_tested_on(table: StudyTable) -> None:
    """The largest leaves nothing of the pool to be tested on, and what the others are tested on there is easy."""
    held_out = np.arange(len(table.labels)) % 2 == 0
    labels = np.concatenate([table.labels, table.labels[~held_out]])
    split = np.concatenate([np.ones(len(table.labels), bool), np.zeros((~held_out).sum(), bool)])

    def easier(cell: Cell) -> Cell:
        ones = np.ones((~split).sum(), bool)
        return dataclasses.replace(
            cell,
            replicates=tuple(
                dataclasses.replace(
                    each,
                    correct=np.concatenate([each.correct, ones]),
                    tested=split if cell.labels == BUDGETS[-1] else np.ones(len(split), bool),
                )
                for each in cell.replicates
            ),
        )

    plain = looked(table)
    changed = dataclasses.replace(
        table,
        labels=labels,
        names=(*table.names, *(f"rest/{place}" for place in range(len(labels) - len(table.labels)))),
        cells={place: easier(cell) for place, cell in table.cells.items()},
    )
    found = looked(changed)
    assert found.reason is None
    assert found.curve[0].reached.value == pytest.approx(plain.curve[0].reached.value, abs=1e-6)
    assert found.twice is not None
    assert plain.twice is not None
    assert found.twice.gain.value == pytest.approx(plain.twice.gain.value, abs=1e-6)
