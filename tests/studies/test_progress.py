import re
import threading
from pathlib import Path

import pytest

from tlexp.studies import progress
from tlexp.studies.progress import StudyProgress
from tlexp.tracking import names

WAITING = {"a" * 64: 10.0, "b" * 64: 10.0, "c" * 64: 40.0}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def end(folder: Path, key: str) -> None:
    place = folder / "runs" / key[:16] / "001-0123456789ab"
    place.mkdir(parents=True)
    (place / names.RECORD_FILE).touch()


def test_the_line_counts_records_and_reckons_by_what_replicates_should_take(tmp_path: Path) -> None:
    """Two cheap replicates that took three times as long as they should say so of a dear one."""
    end(tmp_path, "d" * 64)
    clock = Clock()
    told = StudyProgress(tmp_path, WAITING, done=4, title="study, round 1 of at most 3", clock=clock)
    assert told.line() == "study, round 1 of at most 3: 4 of 7 runs done, about 60 s to go"
    end(tmp_path, "a" * 64)
    end(tmp_path, "b" * 64)
    clock.now += 60.0
    assert told.line() == "study, round 1 of at most 3: 6 of 7 runs done, about 93 s to go"
    clock.now += 60.0
    assert told.line().endswith("about 33 s to go")
    assert told.pace == pytest.approx(70 / 30)
    begun = StudyProgress(tmp_path, {"c" * 64: 40.0}, done=6, title="study", pace=told.pace, clock=clock)
    assert begun.line().endswith("about 93 s to go")


def seconds(line: str) -> float:
    [(number, unit)] = re.findall(r"about ([\d.]+) (s|min|h) to go", line)
    return float(number) * {"s": 1, "min": 60, "h": 3600}[unit]


@pytest.mark.parametrize("slower", [0.5, 1, 3])
def test_what_heads_take_together_is_told_while_no_replicate_ends(tmp_path: Path, slower: float) -> None:
    """Ten replicates of 0.2 s, and before them 60 s of solving; then as much of another column."""
    keys = [f"{number:064x}"[::-1] for number in range(20)]
    shared = [(frozenset(keys[:10]), 60.0), (frozenset(keys[10:]), 60.0)]
    clock, told = Clock(), []
    progress = StudyProgress(tmp_path, dict.fromkeys(keys, 0.2), shared=shared, done=0, title="study", clock=clock)
    for column in (keys[:10], keys[10:]):
        for _ in range(6):
            told.append((clock.now, seconds(progress.line())))
            clock.now += 10 * slower
        for key in column:
            end(tmp_path, key)
            clock.now += 0.2 * slower
            told.append((clock.now, seconds(progress.line())))
    known = told if slower == 1 else told[6:]  # else the first column tells of the second
    assert all(said == pytest.approx(clock.now - now, rel=0.45, abs=5) for now, said in known)


def test_the_line_says_when_the_minutes_are_over_and_what_still_runs(tmp_path: Path) -> None:
    clock = Clock()
    told = StudyProgress(tmp_path, WAITING, done=0, title="study", until=130.0, needed={"a" * 64}, clock=clock)
    assert told.line().endswith("about 60 s to go, of which study.minutes leave 30 s")
    clock.now = 131.0
    assert re.fullmatch(
        r"study: 0 of 3 runs done; study.minutes are over: 1 that an answer needs, about .+ to go", told.line()
    )
    end(tmp_path, "a" * 64)
    assert told.line() == "study: 1 of 3 runs done; study.minutes are over: what has begun comes to its end"


def test_an_attempt_that_was_there_before_does_not_count(tmp_path: Path) -> None:
    end(tmp_path, "a" * 64)
    assert ": 0 of 3 runs done" in StudyProgress(tmp_path, WAITING, done=0, title="study").line()


def test_off_a_terminal_there_is_a_line_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_ELSEWHERE", 0.001)
    shown = threading.Event()
    monkeypatch.setattr(progress, "say", lambda text: (lines.append(text), shown.set()))
    lines: list[str] = []
    with StudyProgress(tmp_path, WAITING, done=0, title="study"):
        assert shown.wait(30)
    assert lines[0].startswith("study: 0 of 3 runs done, about")
