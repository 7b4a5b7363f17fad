"""One line that says how far a study is, whoever runs its replicates."""

import math
import sys
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Never

from tqdm import tqdm

from tlexp.jobs.folder import attempt_folders
from tlexp.jobs.progress import say
from tlexp.terminal import duration, one_line
from tlexp.tracking import names

_SECONDS_ON_TERMINAL, _SECONDS_ELSEWHERE = 2.0, 60.0
_TRUSTED_SECONDS = 10.0
"""Of an estimate, as much as has to be over before its own pace counts as much as the one before it."""
_LATE = 4
"""What is late is late by a fourth of what it has taken so far, as nobody knows more."""

Shared = Sequence[tuple[frozenset[str], float]]
"""Keys of replicates -> seconds of what all of them take at once, before the first of them ends."""


class StudyProgress:
    """Counts the records that appear while replicates are run; as a context manager it tells of them.

    On a terminal the line stays in place; elsewhere there is one a minute.

    Args:
        folder: Of the study.
        waiting: Keys of the replicates that are to run -> seconds that each takes by itself, by estimate.
        shared: What they take together besides: images that pass a network, heads that are solved at once.
        done: How many were there before.
        title: What stands before the count.
        until: When `study.minutes` are over, by the clock.
        needed: Keys of the replicates that run even then.
        pace: Seconds for each of the estimate, as known before.
        clock: Seconds since some time.
    """

    def __init__(
        self,
        folder: Path,
        waiting: Mapping[str, float],
        *,
        done: int,
        title: str,
        shared: Shared = (),
        until: float = math.inf,
        needed: Container[str] = (),
        pace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._waiting, self._before, self._title, self._clock = folder, waiting, done, title, clock
        self._known, self._began, self._until, self._needed = self._records(), clock(), until, needed
        self._shared, self._paced, self.pace = shared, pace, pace
        self._whole, self._spent, self._ended = sum(self._parts(waiting, over=())), 0.0, self._began
        self._over = threading.Event()
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> "StudyProgress":
        if sys.stderr.isatty():
            self._bar = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True)
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def line(self) -> str:
        """Return the line: how many replicates are over, and the time that the others take at the pace so far."""
        over = {path.parent.parent.name for path in self._records() - self._known}
        waiting = {key: seconds for key, seconds in self._waiting.items() if key[:16] not in over}
        now = self._clock()
        ended = self._waiting.keys() - waiting.keys()
        self._note(self._whole - sum(self._parts(waiting, over=ended)), now)
        told = f"{self._title}: {self._before + len(over)} of {self._before + len(self._waiting)} runs done"
        late = now > self._until
        left = {key: seconds for key, seconds in waiting.items() if not late or key in self._needed}
        seconds = self._to_go(self._parts(left, over=ended), now)
        about = f"about {duration(seconds, hours_from=3600, days_from=2 * 86400)} to go"
        if not late:
            left_of = self._until - now
            stops = f", of which study.minutes leave {duration(left_of)}" if seconds > left_of else ""
            return f"{told}, {about}{stops}"
        goes_on = f"{len(left)} that an answer needs, {about}" if left else "what has begun comes to its end"
        return f"{told}; study.minutes are over: {goes_on}"

    def _note(self, spent: float, now: float) -> None:
        """Note how much of the estimate is over: each end tells the pace anew."""
        if spent > self._spent:
            self._spent, self._ended = spent, now
            took = now - self._began
            self.pace = (took + self._paced * _TRUSTED_SECONDS) / (spent + _TRUSTED_SECONDS)

    def _to_go(self, parts: Sequence[float], now: float) -> float:
        """Return the seconds that some parts take; what is under way runs out, and is late from then on."""
        longest, since = self.pace * max(parts, default=0.0), now - self._ended
        return self.pace * sum(parts) - longest + (max(longest - since, since / _LATE) if parts else 0.0)

    def _parts(self, left: Mapping[str, float], *, over: Container[str]) -> list[float]:
        """Return the seconds of some replicates, and of what they share with others of which none is over."""
        ahead = [(keys, seconds) for keys, seconds in self._shared if not any(key in over for key in keys)]
        return [*left.values(), *(seconds for keys, seconds in ahead if any(key in left for key in keys))]

    def _records(self) -> set[Path]:
        paths = [folder / names.RECORD_FILE for folder in attempt_folders(self._folder, self._waiting)]
        return {path for path in paths if path.exists()}

    def _tell(self) -> None:
        while not self._over.wait(_SECONDS_ELSEWHERE if self._bar is None else _SECONDS_ON_TERMINAL):
            if self._bar is None:
                say(self.line())
            else:
                self._bar.set_description_str(one_line(self.line()))
