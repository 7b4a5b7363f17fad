"""One line that says how far a study is, whoever runs its replicates."""

import math
import sys
import threading
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Never

from tqdm import tqdm

from tlexp.jobs.folder import attempt_folders
from tlexp.jobs.progress import say
from tlexp.terminal import duration, one_line
from tlexp.tracking import names

_SECONDS_ON_TERMINAL, _SECONDS_ELSEWHERE = 2.0, 60.0


class StudyProgress:
    """Counts the records that appear while replicates are run; as a context manager it tells of them.

    On a terminal the line stays in place; elsewhere there is one a minute.

    Args:
        folder: Of the study.
        waiting: Keys of the replicates that are to run -> seconds that each takes by estimate.
        done: How many were there before.
        title: What stands before the count.
        until: When `study.minutes` are over, by the clock.
        needed: Keys of the replicates that run even then.
        clock: Seconds since some time.
    """

    def __init__(
        self,
        folder: Path,
        waiting: Mapping[str, float],
        *,
        done: int,
        title: str,
        until: float = math.inf,
        needed: Container[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._waiting, self._before, self._title, self._clock = folder, waiting, done, title, clock
        self._known, self._began, self._until, self._needed = self._records(), clock(), until, needed
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
        spent = sum(seconds for key, seconds in self._waiting.items() if key not in waiting)
        pace = (self._clock() - self._began) / spent if spent else 1.0
        told = f"{self._title}: {self._before + len(over)} of {self._before + len(self._waiting)} replicates done"
        late = self._clock() > self._until
        left = {key: seconds for key, seconds in waiting.items() if not late or key in self._needed}
        about = f"about {duration(pace * sum(left.values()), hours_from=3600, days_from=2 * 86400)} to go"
        if not late:
            return f"{told}, {about}"
        goes_on = f"{len(left)} that an answer needs, {about}" if left else "what has begun comes to its end"
        return f"{told}; study.minutes are over: {goes_on}"

    def _records(self) -> set[Path]:
        paths = [folder / names.RECORD_FILE for folder in attempt_folders(self._folder, self._waiting)]
        return {path for path in paths if path.exists()}

    def _tell(self) -> None:
        while not self._over.wait(_SECONDS_ELSEWHERE if self._bar is None else _SECONDS_ON_TERMINAL):
            if self._bar is None:
                say(self.line())
            else:
                self._bar.set_description_str(one_line(self.line()))
