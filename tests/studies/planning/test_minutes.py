import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.studies.conftest import ONE, Study
from tlexp.experiment.estimate import SolvingCost, UnitCosts
from tlexp.studies.analysis.rounds import HeldRounds
from tlexp.studies.planning import costs
from tlexp.studies.planning.costs import Estimate, training_cells
from tlexp.studies.planning.minutes import kept_for_finals, leave_out_again, leave_out_late, shorten_finals
from tlexp.studies.planning.rounds import ColumnTurn, in_order
from tlexp.studies.planning.study_plan import StudyPlan


def test_a_begun_study_keeps_what_it_began_with(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its finished runs take no time, but do not bring back what was left out; nor does a busier machine end it."""
    words = [*ONE, "study.labels=[2,4,6]", "study.minutes=60"]
    about = tmp_path / "multirun" / "s" / "study.json"
    monkeypatch.setattr(Estimate, "first", lambda *_: 9.0)
    monkeypatch.setattr(Estimate, "total", lambda _, plan: 9000.0 if len(plan.budgets) > 2 else 9.0)
    assert study(*words) == 0
    shown = capsys.readouterr().out
    assert "left out: labels=6: to fit study.minutes=60; the study would take about 2.5 h with it" in shown
    began = about.read_text()
    for seconds in (9.0, 9000.0):
        monkeypatch.setattr(Estimate, "total", lambda *_, seconds=seconds: seconds)
        assert study(*words, "--dry-run") == 0
        shown = capsys.readouterr().out
        assert "left out when it began: labels=6 (another study.minutes= plans anew)" in shown
        assert "2 runs, 0 to do" in shown
    monkeypatch.setattr(Estimate, "total", lambda *_: 9.0)
    assert study(*words) == 0
    assert about.read_text() == began
    assert study(*words, "study.minutes=600", "--dry-run") == 0
    assert "3 runs, 1 to do" in capsys.readouterr().out
    stated = json.loads(began)
    stated["study"]["stated"]["columns"] = ["random"]  # as of a study's own file that states another one since
    about.write_text(json.dumps(stated))
    assert study(*words, "--dry-run") == 0
    assert "3 runs, 1 to do" in capsys.readouterr().out
    del stated["study"]["stated"]  # of an early study
    about.write_text(json.dumps(stated))
    assert study(*words, "--dry-run") == 0
    assert "2 runs, 0 to do" in capsys.readouterr().out
    stated["study"]["replicates"] = {"0" * 64: ["freeze-5", "9", 0]}
    about.write_text(json.dumps(stated))
    assert study(*words, "--dry-run") == 2
    assert "study.json names no run of this study: remove it" in capsys.readouterr().err


def test_a_bill_says_what_the_minutes_will_do_also_when_a_study_goes_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was planned to fit may not when it goes on: on a machine that is busier, or when much has been spent."""
    words = [*ONE, "study.labels=[2,4]", "study.minutes=4"]
    monkeypatch.setattr("tlexp.studies.planning.costs.time.process_time", lambda: 0.0)  # of tests before this one
    assert study(*words) == 0
    assert "ends it" not in capsys.readouterr().out
    shutil.rmtree(min((tmp_path / "multirun/s/runs").iterdir()))
    assert study(*words, "--dry-run") == 0
    assert "ends it" not in capsys.readouterr().out
    over = r"^study.minutes=4, of which \d+ s are over, ends it "
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=0.0, image=50.0))  # 28 images pass once
    assert study(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert re.search(f"{over}before: what has not begun by then is left out, the dearest columns at", shown, re.M)
    assert re.search(r" 1 to do, about 2\d min without study.minutes$", shown, re.M)
    assert re.search(r"^takes about 4 min more at most, by study.minutes=4$", shown, re.M)
    monkeypatch.setattr(Estimate, "first", lambda *_: 60.0)
    assert study(*words, "--dry-run") == 0
    assert re.search(f"{over}after the last round that fits by estimate", capsys.readouterr().out, re.M)


def test_rounds_are_left_out_first_and_stay_so(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*ONE, "study.seeds=null", "study.minutes=60"]
    monkeypatch.setattr(Estimate, "total", lambda _, plan: 9000.0 if len(plan.seeds) > 3 else 9.0)
    assert study(*words) == 0
    shown = capsys.readouterr().out
    assert "left out: further data seeds: to fit study.minutes=60; the study would take about 2.5 h with it" in shown
    assert "3 data seeds (draws of labels), 3 runs, 3 to do" in shown
    monkeypatch.setattr(Estimate, "total", lambda *_: 9.0)
    assert study(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "left out when it began: further data seeds" in shown
    assert "3 data seeds (draws of labels), 3 runs, 0 to do" in shown
    assert study(*words, "study.seeds=10", "--dry-run") == 0
    assert "10 data seeds (draws of labels), 10 runs, 7 to do" in capsys.readouterr().out


def test_rounds_are_left_out_of_what_trains_and_solved_heads_keep_their_seeds(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["study.controls=false", "study.labels=[2]", "study.seeds=10", "study.minutes=60", "tune.trials=1"]
    monkeypatch.setattr(Estimate, "total", lambda _, plan: 9000.0 if len(plan.looks) > 1 else 9.0)
    assert study(*words) == 0
    shown = capsys.readouterr().out
    assert "left out: further rounds: to fit study.minutes=60; the study would take about 2.5 h with it" in shown
    assert "3 data seeds (draws of labels), 13 runs, 13 to do" in shown
    monkeypatch.setattr(Estimate, "total", lambda *_: 9.0)
    assert study(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "left out when it began: further rounds" in shown
    assert "3 data seeds (draws of labels), 13 runs, 0 to do" in shown


def test_of_candidate_rates_two_stay(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Rates that are stated stay as they are; a study goes on with those that it began with."""
    words = [*ONE[:2], "study.depths=[0]", "study.seeds=1", "study.minutes=60"]
    monkeypatch.setattr(Estimate, "total", lambda _, plan: 9.0 if plan.about(0)["study"]["trials"] == 2 else 9000.0)
    assert study(*words, "tune.trials=3", "--dry-run") == 2
    assert study(*words, "tune.trials=0") == 0
    shown = capsys.readouterr().out
    assert (
        "left out: further candidate rates: to fit study.minutes=60; the study would take about 2.5 h with it" in shown
    )
    monkeypatch.setattr(Estimate, "total", lambda *_: 9.0)
    assert study(*words, "tune.trials=0", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "left out when it began: further candidate rates" in shown
    assert "1 runs, 0 to do" in shown
    assert study(*words, "tune.trials=0", "study.minutes=600", "--dry-run") == 0
    assert "1 runs, 1 to do" in capsys.readouterr().out


def test_a_study_of_a_protocol_without_rounds_is_refused_in_a_sentence(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(*ONE) == 0
    path = tmp_path / "multirun" / "s" / "study.json"
    stated = json.loads(path.read_text())
    for name in ("looks", "stopped", "trials"):
        del stated["study"][name]
    stated["fixed"]["protocol"] -= 1
    path.write_text(json.dumps(stated))
    assert study(*ONE, "--dry-run") == 2
    assert f"protocol was {stated['fixed']['protocol']} and would be" in capsys.readouterr().err


def test_of_two_columns_the_dearer_goes_however_dear_it_is(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ten minutes a column of 53 was kept, and one of nine went."""
    minutes = {"freeze-0": 53, "freeze-1": 9, "freeze-5": 0.1}
    monkeypatch.setattr(Estimate, "of", lambda _, column, runs=None: 60.0 * minutes[column.column.name])
    monkeypatch.setattr("tlexp.studies.planning.costs.time.process_time", lambda: 0.0)  # of tests before this one
    words = ["study.controls=false", "study.labels=[2]", "study.depths=[0,1,all]"]
    assert study(*words, "study.minutes=10", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert 'left out: "none frozen: full fine-tuning": to fit study.minutes=10' in shown
    assert "freeze-1" in shown


POOL = ("study=backbones", "study.backbones=[tiny,tf_efficientnet_lite0]", "study.labels=[2,4,6]")


@pytest.fixture
def pool_plan(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are dear, passes and heads are not; a study by itself measures nothing."""
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=30.0, image=1e-4))
    monkeypatch.setattr("tlexp.studies.planning.costs.time.process_time", lambda: 0.0)  # of tests before this one
    free = SolvingCost(unit=0.0, width=1, validates=True)
    monkeypatch.setattr(costs, "measure_solving", lambda *_, **__: free)


@pytest.mark.usefixtures("pool_plan")
def test_before_a_screen_nobody_knows_whose_columns_could_go(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study(*POOL, "study.minutes=10", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "left out:" not in shown
    assert re.search(r"^study.minutes=10 lets the screen look at all 2 networks, in about \d+ s;$", shown, re.M)
    assert (
        "\nof 12 pairs of column and labels that train layers about 4 fit: of the network with the least loss first, "
        in shown
    )
    assert [line.split()[0] for line in shown.splitlines() if "none frozen" in line] == [
        "tiny-freeze-0", "tf_efficientnet_lite0-freeze-0",
    ]  # fmt: skip
    table = [line for line in shown.splitlines() if line.startswith(("network ", "column ", "tiny", "tf_eff"))]
    assert max(map(len, table)) <= 110
    assert table[0].split("  ")[-2:] == ["ms per image", "licence"]
    assert table[3].endswith("candidates  about")
    assert all(re.search(r" (solved|\d+) +\d+ (s|min|h)$", line) for line in table[4:])
    assert re.search(r"runs, \d+ to do, about \S+ \S+ without study.minutes$", shown, re.M)
    assert shown.splitlines()[1] == "takes about 10 min at most, by study.minutes=10"
    head = [line.split()[0] for line in shown.splitlines()[2:7]]
    assert head == ["study.minutes=10", "of", "the", "study", "network"], "what will happen, what there is, its parts"
    assert study(*POOL, "study.minutes=1", "--dry-run") == 0
    shown = capsys.readouterr().out
    told = "the cheapest of tf_efficientnet_lite0, which ImageNet favours and which would come first, takes"
    assert re.search(rf"^no column that trains layers fits, at any budget: {told} \d+ (s|min)$", shown, re.M)
    assert study(*POOL, "study.depths=[all]", "study.minutes=0.2", "--dry-run") == 0
    assert "train layers" not in capsys.readouterr().out
    assert study(*POOL, "study.minutes=0", "--dry-run") == 0
    assert "lets the screen" not in capsys.readouterr().out
    assert study(*POOL, "study.minutes=0.0001", "--dry-run") == 2
    assert "the smallest study takes about" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("pool_plan")
def test_finals_are_cut_to_the_minutes_when_the_finalists_are_known(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others would have trained costs the finalists nothing."""
    seen: list[tuple[StudyPlan, Estimate]] = []
    monkeypatch.setattr("tlexp.studies.study.refuse_longer", lambda plan, found: seen.append((plan, found)))
    words = (*POOL, "study.minutes=60", "study.seeds=10", "study.controls=false", "tune.trials=1")
    assert study(*words, "--dry-run") == 0
    [(plan, found)] = seen
    one, both = (found.finals(plan, names) for names in (["tiny"], ["tiny", "tf_efficientnet_lite0"]))
    assert both == 2 * one
    trains = sum(found.of(each) for each in plan.columns if each.column.entrant == "tiny" and each.column.in_rounds)
    with monkeypatch.context() as patched:  # of ten seeds the second one leaves after three
        patched.setattr(plan, "trained", (1, 1))
        assert found.finals(plan, ["tiny", "tf_efficientnet_lite0"]) == pytest.approx(both - 0.7 * trains)
        assert found.finals(plan, ["tiny"]) == one
    openings = [found.of(each, plan.opening(each)) for each in plan.columns if each.column.entrant == "tiny"]
    assert found.cheapest_final(plan, ["tiny"]) == pytest.approx(sorted(openings)[1] / 3, rel=1e-3)
    assert kept_for_finals(plan, found, ["tiny", "tf_efficientnet_lite0"]) == 0
    assert kept_for_finals(plan, found, ["tiny", "tf_efficientnet_lite0", "third"]) == min(both, 1200.0)
    room, whole = 3600.0 - found.ends, plan.copy()
    assert not shorten_finals(plan, found, ["tiny"], spent=room - one)
    assert shorten_finals(plan, found, ["tiny"], spent=room - 0.8 * one)
    assert (plan.looks, whole.looks) == ((3,), (3, 10))
    assert "; the study would take about" in plan.skipped["further rounds"]
    assert "further rounds" not in whole.skipped
    [cell, *_] = cells = [found.of(*each) for each in training_cells(plan, ["tiny"])]
    assert len(cells) == 6
    assert shorten_finals(plan, found, ["tiny"], spent=room - 4.1 * cell)
    kept = {(each.column.name, run.budget.labels) for each, run in plan.runs}
    assert {labels for name, labels in kept if name == "tiny-freeze-0"} == {"4", "6"}
    assert "labels=2 of tiny: none frozen: full fine-tuning" in plan.skipped
    assert {("tiny-freeze-5", "2"), ("tf_efficientnet_lite0-freeze-0", "2")} <= kept
    assert shorten_finals(plan, found, ["tiny"], spent=room)
    kept = {(each.column.name, run.budget.labels) for each, run in plan.runs}
    assert {name for name, _ in kept if name.startswith("tiny")} == {"tiny-freeze-5"}
    assert {"tiny: none frozen: full fine-tuning", "tiny: 1 of 5 units frozen (to stem)"} <= {*plan.skipped}


def named(name: str) -> Any:
    """Return what a screen says of a finalist."""
    return SimpleNamespace(entrant=SimpleNamespace(name=name))


@pytest.mark.usefixtures("pool_plan")
def test_finals_have_the_large_budgets_of_the_best_network_first(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that does not fit at a budget has no smaller one, however cheap, and the next in order may."""
    seen: list[tuple[StudyPlan, Estimate]] = []
    monkeypatch.setattr("tlexp.studies.study.refuse_longer", lambda plan, found: seen.append((plan, found)))
    assert study(*POOL, "study.minutes=60", "study.controls=false", "tune.trials=1", "--dry-run") == 0
    [(plan, found)] = seen
    ranked = ["tf_efficientnet_lite0", "tiny"]
    assert [(each.column.name, runs[0].budget.labels) for each, runs in training_cells(plan, ranked)][:3] == [
        ("tf_efficientnet_lite0-freeze-5", "6"),
        ("tf_efficientnet_lite0-freeze-0", "6"),
        ("tf_efficientnet_lite0-freeze-5", "4"),
    ]
    turns = [ColumnTurn(column=each, runs=each.runs) for each in plan.columns]
    monkeypatch.setattr("tlexp.studies.planning.rounds.screened", lambda _: [named(name) for name in ranked])
    ordered = in_order(plan, turns, cast(HeldRounds, SimpleNamespace(table=None)), found)
    assert [turn.column.column.name for turn in ordered[2:]] == [
        *("tf_efficientnet_lite0-freeze-5", "tf_efficientnet_lite0-freeze-0", "tiny-freeze-1", "tiny-freeze-0")
    ]
    assert [run.budget.labels for run in ordered[0].runs][:2] == ["2", "2"]
    assert list(dict.fromkeys(run.budget.labels for run in ordered[2].runs)) == ["6", "4", "2"]
    dear = {"tf_efficientnet_lite0-freeze-0": 4000.0}  # at its largest budget, and little at the others
    monkeypatch.setattr(
        Estimate, "run", lambda _, column, run: dear.get(column.column.name, 1.0) if run.budget.labels == "6" else 1.0
    )
    assert shorten_finals(plan, found, ranked, spent=0.0)
    kept = {(each.column.name, run.budget.labels) for each, run in plan.runs}
    assert "tf_efficientnet_lite0-freeze-0" not in {name for name, _ in kept}
    assert {(name, labels) for name in ("tf_efficientnet_lite0-freeze-5", "tiny-freeze-0") for labels in "246"} <= kept


@pytest.mark.usefixtures("pool_plan")
def test_a_screen_sees_fewer_seeds_before_a_network_is_left_out(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten where it may, and when it began with three it goes on with them."""
    seen: list[StudyPlan] = []
    monkeypatch.setattr("tlexp.studies.study.refuse_longer", lambda plan, found: seen.append(plan))
    words = (*POOL, "study.seeds=30", "study.depths=[all]", "study.controls=false", "--dry-run")
    monkeypatch.setattr(Estimate, "run", lambda *_: 1.0)
    assert study(*words, "study.minutes=3") == 0
    assert "further data seeds" not in capsys.readouterr().out
    assert study(*words, "study.minutes=1") == 0
    assert "left out: further data seeds of the screen: to fit study.minutes=1" in capsys.readouterr().out
    assert [(plan.probe_seeds, len(plan.seeds)) for plan in seen] == [(10, 30), (3, 30)]
    plan = seen[0]
    leave_out_again(plan, {**seen[1].about(0)["study"], "skipped": dict(seen[1].skipped)})
    assert plan.probe_seeds == 3


@pytest.fixture
def planned_pool(study: Study, monkeypatch: pytest.MonkeyPatch, pool_plan: None) -> tuple[StudyPlan, Estimate]:
    """A plan of two networks, an hour and thirty data seeds; a replicate of 2 labels takes 1 s, of 6 it takes 50."""
    seen: list[tuple[StudyPlan, Estimate]] = []
    monkeypatch.setattr("tlexp.studies.study.refuse_longer", lambda plan, found: seen.append((plan, found)))
    words = (*POOL, "study.minutes=60", "study.seeds=30", "study.controls=false", "tune.trials=1", "--dry-run")
    assert study(*words) == 0
    monkeypatch.setattr(
        Estimate, "run", lambda _, column, run: 1.0 if column.column.solved or run.budget.labels == "2" else 50.0
    )
    [(plan, found)] = seen
    return plan, found


def test_the_bill_of_all_is_kept_by_seed_and_stays_when_something_is_left_out(
    planned_pool: tuple[StudyPlan, Estimate],
) -> None:
    """Of two networks a head is solved and two columns train, with 2, 4 and 6 labels."""
    plan, found = planned_pool
    assert found.whole(plan) == {
        "once": pytest.approx(found.once + found.shared),
        "seed": pytest.approx(2 * (3 * 1 + 2 * (1 + 50 + 50))),
    }
    begun = plan.about(0)["study"] | {"estimate": {"seconds": 1.0, "once": 2.0, "seed": 3.0}}
    leave_out_again(plan, {**begun, "skipped": dict(plan.skipped)})
    assert plan.trained == (3, 2)
    before = {name: value for name, value in begun.items() if name != "trained"}
    leave_out_again(earlier := plan.copy(), {**before, "skipped": dict(plan.skipped)})
    assert earlier.trained == ()
    plan.drop_rounds(3, "")
    assert plan.about(7)["study"]["estimate"] == {"seconds": 7, "once": 2.0, "seed": 3.0}


@pytest.mark.usefixtures("pool_plan")
def test_controls_take_no_further_seeds(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[StudyPlan, Estimate]] = []
    monkeypatch.setattr("tlexp.studies.study.refuse_longer", lambda plan, found: seen.append((plan, found)))
    monkeypatch.setattr(Estimate, "run", lambda *_: 1.0)
    for controls in ("true", "false"):
        assert study(*POOL, "study.minutes=0", "study.seeds=3", f"study.controls={controls}", "--dry-run") == 0
    (with_them, dearer), (without, cheaper) = seen
    assert len(with_them.runs) > len(without.runs)
    assert dearer.whole(with_them)["seed"] == cheaper.whole(without)["seed"]


def test_what_has_been_done_is_not_left_out_when_the_minutes_are_over(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    plan, found = planned_pool
    over = replace(found, done=frozenset(run.key for _, run in plan.runs))
    assert not shorten_finals(plan, over, ["tiny"], spent=9000.0)
    begun = next(run.key for each in plan.probes for run in each.runs if run.seed == 10)
    assert shorten_finals(plan, replace(found, done=frozenset([begun])), ["tiny"], spent=9000.0)
    assert len(plan.seeds) == 30, "a probe has begun with seeds that the screen does not see"
    assert "further data seeds" not in plan.skipped


def test_spare_seeds_of_probes_go_before_what_trains(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    """Pairs with what has three seeds gain nothing from thirty."""
    plan, found = planned_pool
    plan.drop_rounds(3, "")
    left = found.finals(plan, ["tiny"])
    assert shorten_finals(plan, found, ["tiny"], spent=3600.0 - found.ends - left + 30)
    assert len(plan.seeds) == 10
    assert len(training_cells(plan, ["tiny"])) == 6


def test_spare_seeds_stay_where_nothing_would_train_without_them(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    plan, found = planned_pool
    plan.drop_rounds(3, "")
    assert shorten_finals(plan, found, ["tiny"], spent=3600.0 - found.ends - 3 * 20 - 50)
    assert len(plan.seeds) == 30
    assert not training_cells(plan, ["tiny"])


def test_nothing_worse_trains_where_nothing_of_the_best_fits(
    planned_pool: tuple[StudyPlan, Estimate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is left of the minutes would go into a network that nobody takes."""
    plan, found = planned_pool
    dear = "tf_efficientnet_lite0"
    monkeypatch.setattr(
        Estimate, "run", lambda _, each, run: 2000.0 if each.column.entrant == dear and not each.column.solved else 1.0
    )
    plan.drop_rounds(3, "")
    better, worse = plan.copy(), plan
    assert shorten_finals(worse, found, [dear, "tiny"], spent=0.0)
    assert not training_cells(worse, [dear, "tiny"])
    assert shorten_finals(better, found, ["tiny", dear], spent=0.0)
    assert {each.column.entrant for each, _ in training_cells(better, ["tiny", dear])} == {"tiny"}


def test_nothing_is_kept_for_finals_of_which_no_large_budget_fits(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    """A column has no small budget without it, however cheap that is."""
    plan, found = planned_pool
    assert found.cheapest_final(plan, ["tiny"]) == 3 * 50.0


def test_what_runs_in_any_case_runs_first(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    plan, found = planned_pool
    turns = [ColumnTurn(column=each, runs=each.runs) for each in plan.columns if each.column.name == "tiny-freeze-0"]
    rounds = cast(HeldRounds, SimpleNamespace(table=None))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tlexp.studies.planning.rounds.screened", lambda _: [named("tiny")])
        [turn] = in_order(plan, turns, rounds, found, [turns[0].runs[0].key])
    assert [run.budget.labels for run in turn.runs][:2] == ["2", "6"]


def test_a_pass_that_is_over_is_not_billed_again(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    plan, found = planned_pool
    [first, second] = plan.probes
    dear = {name: UnitCosts(step=0.0, image=9.0) for name in found.costs}
    found = replace(found, costs=dear, done=frozenset([first.runs[0].key]))
    assert found.read(first) == 0
    assert found.read(second) == 9.0 * found.images


def test_a_study_of_which_one_column_is_left_is_not_empty(planned_pool: tuple[StudyPlan, Estimate]) -> None:
    plan, _ = planned_pool
    plan.keep({run.key for each in plan.columns for run in each.runs if each.column.name.startswith("tiny-freeze-")})
    late = [ColumnTurn(column=each, runs=each.runs) for each in plan.columns if each.column.name != "tiny-freeze-5"]
    leave_out_late(plan, late, number=1)
    assert [each.column.name for each in plan.columns] == ["tiny-freeze-5"]
