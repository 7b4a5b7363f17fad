"""How long the runs of a sweep that are left will take, from what those of their kind have taken.

A mean over all runs promises too little where the cheap ones come first.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, kw_only=True)
class TimeLeft:
    """What is left of a sweep.

    Attributes:
        seconds: That the runs take of whose kind one was timed.
        known: How many those are.
        unknown: Runs of kinds of which none was timed.
        at_most: Whether some of the kinds are known by their first runs alone, which also take what later ones share.
    """

    seconds: float
    known: int
    unknown: int
    at_most: bool


class Pace:
    """What runs have taken, by kind; those of a kind take about the same.

    The first run of a kind also loads libraries, reads images and makes features, which later ones find ready. It
    counts until there are others; of several workers each has such a first run.

    Args:
        workers: Runs at once.
        clock: Tells seconds.
    """

    def __init__(self, *, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers, self._clock = workers, clock
        self._handed: dict[str, tuple[int, float]] = {}
        self._ends: list[float] = []
        self._count = 0
        self._taken: dict[str, list[float]] = defaultdict(list)

    def hand_over(self, run: str) -> None:
        """Hear of a run that a worker is to do; it begins when one is free, in the order in which runs are handed."""
        self._handed[run] = self._count, self._clock()
        self._count += 1

    def end(self, run: str, kind: str, *, well: bool) -> None:
        """Hear of a run that ended; one that failed says nothing of how long others of its kind take."""
        now = self._clock()
        self._ends.append(now)
        if not well or run not in self._handed:
            return
        place, handed = self._handed.pop(run)
        free = place - self._workers
        began = max(handed, self._ends[free]) if 0 <= free < len(self._ends) else handed
        self._taken[kind].append(now - began)

    def left(self, kinds: Mapping[str, int]) -> TimeLeft:
        """Return how long so many runs of each kind will take."""
        known = {kind: count for kind, count in kinds.items() if count and kind in self._taken}
        together = min(self._workers, max(1, sum(kinds.values())))
        return TimeLeft(
            seconds=sum(count * self._typical(kind) for kind, count in known.items()) / together,
            known=sum(known.values()),
            unknown=sum(kinds.values()) - sum(known.values()),
            at_most=any(len(self._taken[kind]) <= self._workers for kind in known),
        )

    def _typical(self, kind: str) -> float:
        taken = self._taken[kind]
        return fmean(taken[self._workers :] or taken)
