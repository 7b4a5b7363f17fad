"""The signals that ask a run to end."""

import signal
from collections.abc import Callable
from types import FrameType

from tlexp.errors import Interrupted


def hear() -> None:
    """Let SIGTERM end the command as Ctrl-C does, at any moment from here on; runs and sweeps listen by themselves."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


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
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    @property
    def received(self) -> int | None:
        """The signal to end with, received by this process or by the sweep that it works for."""
        return self._signalled if self._signalled is not None else self._asked_to_stop()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        at_once = not self.waits or self._signalled is not None
        self._signalled = number  # also where it is raised: a module that loads may swallow that
        if at_once:
            raise Interrupted(number)
