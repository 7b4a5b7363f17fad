"""Every error that tlexp raises on purpose.

    TlexpError                 shown to people without a traceback; exit status 2
    |-- ConfigError            a setting, or settings that do not fit together
    |-- DataError              images, labels, folders, budgets
    |-- WeightsError           weights that cannot be had, read or fitted
    |-- TrackingError          the tracking store (a warning where the run can go on)
    `-- TrainingError          training started and could not go on; exit status 3
        |-- DivergedError      the loss is not finite any more
        `-- OutOfMemoryError   the device's memory does not suffice
    Interrupted                a signal asked the run to end (not a TlexpError: nothing may swallow it)

A message holds the key, the value, the rule and the way out.
"""

from collections.abc import Sequence


class TlexpError(Exception):
    """Base of all errors that are the user's to mend."""


class ConfigError(TlexpError):
    """A setting is wrong, or several do not fit together; all problems at once."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(TlexpError):
    """The images, the labels or their folders do not allow the run."""


class WeightsError(TlexpError):
    """Weights cannot be had, cannot be read or do not fit the architecture."""


class TrackingError(TlexpError):
    """The tracking store refuses or cannot be reached."""


class TrainingError(TlexpError):
    """Training started and could not go on."""


class DivergedError(TrainingError):
    """The loss stopped being finite."""


class OutOfMemoryError(TrainingError):
    """The device ran out of memory."""


class Interrupted(BaseException):
    """A signal asked the run to end.

    Args:
        signal_number: The signal, e.g. `signal.SIGTERM`; the exit status is 128 plus it.
    """

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"interrupted by signal {signal_number}")
