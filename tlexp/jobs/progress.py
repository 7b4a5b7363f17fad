"""One line that says how far a sweep is."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Never, Self

from tqdm import tqdm

from tlexp.jobs.pace import Pace
from tlexp.terminal import duration, one_line, show

_WIDTH = 100
_SECONDS = 60.0
"""Between lines in a log, as a study has them."""


class SweepProgress:
    """How many runs are done, failed and left, the time that remains and, of a search, the best so far.

    On a terminal the line stays in place; elsewhere it is written anew when a run ends.

    Args:
        kinds: Of all runs: what names those that take about as long.
        objective: What ranks.
        goal: minimize or maximize.
        searches: Whether what comes next follows from what was best; a grid has nothing to tell of it before its end.
        clock: Tells seconds.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        *,
        objective: str,
        goal: str,
        searches: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.done, self.failed = len(kinds), 0, 0
        self._left = Counter(kinds)
        self._objective, self._sign = objective, 1 if goal == "minimize" else -1
        self._searches, self._clock = searches, clock
        self._best: tuple[float, str] | None = None
        self._pace: Pace | None = None
        self._ran = False
        self._bar: tqdm[Never] | None = None
        self._waiting = WaitingLine(clock)

    def begin(self, *, workers: int = 1) -> None:
        """Show the line; so many runs go on at once from here."""
        self._pace = Pace(workers=workers, clock=self._clock)
        if sys.stderr.isatty():
            self._bar = tqdm(total=self.total, bar_format="{desc}", leave=False, dynamic_ncols=True)
        self._show()

    def hand_over(self, run: str) -> None:
        """Hear of a run that a worker is to do."""
        if self._pace is not None:
            self._pace.hand_over(run)

    def ended(self, run: str, kind: str, *, well: bool, value: float | None, point: str, anew: bool = True) -> None:
        """Hear of a run that ended.

        Args:
            run: What names it.
            kind: Its kind.
            well: Whether it finished.
            value: Its objective.
            point: How it is shown.
            anew: Whether it ran now; it was there already if not.
        """
        self.done += well
        self.failed += not well
        self._left[kind] -= 1
        if value is not None and (self._best is None or self._sign * value < self._sign * self._best[0]):
            self._best = value, point
        if anew:
            self._ran = True
            if self._pace is not None:
                self._pace.end(run, kind, well=well)
            self._show()

    def waits(self, text: str) -> None:
        """Show how what is waited for stands, before the line; elsewhere than on a terminal once a minute.

        It changes most, and a narrow terminal cuts what stands last.
        """
        if self._bar is not None:
            self._bar.set_description_str(one_line(f"{text}; {self.line()}"))
        else:
            self._waiting.show(text)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()

    def line(self) -> str:
        """Return the line."""
        left = self.total - self.done - self.failed
        parts = [f"done {self.done}", f"failed {self.failed}", f"left {left}", *self._time_left()]
        if self._searches and self._best is not None:
            value, shown = self._best
            parts.append(f"best {self._objective} {value:.4g}" + (f" ({shown})" if shown else ""))
        text = f"sweep {self.done + self.failed}/{self.total}: {', '.join(parts)}"
        return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."

    def _time_left(self) -> list[str]:
        """Return the time that remains in words; of kinds of runs that were not timed it says so."""
        kinds = {kind: count for kind, count in self._left.items() if count > 0}
        if self._pace is None or not kinds:
            return []
        found = self._pace.left(kinds)
        if not found.known:
            return ["no run like these timed yet"] if self._ran else []
        about = "at most" if found.at_most else "about"
        seconds = duration(found.seconds, hours_from=3600, days_from=2 * 86400)
        if not found.unknown:
            return [f"{about} {seconds} to go"]
        return [f"{about} {seconds} for {found.known} of them, the others not timed yet"]

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.set_description_str(one_line(self.line()))
        else:
            show(self.line(), error=True)


class WaitingLine:
    """One line on what is waited for, written anew each minute; as a context manager it stays in place on a terminal.

    There it has to be the only one that does: what is printed moves no cursor up to another.

    Args:
        clock: Tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._next = clock, clock()
        self._bar: tqdm[Never] | None = None

    def show(self, text: str) -> None:
        """Show how it stands now."""
        if self._bar is not None:
            self._bar.set_description_str(one_line(text))
        elif self._clock() >= self._next:
            self._next = self._clock() + _SECONDS
            say(text)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def say(text: str) -> None:
    """Print one line for people, beside a progress line."""
    tqdm.write(one_line(" ".join(text.split())), file=sys.stderr)
