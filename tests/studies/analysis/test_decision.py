import dataclasses

import numpy as np
import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.decision import Decision, Verdict, choose, decide, follow, tighten, worst_loss
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.analysis.table import Column, Role, StudyTable

ABOVE = np.ones(3, dtype=bool)
ORDER = (2, 1, 0)
FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def bounds(means: np.ndarray, half: float) -> np.ndarray:
    """Return how much each column (last axis) may lose against each other, where all intervals are as wide."""
    return means[..., :, None] - means[..., None, :] + half * (1 - np.eye(means.shape[-1]))


def chosen(means: list[float], half: float, margin: float, above: np.ndarray = ABOVE) -> int:
    values = np.array(means)
    return int(choose(values, worst_loss(tighten(bounds(values, half))), above, ORDER, margin))


def decided(table: StudyTable, labels: str) -> Decision:
    found: Findings = analyse(table)
    return decide(table, labels, TestImages(labels=table.labels), found.cells, found.differences)


def test_the_cheapest_column_that_is_safe_is_chosen() -> None:
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01) == 2
    assert chosen([0.8, 0.799, 0.795], half=0.005, margin=0.01) == 1  # 2 may lose 0.01: not less than the margin
    assert chosen([0.8, 0.79, 0.78], half=0.005, margin=0.01) == 0
    assert chosen([0.8, 0.799, 0.798], half=0.02, margin=0.01) == -1


def test_nothing_dearer_than_the_highest_mean_is_ever_chosen() -> None:
    losses = np.array([0.001, 0.5, 0.5])  # only column 0, the dearest, is safe
    assert choose(np.array([0.79, 0.8, 0.7]), losses, ABOVE, ORDER, 0.01) == -1
    assert choose(np.array([0.8, 0.79, 0.7]), losses, ABOVE, ORDER, 0.01) == 0


def test_of_equals_the_cheapest_is_chosen() -> None:
    assert chosen([0.8, 0.8, 0.8], half=0.005, margin=0.01) == 2


def test_what_is_not_better_than_guessing_is_never_chosen() -> None:
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01, above=np.array([True, True, False])) == 1
    assert chosen([0.8, 0.799, 0.798], half=0.005, margin=0.01, above=~ABOVE) == -1


def test_a_column_has_to_be_safe_against_every_other_not_only_against_the_highest_mean() -> None:
    """The highest mean is chosen by the same data; another may truly be better."""
    means = np.array([0.799, 0.8, 0.798])
    losses = bounds(means, 0.005)
    losses[0, 2] = losses[2, 0] = 0.04  # 0 and 2 differ on many images, and nothing says how much
    losses[0, 1] = losses[1, 0] = 0.04
    assert losses[1, 2] < 0.01
    assert choose(means, worst_loss(tighten(losses)), ABOVE, ORDER, 0.01) == -1


def test_bounds_follow_from_each_other() -> None:
    """b may lose 0.01 against a at most, c gains 0.03 over b at least: c gains 0.02 over a."""
    losses = np.array([[0.0, 0.01, 1.0], [1.0, 0.0, -0.03], [1.0, 1.0, 0.0]])
    assert tighten(losses)[0, 2] == pytest.approx(-0.02)
    assert (tighten(losses) <= losses).all()
    several = np.stack([losses, np.zeros((3, 3))])
    assert (tighten(several)[0] == tighten(losses)).all()


def test_bounds_that_contradict_each_other_stay() -> None:
    losses = np.array([[0.0, -0.01, 1.0], [1.0, 0.0, -0.01], [-0.01, 1.0, 0.0]])
    assert (tighten(losses) == losses).all()


def test_tightened_bounds_hold_wherever_the_bounds_hold() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 1, 6)
    gaps = truth[:, None] - truth
    losses = gaps + generator.random((6, 6)) * (1 - np.eye(6))
    assert (tighten(losses) >= gaps - 1e-12).all()


def test_the_rule_for_parts_of_the_data_is_the_rule_itself_and_else_the_highest_mean() -> None:
    widths = 0.005 * (1 - np.eye(3))
    pick = follow(widths, ABOVE, ORDER, 0.01)
    assert pick(np.array([[0.8, 0.799, 0.798], [0.8, 0.799, 0.7], [0.6, 0.9, 0.8]])).tolist() == [2, 1, 1]
    unsure = follow(widths * 10, ABOVE, ORDER, 0.01)
    assert unsure(np.array([[0.8, 0.799, 0.798], [0.6, 0.9, 0.8]])).tolist() == [0, 1]


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
