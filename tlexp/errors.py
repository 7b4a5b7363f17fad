"""Every error that tlexp raises on purpose.

    TlexpError                 shown to people without a traceback; exit status 2
    |-- ConfigError            a setting, or settings that do not fit together
    |-- DataError              images, labels, folders, budgets
    |   `-- BadImagesError     files that cannot be used, each with its reason
    |-- WeightsError           weights that cannot be had, read or fitted
    |-- TrackingError          the tracking store (a warning where the run can go on)
    `-- TrainingError          training started and could not go on; exit status 3
        |-- DivergedError      the loss is not finite any more
        |-- PrunedError        others of its search were better by then
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


class UnknownModelError(ConfigError):
    """No model has this name."""


class DataError(TlexpError):
    """The images, the labels or their folders do not allow the run."""


class BadImagesError(DataError):
    """Image files cannot be used.

    Args:
        problem: How many, of what.
        lines: All of them with their reasons, each one printable line.
        way_out: What to do.
    """

    named = 20
    """So many are named to people; the others stand in a file."""

    def __init__(self, problem: str, lines: Sequence[str], way_out: str) -> None:
        self.problem, self.lines, self.way_out = problem, tuple(lines), way_out
        super().__init__("\n".join([problem, *self.details]))

    @property
    def details(self) -> list[str]:
        """The lines below the problem: the first files, how many more there are, and the way out."""
        more = len(self.lines) - self.named
        first = [*self.lines[: self.named], *([f"... and {more} more"] if more > 0 else [])]
        return [*(f"  {line}" for line in first), self.way_out]

    def listed_in(self, place: str) -> "BadImagesError":
        """Return the same error for people who find all files listed somewhere."""
        return BadImagesError(self.problem, self.lines, f"{self.way_out}. All are listed in {place}")


class WeightsError(TlexpError):
    """Weights cannot be had, cannot be read or do not fit the architecture."""


class TrackingError(TlexpError):
    """The tracking store refuses or cannot be reached."""


class TrainingError(TlexpError):
    """Training started and could not go on."""


class DivergedError(TrainingError):
    """The loss stopped being finite."""


class PrunedError(TrainingError):
    """Others of its search were better by then.

    Args:
        reason: What others were better, and when.
        look: Number of the look at the validation loss at which that was seen, from 1.
        step: Of its fit.
        steps: That the fit would have had.
        loss: What was seen.
    """

    def __init__(self, reason: str, *, look: int, step: int, steps: int, loss: float) -> None:
        self.look, self.step, self.steps, self.loss = look, step, steps, loss
        super().__init__(reason)


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
