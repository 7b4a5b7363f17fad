import dataclasses

import numpy as np
import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.decision import Decision, decide
from tlexp.studies.analysis.findings import Findings, Verdict
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.analysis.table import Column, Role, StudyTable

FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def decided(table: StudyTable, labels: str) -> Decision:
    found: Findings = analyse(table)
    return decide(table, labels, TestImages(labels=table.labels), found.cells, found.differences)


def test_contenders_are_those_that_nothing_is_distinguishably_better_than(make_table: MakeTable) -> None:
    table = make_table(seeds=10, per_class=(300,) * 4, noise=0.02)
    found = decided(table, "2")
    names = [cell.column for cell in found.candidates]
    differences = [each for each in analyse(table).differences if each.labels == "2"]
    worse = {each.second if each.value > 0 else each.first for each in differences if each.distinguishable}
    assert worse
    assert {names[place] for place in found.contenders} <= set(names) - worse
    assert names[found.contenders[0]] == "freeze-5"


def test_a_column_distinguishably_better_than_all_is_chosen(make_table: MakeTable) -> None:
    strength = FLAT | {"freeze-3": (1.2, 0.2)}
    found = decided(make_table(seeds=10, columns=DEPTHS, strength=strength, noise=0.02), "5")
    assert found.verdict is Verdict.best
    assert found.contenders == (3,) == (found.chosen,)
    assert found.worst[3] == 0


def test_two_columns_that_lie_together_far_above_the_rest_are_both_contenders(make_table: MakeTable) -> None:
    strength = FLAT | {"freeze-3": (1.2, 0.2), "freeze-1": (1.2, 0.2)}
    found = decided(make_table(seeds=10, columns=DEPTHS, strength=strength, noise=0.02), "5")
    assert found.verdict is Verdict.undecided
    assert sorted(found.contenders) == [1, 3]


def test_a_wide_margin_makes_the_cheapest_of_nearly_equals_the_choice(make_table: MakeTable) -> None:
    table = make_table(seeds=10, columns=DEPTHS, strength=FLAT, noise=0.02, per_class=(200,) * 4, margin=0.1)
    found = decided(table, "5")
    assert found.chosen == 5
    assert found.verdict in (Verdict.cheaper, Verdict.best)


def test_the_cheapest_contender_beats_guessing_where_one_does(make_table: MakeTable) -> None:
    found = decided(make_table(seeds=10, columns=DEPTHS, strength=FLAT, noise=0.02, failed=(), waiting=()), "5")
    assert set(found.contenders) == set(range(6))
    assert found.cheapest == 5
    alone = np.array([True, True, True, True, False, False])
    assert dataclasses.replace(found, alone=alone).cheapest == 3
    assert dataclasses.replace(found, alone=~alone & alone).cheapest == 5


def test_chance_is_recommended_nothing(make_table: MakeTable) -> None:
    strength = {column.name: (-0.5755, 0.0) for column in DEPTHS}  # an accuracy of 1 / 4
    found = decided(make_table(seeds=10, columns=DEPTHS, strength=strength, margin=0.5), "20")
    assert found.verdict is Verdict.chance
    assert found.chosen is None


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


def test_ways_are_ordered_by_what_they_train_and_then_by_seconds(make_table: MakeTable) -> None:
    columns = [
        Column(name=name, title=name, role=Role.way, depth=0, trainable=trainable)
        for name, trainable in (("full", 300_000), ("lora", 5_000), ("lpft", 300_000), ("unknown", 0))
    ]
    table = make_table(columns=columns, strength={column.name: (0.5, 0.2) for column in columns}, missing=())
    found = decided(table, "5")
    names = [found.candidates[place].column for place in found.order]
    assert names[0] == "lora"
    assert names[-1] == "unknown"


def test_depths_are_ordered_from_the_deepest(make_table: MakeTable) -> None:
    found = decided(make_table(), "5")
    assert [found.candidates[place].column for place in found.order] == [
        f"freeze-{depth}" for depth in (5, 4, 3, 2, 1, 0)
    ]


def test_what_to_take_now_is_judged_by_each_interval_alone(make_table: MakeTable) -> None:
    table = make_table(seeds=3, columns=DEPTHS, strength=FLAT, noise=0.3, failed=(), waiting=())
    found = decided(table, "5")
    beaten = [cell.column for cell, above in zip(found.candidates, found.above, strict=True) if not above]
    own = {column: each.accuracy for (column, labels), each in analyse(table).cells.items() if labels == "5"}
    assert beaten, "every interval at once lies above guessing"
    assert [own[cell.column].low > 0.25 for cell in found.candidates] == found.alone.tolist()
    assert found.alone.sum() > found.above.sum()
