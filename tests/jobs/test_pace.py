from collections import Counter

import pytest

from tlexp.jobs.pace import Pace


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def do(pace: Pace, clock: Clock, runs: list[tuple[str, float]]) -> None:
    """Do runs (kind, seconds) one after the other."""
    for number, (kind, seconds) in enumerate(runs):
        pace.hand_over(f"{kind}{number}")
        clock.now += seconds
        pace.end(f"{kind}{number}", kind, well=True)


def test_cheap_runs_that_come_first_do_not_stand_for_dear_ones() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    do(pace, clock, [("all", 3.0), ("all", 3.0), ("all", 3.0)])
    left = pace.left({"none": 9})
    assert (left.known, left.unknown, left.seconds) == (0, 9, 0)
    do(pace, clock, [("none", 31.0), ("none", 30.0)])
    left = pace.left({"none": 7, "all": 1})
    assert (left.known, left.unknown, left.at_most) == (8, 0, False)
    assert 213 / 1.5 < left.seconds < 213 * 1.5


@pytest.mark.parametrize("orders", [["all", "none"], ["none", "all"]])
def test_the_time_left_is_right_within_half_at_every_moment(orders: list[str]) -> None:
    cost, clock = {"all": 2.0, "none": 30.0}, Clock()
    pace, shared = Pace(clock=clock), 12.0  # libraries and images, with the first run
    runs = [(kind, cost[kind] * (1 + 0.2 * (number % 2))) for kind in orders for number in range(6)]
    counts = Counter(kind for kind, _ in runs)
    for number, (kind, seconds) in enumerate(runs[:-1]):
        do(pace, clock, [(kind, seconds + (shared if number == 0 else 0))])
        counts[kind] -= 1
        found = pace.left(counts)
        truth = sum(each for name, each in runs[number + 1 :] if found.unknown == 0 or name == kind)
        if found.known:
            assert found.seconds > truth / 1.5
            assert found.at_most or found.seconds < truth * 1.5


def test_a_first_run_that_pays_for_what_others_share_is_a_bound() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    do(pace, clock, [("logreg", 14.0)])
    assert pace.left({"logreg": 12}).at_most
    do(pace, clock, [("logreg", 1.0)])
    left = pace.left({"logreg": 11})
    assert (left.seconds, left.at_most) == (pytest.approx(11), False)


def test_workers_share_what_is_left_and_a_run_begins_when_one_is_free() -> None:
    clock = Clock()
    pace = Pace(workers=2, clock=clock)
    for run in "abcdef":
        pace.hand_over(run)  # all at once
    for run, at in (("a", 110.0), ("b", 110.0), ("c", 114.0), ("d", 114.0), ("e", 118.0)):
        clock.now = at
        pace.end(run, "kind", well=True)
    left = pace.left({"kind": 8})
    assert (left.seconds, left.at_most) == (pytest.approx(8 * 4 / 2), False)


def test_a_run_that_failed_at_once_says_nothing() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    pace.hand_over("a")
    pace.end("a", "kind", well=False)
    assert pace.left({"kind": 1}).unknown == 1
