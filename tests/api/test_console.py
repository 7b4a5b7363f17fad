"""What is said of images that are read where there is no terminal."""

import pytest

from tlexp.api.console import Console
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
