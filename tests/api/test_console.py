"""What is said of images that are read where there is no terminal."""

from pathlib import Path
from typing import Any

import pytest

from tests.composed import load
from tlexp.api import job as job_module
from tlexp.api.console import Console
from tlexp.api.job import do_job
from tlexp.compose.load import HydraJob
from tlexp.jobs.signals import Signals


class Clock:
    """Tells the seconds that it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_a_minute_tells_how_many_images_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    console = Console(Signals(lambda: None), progress=True, told=set(), lines=True, clock=clock)
    for seconds, done in ((59, 100), (61, 1200), (100, 1800), (120, 1900), (122, 2000), (300, 3000)):
        clock.now = seconds
        console.images(done, 3000)
    assert capsys.readouterr().err.splitlines() == ["images: 1,200 of 3,000 read", "images: 2,000 of 3,000 read"]


@pytest.mark.parametrize(("progress", "lines"), [(False, True), (True, False)])
def test_nothing_is_said_where_nobody_asked(progress: bool, lines: bool, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    console = Console(Signals(lambda: None), progress=progress, told=set(), lines=lines, clock=clock)
    clock.now = 1000
    console.images(1, 3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("study", "bars"), [(None, True), ("s", False)])
def test_a_run_of_a_sweep_or_a_study_draws_no_bars_beside_its_line(
    study: str | None, bars: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second bar would have to move the cursor, and what is printed does not."""
    seen: list[bool] = []

    class Heard(Console):
        def __init__(self, *stated: Any, progress: bool, **more: Any) -> None:
            seen.append(progress)
            super().__init__(*stated, progress=progress, **more)

    monkeypatch.setattr(job_module, "Console", Heard)
    monkeypatch.setattr(job_module, "run", lambda *_, **__: None)
    job = HydraJob(folder=tmp_path, overrides=(), study=study)
    do_job(load(["backbone=tiny"]), job, Signals(lambda: None), set())
    assert seen == [bars]
