"""How an error is told to people, and the exit status that says the same to programs."""

import errno
import os
import traceback
from pathlib import Path

from tlexp.errors import BadImagesError, ConfigError, TlexpError
from tlexp.paths import refusal
from tlexp.terminal import short_path, show

INTERNAL, USER, FINDINGS, SIGNALLED = 1, 2, 3, 128
"""Exit statuses: our fault, the user's, completed with failures, and the base of a signal's number."""


def complain(error: Exception, *, debug: bool) -> None:
    """Print what is wrong: a line for each problem, and what else belongs to it indented."""
    if debug:
        traceback.print_exception(error)
    kind = type(error).__name__
    problems = error.problems if isinstance(error, ConfigError) else (str(error) or kind,)
    details = error.details if isinstance(error, BadImagesError) else []
    if isinstance(error, BadImagesError):
        problems = (error.problem,)
    if isinstance(error, OSError):
        problems = (_of_disk(error),)
    label = "error" if isinstance(error, TlexpError | OSError) else f"internal error, {kind}"
    for problem in problems:
        first, *more = problem.splitlines() or [""]
        show(f"{label}: {first}", *(f"  {line.expandtabs(2)}" for line in more), error=True)
    show(*details, error=True)


def _of_disk(error: OSError) -> str:
    """Return what a file system refused, and how to go on."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"{refusal(error)}; choose a folder that can be written, e.g. hydra.run.dir=PATH"
    folder = Path(os.fsdecode(error.filename or ".")).absolute()
    run = next((each for each in folder.parents if (each / ".hydra").is_dir()), None)
    again = "type the command again" if run is None else f"go on with resume={short_path(run)}"
    return f"{refusal(error)}; what was written there before is whole; free some, then {again}"
