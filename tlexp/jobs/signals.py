"""The signals that ask a run to end. Python hears them in its main thread alone; a run in another one goes on."""

import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from tlexp.errors import Interrupted

NUMBERS = (signal.SIGTERM, signal.SIGINT)
Handlers = Mapping[int, Any]
"""Signal -> what hears it."""


def handlers() -> Handlers:
    """Return what hears the signals now."""
    return {number: signal.getsignal(number) for number in NUMBERS}


def listen(heard_by: Handlers) -> None:
    """Let the signals be heard by others; where that cannot be, in another thread than the main one, do nothing."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in heard_by.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Signals:
    """Remembers the first SIGTERM or Ctrl-C for the training loop, which writes a checkpoint before it ends.

    Outside the loop, and at the second signal, the run ends at once.

    Args:
        asked_to_stop: A sweep's own request, asked again and again.

    Attributes:
        waits: Whether somebody will ask for the signal.
    """

    def __init__(self, asked_to_stop: Callable[[], int | None]) -> None:
        self.waits = False
        self._signalled: int | None = None
        self._asked_to_stop = asked_to_stop
        listen(dict.fromkeys(NUMBERS, self._remember))

    @property
    def received(self) -> int | None:
        """The signal to end with, received by this process or by the sweep that it works for."""
        return self._signalled if self._signalled is not None else self._asked_to_stop()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        at_once = not self.waits or self._signalled is not None
        self._signalled = number  # also where it is raised: a module that loads may swallow that
        if at_once:
            raise Interrupted(number)
