"""`python -m tlexp`, and the program `tlexp`: whoever asks it to end is heard before anything is loaded."""

import os
import signal
from types import FrameType


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once, as nothing has begun: modules that load might swallow an exception."""
    os._exit(128 + number)


def main() -> None:
    """Load the command line and run it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    from tlexp.paths import distrust_working_folder  # lazy: a signal is heard while it loads

    distrust_working_folder()  # before anything else is imported: Hydra scans every `hydra_plugins` on the path
    from tlexp import cli

    cli.main()


if __name__ == "__main__":
    main()
