"""The signals that ask the command to end, before a run or a sweep listens by itself."""

import signal
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
