"""What to type after a study of networks that saw small images: the sizes of the network that it took, compared."""

import math
import shlex

from tlexp.compose.words import unquoted_values
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.report.document import TypedCommand
from tlexp.studies.report.networks import owner

_DROPPED = (
    *("study", "study.backbones", "study.sizes", "study.name", "study.seeds", "study.minutes"),
    *("backbone", "backbone.image_size"),
)
"""What the study says of itself alone; `study.minutes`, for larger images take longer."""
_ONE_RATE = "tune.trials=1"
"""Is not handed on: a single rate is quick, and has nothing to be compared with."""
_NETWORK = ("backbone", "backbone.name", "head.global_pool")
"""What chooses a network with the weights of its makers."""
_STEP = 32
"""Pixels: networks halve the side of what they see up to five times."""


def sizes_command(findings: Findings) -> TypedCommand | None:
    """Return what compares sizes of the network that is taken; None where it saw at least half of its own size."""
    taken, table = findings.last_taken, findings.table
    entrant = None if taken is None or taken.column is None else owner(findings, taken.column)
    sizes = None if entrant is None else _small(entrant)
    typed = shlex.split(str(table.about.get("study", {}).get("command", "")))[3:]
    compared = any(word.startswith("study.sizes=") for word in typed)
    if taken is None or entrant is None or sizes is None or compared or "study=backbones" not in typed:
        return None
    used, own = sizes
    column = next(column for column in table.columns if column.name == taken.column)
    network = [word for word in column.words if word.partition("=")[0] in _NETWORK]
    kept = [word for word in typed if word != _ONE_RATE and word.partition("=")[0] not in (*_DROPPED, *_NETWORK)]
    middle = round(math.sqrt(used * own) / _STEP) * _STEP
    words = (*network, *kept, "study=sizes", f"study.sizes=[{','.join(map(str, sorted({used, middle, own})))}]")
    return TypedCommand(
        about=f"{entrant.name} saw {used} px here, less than half of the {own} that it was trained at: larger is "
        "usually more accurate, and this compares sizes",
        line=shlex.join(["python", "-m", "tlexp", *unquoted_values(words)]),
    )


def _small(entrant: Entrant) -> tuple[int, int] | None:
    """Return the size at which a network saw images, and its own; None where that is not known or not far larger."""
    used, own = entrant.facts.get("image_size"), entrant.facts.get("own_size")
    if not isinstance(used, int | float) or not isinstance(own, int | float) or 2 * used >= own:
        return None
    return int(used), int(own)
