import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.studies.conftest import CONTROLS, DEPTHS, STRENGTH, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.decision import Decision, decide
from tlexp.studies.analysis.findings import Departure, Sureness
from tlexp.studies.analysis.rounds import HeldRounds, hold_rounds, plan_looks
from tlexp.studies.analysis.table import Column, Replicate, Role, StudyTable
from tlexp.tracking import RunStatus

COLUMNS = (*DEPTHS[:5], dataclasses.replace(DEPTHS[5], solved=True), *CONTROLS[:1])
APART = {f"freeze-{depth}": (value, 0.0) for depth, value in enumerate((-0.3, -0.3, -0.3, 0.79, 0.8, 0.79))}
"""Three columns near each other, and three far below."""
DEPTH = ("frozen", "half", "none")
"""Of each network; the first one is solved."""


def in_rounds(
    table: StudyTable, looks: tuple[int, ...] = (3, 10), *, run: int | None = None, stopped: int | None = None
) -> StudyTable:
    """Return the table of a study with looks; of what waits for rounds so many seeds have run."""
    study = {**table.about["study"], "looks": list(looks), "stopped": stopped}
    names = {column.name for column in table.columns if column.in_rounds}
    cells = {
        place: dataclasses.replace(cell, replicates=tuple(waiting(cell.replicates, run)))
        if place[0] in names and run is not None
        else cell
        for place, cell in table.cells.items()
    }
    return dataclasses.replace(table, about={**table.about, "study": study}, cells=cells)


def waiting(replicates: Iterable[Replicate], run: int) -> Iterable[Replicate]:
    return (each if each.seed < run else Replicate(seed=each.seed, status=None) for each in replicates)


def due(rounds: HeldRounds, column: str, labels: str) -> int:
    return len(rounds.table.cells[column, labels].replicates)


def of_networks(make_table: MakeTable, networks: str = "abcd") -> StudyTable:
    """Return a study of networks that are near each other, the first one the best, with three looks."""
    columns = tuple(
        Column(
            name=f"{name}-{depth}", title=depth, role=Role.way, depth=None, solved=depth == "frozen", entrant=name,
            trainable=9,
        )
        for name in networks
        for depth in DEPTH
    )  # fmt: skip
    made = make_table(
        seeds=30, columns=columns, budgets=("5", "20"), failed=(), waiting=(), missing=(), per_class=(20,) * 4,
        strength={each.name: (0.5 - 0.04 * networks.find(each.entrant), 0.05) for each in columns}, noise=0.02,
    )  # fmt: skip
    entrants = [
        {"name": name, "columns": [each.name for each in columns if each.entrant == name], "operations": 1, "prior": 7}
        for name in networks
    ]
    study = {**made.about["study"], "entrants": entrants, "trained": [3, 2]}
    return in_rounds(dataclasses.replace(made, about={**made.about, "study": study}), (3, 10, 30))


@pytest.fixture
def table(make_table: MakeTable) -> StudyTable:
    return make_table(
        seeds=10, columns=COLUMNS, budgets=("2", "20"), strength=STRENGTH | APART, failed=(), waiting=(), noise=0.03,
        per_class=(200,) * 4,
    )  # fmt: skip


def test_a_look_is_followed_by_one_with_twice_as_many_seeds_at_least() -> None:
    assert [plan_looks(seeds) for seeds in (1, 3, 5, 6, 10, 19, 20, 30)] == [
        (1,), (3,), (5,), (3, 6), (3, 10), (3, 19), (3, 10, 20), (3, 10, 30),
    ]  # fmt: skip


def test_what_a_look_has_told_from_guessing_is_so_at_the_next_one(
    table: StudyTable, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The average of all columns may have told it, and what it was the average of has left."""
    heard: list[tuple[str, bool]] = []

    def listening(table: StudyTable, labels: str, *rest: Any, above: bool, **more: Any) -> Decision:
        heard.append((labels, above))
        return decide(table, labels, *rest, above=above, **more)

    monkeypatch.setattr("tlexp.studies.analysis.rounds.decide", listening)
    assert hold_rounds(in_rounds(table)).round == 2
    assert heard[:2] == [("2", False), ("20", False)]
    assert {above for _, above in heard[2:]} == {True}
    heard.clear()
    guessing = dict.fromkeys((column.name for column in COLUMNS), (-0.5755, 0.0))
    nothing = make_table(seeds=10, columns=COLUMNS, budgets=("2",), strength=guessing, failed=(), waiting=())
    assert hold_rounds(in_rounds(nothing)).looks["2"].decision.sureness is Sureness.chance
    assert heard == [("2", False), ("2", False)]


def test_what_waits_for_rounds_has_its_first_seeds_and_all_else_all(table: StudyTable) -> None:
    rounds = hold_rounds(in_rounds(table, run=0))
    assert (rounds.round, rounds.ended) == (1, False)
    assert {due(rounds, f"freeze-{depth}", "2") for depth in range(5)} == {3}
    assert (due(rounds, "freeze-5", "2"), due(rounds, "scratch", "20")) == (10, 10)


def test_a_round_goes_on_until_all_that_decides_has_run(table: StudyTable) -> None:
    for run, number in ((2, 1), (3, 2), (9, 2)):
        rounds = hold_rounds(in_rounds(table, run=run))
        assert (rounds.round, rounds.ended) == (number, False)
    assert hold_rounds(in_rounds(table)).ended


def test_only_what_may_still_be_the_best_goes_on_at_budgets_that_are_open(table: StudyTable) -> None:
    rounds = hold_rounds(in_rounds(table, run=3))
    assert {column for column, _ in rounds.dropped} == {"freeze-0", "freeze-1", "freeze-2"}
    assert set(rounds.dropped.values()) == {Departure(round=1, surely=True)}
    for labels in table.budgets:
        assert [due(rounds, f"freeze-{depth}", labels) for depth in range(5)] == [3, 3, 3, 10, 10]
        assert [cell.column for cell in rounds.looks[labels].decision.candidates] == [
            f"freeze-{at}" for at in (3, 4, 5)
        ]


def test_after_each_look_a_network_fewer_trains(make_table: MakeTable) -> None:
    rounds = hold_rounds(of_networks(make_table))
    assert {each.sureness for each in (look.decision for look in rounds.looks.values())} == {Sureness.open}
    for depth, counts in dict(zip(DEPTH, ([30] * 4, [30, 30, 10, 3], [30, 30, 10, 3]), strict=True)).items():
        for labels in ("5", "20"):
            assert [due(rounds, f"{name}-{depth}", labels) for name in "abcd"] == counts
    assert rounds.dropped["d-half", "5"] == Departure(round=1, surely=False)
    assert rounds.dropped["c-none", "20"] == Departure(round=2, surely=False)
    assert len(rounds.dropped) == 8


def as_others(table: StudyTable, others: Mapping[tuple[str, str], str]) -> StudyTable:
    """Return the table with cells that have what another column has: (column, budget) -> that one."""
    cells = {
        place: dataclasses.replace(table.cells[other, place[1]], column=place[0]) for place, other in others.items()
    }
    return dataclasses.replace(table, cells={**table.cells, **cells})


def leaving(rounds: HeldRounds, number: int = 1) -> set[str]:
    """Return the columns that left training to others after a round."""
    return {name for (name, _), left in rounds.dropped.items() if left.round == number and not left.surely}


def test_in_a_study_that_says_nothing_of_it_all_networks_train_on(make_table: MakeTable) -> None:
    table = of_networks(make_table)
    study = {name: value for name, value in table.about["study"].items() if name != "trained"}
    assert hold_rounds(dataclasses.replace(table, about={**table.about, "study": study})).dropped == {}


def test_a_network_goes_on_for_its_best_column(make_table: MakeTable) -> None:
    table = of_networks(make_table)
    rounds = hold_rounds(as_others(table, {("d-none", labels): "a-none" for labels in ("5", "20")}))
    assert leaving(rounds) == {"c-half", "c-none"}


def test_a_network_does_not_train_on_for_its_probe(make_table: MakeTable) -> None:
    table = of_networks(make_table)
    rounds = hold_rounds(as_others(table, {("d-frozen", labels): "a-none" for labels in ("5", "20")}))
    assert leaving(rounds) == {"d-half", "d-none"}


def test_a_budget_at_which_a_network_has_left_tells_nothing_of_the_others(make_table: MakeTable) -> None:
    table = of_networks(make_table)
    far = dataclasses.replace(table.cells["d-none", "5"], column="d-none")
    wrong = tuple(dataclasses.replace(each, correct=np.zeros_like(each.correct)) for each in far.replicates)
    cells = {(f"d-{depth}", "5"): dataclasses.replace(far, column=f"d-{depth}", replicates=wrong) for depth in DEPTH}
    there = as_others(table, {(f"d-{depth}", "20"): f"b-{depth}" for depth in DEPTH})
    rounds = hold_rounds(dataclasses.replace(there, cells={**there.cells, **cells}))
    assert {place for place, left in rounds.dropped.items() if left.surely} == {(f"d-{at}", "5") for at in DEPTH}
    assert leaving(rounds) == {"c-half", "c-none"}
    assert due(rounds, "d-none", "20") == 10


def test_two_networks_train_on_beside_one_that_has_only_its_probe_left(make_table: MakeTable) -> None:
    table = of_networks(make_table, "abc")
    cells = dict(table.cells)
    for depth, labels in itertools.product(("half", "none"), ("5", "20")):
        cell = cells[f"a-{depth}", labels]
        wrong = tuple(dataclasses.replace(each, correct=np.zeros_like(each.correct)) for each in cell.replicates)
        cells[f"a-{depth}", labels] = dataclasses.replace(cell, replicates=wrong)
    rounds = hold_rounds(dataclasses.replace(table, cells=cells))
    assert {name for (name, _), left in rounds.dropped.items() if left.surely} == {"a-half", "a-none"}
    assert leaving(rounds) | leaving(rounds, 2) == set()
    assert due(rounds, "c-none", "5") == 30


def test_a_network_goes_on_for_what_it_reached_on_average_of_the_budgets_that_are_open(make_table: MakeTable) -> None:
    table = of_networks(make_table)  # d is the last at one of them, and c by far at the other
    swapped = {("5", "c"): "d", ("5", "d"): "a", ("20", "c"): "b", ("20", "d"): "c"}
    others = {(f"{name}-{at}", labels): f"{other}-{at}" for (labels, name), other in swapped.items() for at in DEPTH}
    assert leaving(hold_rounds(as_others(table, others))) == {"c-half", "c-none"}


def test_a_budget_that_is_decided_takes_no_more_seeds_and_keeps_what_was_said(table: StudyTable) -> None:
    cells = dict(table.cells)
    for name in ("freeze-3", "freeze-4"):  # at 20 labels freeze-5 is the best by far
        cells[name, "20"] = dataclasses.replace(cells["freeze-0", "20"], column=name)
    early = hold_rounds(in_rounds(dataclasses.replace(table, cells=cells), run=3))
    late = hold_rounds(in_rounds(dataclasses.replace(table, cells=cells)))
    for rounds in (early, late):
        assert {due(rounds, f"freeze-{depth}", "20") for depth in range(5)} == {3}
        assert (rounds.looks["20"].round, rounds.looks["2"].round) == (1, 2)
        assert rounds.looks["20"].decision.sureness is Sureness.decided
    assert np.array_equal(early.looks["20"].decision.bounds, late.looks["20"].decision.bounds)


def test_each_look_has_its_share_of_the_error(table: StudyTable) -> None:
    """A single look may make the whole; the first of three has a tenth of it and wider bounds."""
    widths = []
    for looks in ((3,), (3, 10), (3, 10, 30)):
        rounds = hold_rounds(in_rounds(table, looks, run=3, stopped=1))
        assert rounds.ended
        widths.append(rounds.looks["2"].decision.widths[3, 4])
    assert widths[0] < widths[1] < widths[2]
    alone = hold_rounds(in_rounds(table, (3,), run=3)).looks["2"].decision
    assert np.array_equal(alone.widths, hold_rounds(in_rounds(table, (3,))).looks["2"].decision.widths)


def test_the_minutes_end_the_rounds(table: StudyTable) -> None:
    rounds = hold_rounds(in_rounds(table, run=3, stopped=1))
    assert (rounds.round, rounds.ended, rounds.dropped) == (1, True, {})
    assert due(rounds, "freeze-3", "2") == 3


def test_a_replicate_that_failed_holds_no_round_up_and_one_that_was_killed_does(table: StudyTable) -> None:
    for status, number in ((RunStatus.diverged, 2), (RunStatus.killed, 1)):
        cell = table.cells["freeze-3", "2"]
        lost = dataclasses.replace(cell.replicates[1], status=status, correct=None)
        cells = dict(table.cells) | {
            ("freeze-3", "2"): dataclasses.replace(cell, replicates=(cell.replicates[0], lost, *cell.replicates[2:]))
        }
        assert hold_rounds(in_rounds(dataclasses.replace(table, cells=cells), run=3)).round == number


def test_a_column_of_which_every_replicate_failed_is_not_run_again(table: StudyTable) -> None:
    cell = table.cells["freeze-3", "2"]
    failed = tuple(dataclasses.replace(each, status=RunStatus.oom, correct=None) for each in cell.replicates)
    cells = dict(table.cells) | {("freeze-3", "2"): dataclasses.replace(cell, replicates=failed)}
    rounds = hold_rounds(in_rounds(dataclasses.replace(table, cells=cells)))
    assert (due(rounds, "freeze-3", "2"), due(rounds, "freeze-3", "20")) == (3, 10)


def test_findings_say_what_was_dropped_and_count_what_was_planned(table: StudyTable) -> None:
    found = analyse(in_rounds(table, run=10))
    for recommendation in found.recommendations:
        assert recommendation.dropped == dict.fromkeys(
            ("freeze-0", "freeze-1", "freeze-2"), Departure(round=1, surely=True)
        )
        assert recommendation.round == 2
        assert recommendation.seeds == tuple(range(10))
    assert found.cells["freeze-0", "2"].count == 3
    assert sum(cell.missing for cell in found.cells.values()) == 0
    losses = {regret.rule.rpartition("(")[2].rstrip(")"): regret.losses for regret in found.regrets}
    assert losses["freeze-1"]["2"] > 0.1


def test_a_study_without_looks_has_one_that_sees_everything(make_table: MakeTable) -> None:
    found = make_table()
    rounds = hold_rounds(found)
    assert (rounds.round, rounds.dropped) == (1, {})
    assert {place: len(cell.replicates) for place, cell in rounds.table.cells.items()} == {
        place: len(cell.replicates) for place, cell in found.cells.items()
    }


def test_groups_of_test_images_keep_a_budget_open(table: StudyTable) -> None:
    apart = dataclasses.replace(table, margin=0.05)
    alike = np.arange(len(table.labels)) // 40
    plain, grouped = hold_rounds(apart), hold_rounds(dataclasses.replace(apart, groups=alike))
    assert grouped.images.group_count == 20
    bounds = [rounds.looks["20"].decision.bounds.max() for rounds in (plain, grouped)]
    assert bounds[1] > bounds[0]
    few = dataclasses.replace(apart, groups=np.arange(len(table.labels)) // 100)
    assert hold_rounds(few).looks["20"].decision.sureness is Sureness.few_groups
    assert (hold_rounds(in_rounds(few)).round, hold_rounds(in_rounds(few)).dropped) == (1, {})
