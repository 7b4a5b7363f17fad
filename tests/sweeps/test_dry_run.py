from collections.abc import Callable
from pathlib import Path

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.dry_run import survey_table
from tlexp.tracking import RunStatus

Swept = Callable[..., list[JobOutcome]]
FOLDER = Path("multirun/s")
LEFT = {"0": {}, "1": (RunStatus.failed, "why"), "2": (RunStatus.pruned, None), "3": None}


def test_what_is_there_and_what_would_run(swept: Swept) -> None:
    runs = swept({"freeze": ["all"], "seed": list(LEFT)}, lambda point: LEFT[point["seed"]])
    assert survey_table(FOLDER, runs, proposed=2, sampler="tpe").splitlines() == [
        "   freeze  seed  there     to do",
        "0  all     0     finished",
        "1  all     1     failed    run",
        "2  all     2     pruned",
        "3  all     3     -         run",
        "2 more runs have settings that tpe will choose",
        "multirun/s: 2 of 6 runs are there, 4 would run",
    ]


def test_what_others_have_in_hand_would_not_run(swept: Swept) -> None:
    left = {**LEFT, "4": (RunStatus.killed, "no word"), "5": None}
    runs = swept({"freeze": ["all"], "seed": list(left)}, lambda point: left[point["seed"]])
    under_way = dict(zip([runs[place].key[:16] for place in (0, 4, 5)], ["running on a"] * 2 + ["queued"], strict=True))
    lines = survey_table(FOLDER, runs, proposed=0, sampler="tpe", under_way=under_way).splitlines()
    assert lines[1] == "0  all     0     finished"
    assert lines[4:] == [
        "3  all     3     -             run",
        "4  all     4     running on a",
        "5  all     5     queued",
        "multirun/s: 2 of 6 runs are there, 2 are under way, 2 would run",
    ]


def test_a_sweep_that_has_not_begun_has_no_table() -> None:
    text = survey_table(FOLDER, [], proposed=3, sampler="random")
    assert text.splitlines() == [
        "3 more runs have settings that random will choose",
        "multirun/s: 0 of 3 runs are there, 3 would run",
    ]


def test_runs_with_other_keys_leave_cells_empty_and_lines_stay_short(swept: Swept) -> None:
    runs = swept({"seed": ["0"]}, lambda _: None) + swept({"tracking.experiment": ["x" * 200]}, lambda _: None)
    first, second, third, _ = survey_table(FOLDER, runs, proposed=0, sampler="tpe").splitlines()
    assert first.split() == ["seed", "tracking.experiment"]
    assert second == "0  0"
    assert third.startswith("0        xxx")
    assert max(map(len, (first, second, third))) == 100
