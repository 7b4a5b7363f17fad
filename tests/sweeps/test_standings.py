import dataclasses
import itertools
import re
from collections.abc import Callable

import pytest

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.ranking import rank
from tlexp.sweeps.standings import WIDTH, count_line, faults_table, provenance, standing_table
from tlexp.tracking import RunStatus

Swept = Callable[..., list[JobOutcome]]


def tables(runs: list[JobOutcome], objective: str = "val/loss", direction: str = "minimize") -> str:
    standings = rank(runs, objective=objective, direction=direction)
    shown = [standing_table(standing, objective=objective, direction=direction) for standing in standings]
    return "\n\n".join([count_line(runs), *shown, faults_table(runs), provenance(runs)])


def measure(point: dict[str, str]) -> object:
    if point.get("freeze") == "none" and point.get("seed") == "1":
        return RunStatus.diverged, "the loss is nan at step 3"
    if point.get("freeze") == "last":
        return (RunStatus.oom, "no memory") if point["seed"] == "0" else None
    return {"val/loss": 0.41237 + 0.03 * int(point.get("seed", 0)), "test/balanced_accuracy": 0.9}


def test_the_whole_table(swept: Swept) -> None:
    runs = swept({"freeze": ("none", "all", "last"), "labels": ("20",), "seed": ("0", "1")}, measure)
    assert (
        tables(runs)
        == """\
6 runs: 3 finished, 1 diverged, 1 oom, 1 not run

labels=20, ranked by val/loss (lowest first), mean +- standard deviation over seeds
     freeze  seeds   val/loss        test/balanced_accuracy
  1  all     2       0.427 +- 0.021  0.900 +- 0.000
  2  none    1 of 2  0.412           0.900
  -  last    0 of 2  not run, oom    -
  (averages with fewer seeds leave out those that did not finish, and stand last)
nothing can be told apart from one seed: sweep several as well, e.g. seed=0,1,2,3,4

not finished
  1 run diverged: the loss is nan at step 3
      freeze=none labels=20 seed=1
  1 run oom: no memory
      freeze=last labels=20 seed=0
  1 run not run
      freeze=last labels=20 seed=1

seeds 0, 1; device cpu; tlexp 0.1.0; commit abcdef0"""
    )


def test_pruned_settings_have_no_place_and_are_not_listed_among_the_faults(swept: Swept) -> None:
    def measured(point: dict[str, str]) -> object:
        if point == {"freeze": "none", "labels": "20", "seed": "1"}:
            return RunStatus.pruned, "its validation loss was high"
        worse = {"all": 0, "none": 0, "last": 1 + int(point["seed"])}[point["freeze"]]
        return {"val/loss": 0.41 + worse / 10, "test/balanced_accuracy": 0.9}

    freezes = ("none", "all", "last")
    text = tables(swept({"freeze": freezes, "labels": ("20",), "seed": ("0", "1")}, measured))
    assert "6 runs: 5 finished, 1 pruned" in text
    assert "(95 %, differences paired by 2 seeds); what was pruned is left out" in " ".join(text.split())
    assert re.search(r"^  1  all     2       0.410 \+- 0.000 ", text, re.MULTILINE)
    assert re.search(r"^  -  none    1 of 2  finished, pruned +0.900$", text, re.MULTILINE)
    assert "  1 run pruned: its validation loss was high" in text
    assert "freeze=none" not in text


PAIRED = {"0.1": (0.30, 0.41, 0.52), "0.2": (0.31, 0.40, 0.53), "0.3": (0.50, 0.61, 0.73)}


def test_what_can_be_told_apart_is_said_with_paired_intervals(swept: Swept) -> None:
    axes = {"optim.lr": tuple(PAIRED), "seed": ("0", "1", "2")}
    runs = swept(axes, lambda point: {"val/loss": PAIRED[point["optim.lr"]][int(point["seed"])]})
    [standing] = rank(runs, objective="val/loss", direction="minimize")
    assert (
        standing_table(standing, objective="val/loss", direction="minimize")
        == """\
labels=20, ranked by val/loss (lowest first), mean +- standard deviation over seeds
     optim.lr  seeds  val/loss        behind the first       test/balanced_accuracy
  1  0.1       3      0.410 +- 0.110                         -
  2  0.2       3      0.413 +- 0.111  0.003 [-0.038, 0.045]  -
  3  0.3       3      0.613 +- 0.115  0.203 [0.183, 0.224]   -
1, 2 cannot be told apart: the best one is among them (95 %, differences paired by 3 seeds)"""
    )


def test_all_or_one_may_be_the_best(swept: Swept) -> None:
    axes = {"optim.lr": ("0.1", "0.2"), "seed": ("0", "1", "2")}
    runs = swept(axes, lambda point: {"val/loss": PAIRED[point["optim.lr"]][int(point["seed"])]})
    assert "none can be told from the best one (95 %, differences paired by 3 seeds)" in tables(runs)
    axes = {"optim.lr": ("0.1", "0.3"), "seed": ("0", "1", "2")}
    runs = swept(axes, lambda point: {"val/loss": PAIRED[point["optim.lr"]][int(point["seed"])]})
    assert "1 is the best one (95 %, differences paired by 3 seeds)" in tables(runs)


def test_a_budget_without_the_objective_says_that_it_is_not_ranked(swept: Swept) -> None:
    text = tables(swept({"freeze": ("all",)}, lambda point: {"test/balanced_accuracy": 0.5}, "labels=1"))
    assert "labels=1, not ranked: no run has val/loss\n" in text
    assert "  -  all     1      -         0.500" in text


def test_the_highest_comes_first_where_that_is_asked_for(swept: Swept) -> None:
    runs = swept({"seed": ("0",), "freeze": ("all", "none")}, lambda point: {"val/loss": float(len(point["freeze"]))})
    text = tables(runs, direction="maximize")
    assert "(highest first), one seed each" in text
    assert text.index("1  none") < text.index("2  all")


def test_many_settings_with_long_values_fit_into_the_width(swept: Swept) -> None:
    axes = {
        "backbone.name": ("resnet18.a1_in1k_with_a_very_long_tag_of_its_weights", "resnet18"),
        "optim.lr": ("0.00012345678901234", "0.01"),
        "optim.weight_decay": ("0.0001", "0.01"),
        "train.batch_size": ("8", "16"),
        "backbone.image_size": ("32", "64"),
        "data.per_class": ("120",),
    }
    text = tables(swept(axes, lambda point: {"val/loss": 0.5, "test/balanced_accuracy": 0.5}))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "... and 17 more in results.csv" in text
    header = next(line for line in text.splitlines() if "seeds" in line)
    assert header.split()[:2] == ["name", "lr"]  # of backbone.name and optim.lr: the short names are told apart


def test_rates_that_a_search_drew_have_four_digits(swept: Swept) -> None:
    text = tables(swept({"optim.lr": ("0.00012345678901234", "0.0912345678901234")}, lambda point: {"val/loss": 0.5}))
    assert "1  0.0001235  1" in text
    assert "2  0.09123    1" in text


def test_more_settings_than_a_line_holds_are_cut_off(swept: Swept) -> None:
    runs = swept({"seed": ("0",)}, lambda point: {"val/loss": 0.5})
    points = [{f"group.a_long_key_{number}": "a long value" for number in range(20)}]
    runs = [JobOutcome(**{**vars(run), "point": point}) for run, point in zip(runs, points, strict=True)]
    assert max(map(len, tables(runs).splitlines())) <= WIDTH


def test_reasons_that_agree_are_told_once_and_long_ones_are_cut(swept: Swept) -> None:
    axes = {"freeze": ("all", "none"), "labels": tuple(str(number) for number in range(1, 11)), "seed": ("0", "1")}
    runs = swept(axes, lambda point: (RunStatus.failed, "no such folder\n" + "word " * 200))
    text = faults_table(runs)
    assert text.count("no such folder") == 1
    assert "40 runs failed: no such folder word" in text
    assert "freeze=all labels=1 seed=0,1\n" in text
    assert "... and 8 more in results.csv" in text
    assert text.count("seed=0,1\n") == 12
    assert len(text) < 1500
    assert max(map(len, text.splitlines())) <= WIDTH


def test_many_kinds_of_faults_are_counted(swept: Swept) -> None:
    reasons = itertools.count()
    runs = swept({"seed": tuple(map(str, range(12)))}, lambda point: (RunStatus.failed, f"reason {next(reasons)}"))
    text = faults_table(runs)
    assert "... and 4 more kinds in results.csv" in text
    assert text.count("1 run failed: reason") == 8


def test_control_signs_do_not_reach_the_terminal(swept: Swept) -> None:
    text = tables(swept({"seed": ("0",)}, lambda point: (RunStatus.failed, "bad \x1b[2J image\rname")))
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert "bad ?[2J image name" in text


def test_what_was_done_outside_the_protocol_is_said(swept: Swept) -> None:
    runs = swept({"seed": ("0", "1")}, lambda point: {"val/loss": 0.5})
    record = runs[0].record
    assert record is not None
    train = dataclasses.replace(record.train, outside_protocol=("train.limit_steps=6",))
    runs[0] = dataclasses.replace(runs[0], record=dataclasses.replace(record, train=train))
    assert "outside protocol: train.limit_steps=6 (1 of 2 runs)" in provenance(runs)


@pytest.mark.parametrize(("figure", "shown"), [(123456.7, "123,457"), (0.00012, "1.20e-04"), (0.5, "0.500")])
def test_figures_of_every_size_are_legible(swept: Swept, figure: float, shown: str) -> None:
    assert f" {shown}" in tables(swept({"seed": ("0",)}, lambda point: {"cost/seconds": figure}), "cost/seconds")
