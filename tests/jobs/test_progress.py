import sys

import pytest

from tlexp.jobs.progress import SweepProgress, WaitingLine, say


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def progress_of(*kinds: str, goal: str = "minimize", searches: bool = True) -> tuple[SweepProgress, Clock]:
    clock = Clock()
    return SweepProgress(kinds, objective="val/loss", goal=goal, searches=searches, clock=clock), clock


def test_the_line_counts_and_knows_the_best_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    progress, clock = progress_of("", "", "", "", "")
    progress.ended("a", "", well=True, value=0.5, point="seed=0", anew=False)
    assert capsys.readouterr().err == ""
    progress.begin()
    for run, value in (("b", 0.25), ("c", None), ("d", 0.3)):
        progress.hand_over(run)
        clock.now += 10
        progress.ended(run, "", well=value is not None, value=value, point=f"run={run}")
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sweep 1/5: done 1, failed 0, left 4, best val/loss 0.5 (seed=0)"
    assert lines[1] == "sweep 2/5: done 2, failed 0, left 3, at most 30 s to go, best val/loss 0.25 (run=b)"
    assert lines[-1] == "sweep 4/5: done 3, failed 1, left 1, about 10 s to go, best val/loss 0.25 (run=b)"


def test_a_grid_has_no_best_so_far_and_says_what_was_not_timed(capsys: pytest.CaptureFixture[str]) -> None:
    progress, clock = progress_of("all", "all", "all", "none", searches=False)
    progress.begin()
    for run in "ab":
        progress.hand_over(run)
        clock.now += 4
        progress.ended(run, "all", well=True, value=0.5, point="")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "sweep 2/4: done 2, failed 0, left 2, about 4 s for 1 of them, the others not timed yet"
    progress.hand_over("c")
    clock.now += 4
    progress.ended("c", "all", well=True, value=0.5, point="")
    assert capsys.readouterr().err == "sweep 3/4: done 3, failed 0, left 1, no run like these timed yet\n"


def test_more_may_be_better_and_the_line_stays_short() -> None:
    progress, _ = progress_of("", "", goal="maximize")
    progress.ended("a", "", well=True, value=0.5, point="x" * 200, anew=False)
    progress.ended("b", "", well=True, value=0.25, point="seed=1", anew=False)
    assert "best val/loss 0.5 (xxx" in progress.line()
    assert len(progress.line()) == 100


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("failed: seed=0: two\n  lines")
    assert capsys.readouterr().err == "failed: seed=0: two lines\n"


def test_what_is_waited_for_is_told_once_a_minute_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    line = WaitingLine(clock)
    for second in range(130):
        clock.now = float(second)
        line.show(f"second {second}")
    assert capsys.readouterr().err == "second 0\nsecond 60\nsecond 120\n"


def test_what_is_waited_for_is_one_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with WaitingLine() as line:
        for second in range(3):
            line.show(f"second {second}")
    shown = capsys.readouterr().err
    assert shown.isascii()
    assert shown.count("\n") == shown.count("\x1b") == 0
    assert [text for text in shown.split("\r") if text.strip()] == ["second 0", "second 1", "second 2"]


def test_a_sweep_that_waits_has_one_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress, _ = progress_of("", "")
    progress.begin()
    progress.waits("waiting for 2 jobs: 2 running")
    progress.close()
    shown = capsys.readouterr().err
    assert shown.count("\n") == shown.count("\x1b") == 0  # people's terminals are given no escapes
    assert "\rwaiting for 2 jobs: 2 running; sweep 0/2: done 0, failed 0, left 2" in shown
