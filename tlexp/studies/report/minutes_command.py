"""What to type after a study that was cut to its minutes: as many as take up what they left out."""

import math
import shlex

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.rounds import LOOKS
from tlexp.studies.report.document import TypedCommand
from tlexp.terminal import duration

_SPARE = 1.25
"""Times the bill: a machine that is busier than when it was made would leave the dearest columns out anew."""


def minutes_command(findings: Findings) -> TypedCommand | None:
    """Return what measures the columns, budgets and networks that the minutes left out, in a first round.

    A study of which all that trains was left out has no rounds, and the one that is offered has. None where they left
    out none, and where the study's bill does not say how long that takes, or no more than the minutes that it had. It
    stands beside the command that would decide, which may take days.
    """
    table, study = findings.table, findings.table.about.get("study", {})
    command, seconds = study.get("command"), table.whole_seconds(min(LOOKS[0], len(table.seeds)))
    if not command or seconds is None or not table.lacks_what_competes:
        return None
    minutes = math.ceil(_SPARE * seconds / 60)
    if minutes <= max([study.get("stated", {}).get("minutes") or 0, *table.left_out_for]):
        return None
    kept = [word for word in shlex.split(str(command)) if not word.startswith(("study.name=", "study.minutes="))]
    return TypedCommand(
        about=f"measures what study.minutes left out: by its bill the study takes about {duration(seconds)} then",
        line=shlex.join([*kept, f"study.name={table.name}", f"study.minutes={minutes}"]),
    )
