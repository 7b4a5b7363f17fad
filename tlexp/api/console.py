"""What people see while a run goes on: progress bars in a terminal or a notebook, and messages."""

import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Never

from tqdm.auto import tqdm

from tlexp.jobs.progress import say
from tlexp.jobs.signals import Signals
from tlexp.terminal import one_line
from tlexp.train import Listener

if TYPE_CHECKING:
    from tlexp.sweeps.pruning import Judge

_SECONDS = 60.0
"""Between lines, as a study has them."""
_SELECTING = re.compile(r"select-(\d+)-fold(\d+)")


class Console(Listener):
    """Progress bars with rate and time left in a terminal or a notebook; elsewhere messages alone.

    Args:
        signals: Asked before every step.
        progress: Whether bars are wanted.
        told: The messages that were printed before and are not repeated; filled in.
        judge: Ends the run where others of its search are better; None lets it go on.
        lines: Whether a line a minute tells of images that are read where there are no bars; a study has its own.
        clock: Tells seconds.
    """

    def __init__(
        self,
        signals: Signals,
        *,
        progress: bool,
        told: set[str],
        judge: "Judge | None" = None,
        lines: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signals, self._told, self._judge = signals, told, judge
        self._bars = progress and (sys.stderr.isatty() or _in_notebook())
        self._bar: tqdm[Never] | None = None
        self._lines, self._clock, self._line_at = lines and progress and not self._bars, clock, clock()

    def phase(self, title: str, steps: int) -> None:
        """Begin the bar of a fit."""
        self._signals.waits = True
        self._open(_title(title), steps, "step")

    def step(self, step: int, values: dict[str, float]) -> None:
        """Move the bar of a fit."""
        self._move(step, f"loss {values['loss']:.3f}")

    def looks(self, steps: int, images: int) -> frozenset[int]:
        """Return the steps after which the judge looks."""
        return frozenset() if self._judge is None else self._judge.looks(steps, images)

    def validated(self, fit_id: str, step: int, steps: int, loss: float) -> None:
        """Let the judge look."""
        if self._judge is not None:
            self._judge.judge(fit_id, step, steps, loss)

    def ended(self) -> None:
        """End the bar of a fit; from here on a signal ends the run at once."""
        self._signals.waits = False
        self._close()

    def closing(self) -> None:
        """Let a first signal wait while the record is written."""
        self._signals.waits = True

    def images(self, done: int, count: int) -> None:
        """Move the bar of images that are read."""
        if self._bar is None:
            self._open("images", count, "image")
        self._move(done)
        if done == count:
            self._close()
        elif self._lines and self._clock() >= self._line_at + _SECONDS:
            self._line_at = self._clock()
            say(f"images: {done:,} of {count:,} read")

    def message(self, text: str) -> None:
        """Print one line."""
        if text in self._told:
            return
        self._told.add(text)
        tqdm.write(one_line(f"note: {text}"), file=sys.stderr)

    def should_stop(self) -> int | None:
        """Return the signal that was received, or None."""
        return self._signals.received

    def _open(self, title: str, total: int, unit: str) -> None:
        self._close()
        if self._bars:
            self._bar = tqdm(total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True, mininterval=0.2)

    def _move(self, done: int, text: str = "") -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _title(fit_id: str) -> str:
    """Return a fit's name for people.

    >>> _title("select-003-fold1"), _title("final")
    ('candidate 4, fold 2', 'final fit')
    """
    match = _SELECTING.fullmatch(fit_id)
    return f"candidate {int(match[1]) + 1}, fold {int(match[2]) + 1}" if match else f"{fit_id} fit"


def _in_notebook() -> bool:
    """Return whether a kernel of Jupyter's runs this process."""
    return "ipykernel.zmqshell" in sys.modules
