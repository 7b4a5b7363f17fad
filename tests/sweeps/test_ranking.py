import dataclasses
import statistics
from collections.abc import Callable

import pytest

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.ranking import Standing, budgets, rank
from tlexp.tracking import RunStatus

Swept = Callable[..., list[JobOutcome]]

LOSS = {"all": 0.5, "none": 0.3, "last": 0.4}


def losses(point: dict[str, str]) -> dict[str, float]:
    return {"val/loss": LOSS[point["freeze"]] + 0.1 * int(point["seed"]), "val/accuracy": LOSS[point["freeze"]]}


def order(standing: Standing) -> list[str]:
    return [candidate.settings["freeze"] for candidate in standing.ranked]


GRID = {"freeze": ("all", "none", "last"), "seed": ("0", "1", "2")}


def test_points_are_averaged_over_seeds_and_ranked_in_the_direction(swept: Swept) -> None:
    runs = swept(GRID, losses)
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert order(standing) == ["none", "last", "all"]
    best = standing.ranked[0].summary("val/loss")
    assert best is not None
    assert (best.mean, best.count) == (pytest.approx(0.4), 3)
    assert best.deviation == pytest.approx(statistics.stdev([0.3, 0.4, 0.5]))
    [standing] = rank(runs, objective="val/accuracy", direction="maximize")
    assert order(standing) == ["all", "last", "none"]


def test_data_seeds_are_seeds_and_one_seed_has_no_spread(swept: Swept) -> None:
    runs = swept({"freeze": ("all",), "data.seed": ("0", "1")}, lambda point: {"val/loss": 1.0})
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert [len(candidate.runs) for candidate in standing.ranked] == [2]
    runs = swept({"freeze": ("all",)}, lambda point: {"val/loss": 1.0})
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    found = standing.ranked[0].summary("val/loss")
    assert found is not None
    assert (found.deviation, found.count) == (None, 1)


def test_budgets_stand_apart_and_in_their_order(swept: Swept) -> None:
    runs = swept(
        {"labels": ("all", "100", "0.10", "5"), "freeze": ("none", "all", "last")}, lambda point: {"val/loss": 1.0}
    )
    standings = rank(runs, objective="val/loss", direction="minimize")
    assert [standing.labels for standing in standings] == ["5", "100", "0.1", "all"]
    assert all(order(standing) == ["none", "all", "last"] for standing in standings)  # equals stay in the sweep's order


def test_a_budget_that_is_not_swept_is_that_of_the_records(swept: Swept) -> None:
    def measure(point: dict[str, str]) -> object:
        return {"val/loss": 1.0} if point["freeze"] == "all" else (RunStatus.failed, "no memory")

    runs = swept({"freeze": ("all", "none")}, measure, "labels=010")
    assert budgets(runs) == ["10", "10"]
    assert budgets(runs[1:]) == ["?"]
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert [candidate.settings for candidate in standing.unranked] == [{"freeze": "none"}]


def test_a_candidate_that_lost_seeds_stands_below_those_that_did_not(swept: Swept) -> None:
    runs = swept(GRID, losses)
    lost = [run.point == {"freeze": "none", "seed": "1"} for run in runs]
    runs = [
        dataclasses.replace(run, status=RunStatus.diverged) if gone else run
        for run, gone in zip(runs, lost, strict=True)
    ]
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert order(standing) == ["last", "all", "none"]
    assert [candidate.whole for candidate in standing.ranked] == [True, True, False]
    found = standing.ranked[-1].summary("val/loss")
    assert found is not None
    assert (found.mean, found.count) == (pytest.approx(0.4), 2)


def test_a_candidate_of_which_a_run_was_pruned_is_not_ranked(swept: Swept) -> None:
    runs = [
        dataclasses.replace(run, status=RunStatus.pruned) if run.point == {"freeze": "none", "seed": "1"} else run
        for run in swept(GRID, losses)
    ]
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert order(standing) == ["last", "all"]
    assert [candidate.settings for candidate in standing.unranked] == [{"freeze": "none"}]


@pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.finished])
def test_only_finished_runs_count(swept: Swept, status: RunStatus) -> None:
    [run] = swept({"freeze": ("all",)}, lambda point: {"val/loss": 0.1})
    [standing] = rank([dataclasses.replace(run, status=status)], objective="val/loss", direction="minimize")
    assert standing.ranked == ()


def test_a_candidate_without_the_objective_is_not_ranked(swept: Swept) -> None:
    runs = swept(
        {"freeze": ("all", "none"), "seed": ("0", "1")},
        lambda point: {"val/loss": 1.0} if point == {"freeze": "all", "seed": "0"} else {"test/accuracy": 0.9},
    )
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert (standing.ranked, len(standing.unranked)) == ((), 2)


def test_the_test_split_never_ranks(swept: Swept) -> None:
    with pytest.raises(AssertionError, match="never ranks"):
        rank(swept(GRID, losses), objective="test/accuracy", direction="maximize")
