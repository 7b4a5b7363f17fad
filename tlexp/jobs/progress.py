"""One line that says how far a sweep is."""

import sys
import time
from typing import Never

from tqdm import tqdm

from tlexp.terminal import duration, one_line, show

_WIDTH = 100


class SweepProgress:
    """How many runs are done, failed and left, the best so far, and the time that remains.

    On a terminal the line stays in place; elsewhere it is written anew when a run ends.

    Args:
        total: Runs in all.
        objective: What ranks.
        goal: minimize or maximize.
    """

    def __init__(self, total: int, *, objective: str, goal: str) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self._objective, self._sign = objective, 1 if goal == "minimize" else -1
        self._best: tuple[float, str] | None = None
        self._began: float | None = None
        self._ran = 0
        self._bar: tqdm[Never] | None = None

    def begin(self) -> None:
        """Show the line; the time that remains is reckoned from here."""
        self._began = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(total=self.total, bar_format="{desc}", leave=False, dynamic_ncols=True)
        self._show()

    def ended(self, *, well: bool, value: float | None, point: str, anew: bool = True) -> None:
        """Hear of a run that ended.

        Args:
            well: Whether it finished.
            value: Its objective.
            point: How it is shown.
            anew: Whether it ran now; it was there already if not.
        """
        self.done += well
        self.failed += not well
        self._ran += anew
        if value is not None and (self._best is None or self._sign * value < self._sign * self._best[0]):
            self._best = value, point
        if anew:
            self._show()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()

    def line(self) -> str:
        """Return the line."""
        left = self.total - self.done - self.failed
        parts = [f"done {self.done}", f"failed {self.failed}", f"left {left}"]
        if left and self._ran and self._began is not None:
            seconds = (time.monotonic() - self._began) / self._ran * left
            parts.append(f"about {duration(seconds, hours_from=3600, days_from=2 * 86400)} to go")
        if self._best is not None:
            value, shown = self._best
            parts.append(f"best {self._objective} {value:.4g}" + (f" ({shown})" if shown else ""))
        text = f"sweep {self.done + self.failed}/{self.total}: {', '.join(parts)}"
        return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.set_description_str(one_line(self.line()))
        else:
            show(self.line(), error=True)


def say(text: str) -> None:
    """Print one line for people, beside a progress line."""
    tqdm.write(one_line(" ".join(text.split())), file=sys.stderr)
