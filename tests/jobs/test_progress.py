import pytest

from tlexp.jobs.progress import SweepProgress, say


def test_the_line_counts_and_knows_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SweepProgress(4, objective="val/loss", goal="minimize")
    progress.ended(well=True, value=0.5, point="seed=0", anew=False)
    assert capsys.readouterr().err == ""
    progress.begin()
    progress.ended(well=True, value=0.25, point="seed=1")
    progress.ended(well=False, value=None, point="seed=2")
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sweep 1/4: done 1, failed 0, left 3, best val/loss 0.5 (seed=0)"
    assert lines[-1] == "sweep 3/4: done 2, failed 1, left 1, about 0 s to go, best val/loss 0.25 (seed=1)"


def test_more_may_be_better_and_the_line_stays_short() -> None:
    progress = SweepProgress(2, objective="val/accuracy", goal="maximize")
    progress.ended(well=True, value=0.5, point="x" * 200)
    progress.ended(well=True, value=0.25, point="seed=1")
    assert "best val/accuracy 0.5 (xxx" in progress.line()
    assert len(progress.line()) == 100


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("failed: seed=0: two\n  lines")
    assert capsys.readouterr().err == "failed: seed=0: two lines\n"
