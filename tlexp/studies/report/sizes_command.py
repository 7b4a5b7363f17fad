"""What to type after a study whose images may have been too small: sizes of the network that it took, compared."""

import math
import shlex
from collections.abc import Collection, Sequence

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
_OF_SIZES = ("study.sizes", "study.name", "study.minutes")
"""What a study of sizes says that does not hold for larger ones."""
_LARGER = (1.25, 1.5)
"""Times the largest size, where that is the network's own or above it."""
_STEP = 32
"""Pixels: networks halve the side of what they see up to five times."""


def sizes_command(findings: Findings) -> TypedCommand | None:
    """Return what compares other sizes of the network that is taken; None where nothing speaks for them.

    After a study of networks these are larger ones up to its own size, where it saw less than half of that; after one
    of sizes, larger ones than the largest, where that is taken.
    """
    taken = findings.last_taken
    entrant = None if taken is None or taken.column is None else owner(findings, taken.column)
    typed = shlex.split(str(findings.table.about.get("study", {}).get("command", "")))[3:]
    if taken is None or entrant is None:
        return None
    if findings.table.screens == "sizes":
        return _beyond(findings, entrant, typed)
    sizes, compared = _small(entrant), any(word.startswith("study.sizes=") for word in typed)
    if sizes is None or compared or "study=backbones" not in typed:
        return None
    used, own = sizes
    column = next(column for column in findings.table.columns if column.name == taken.column)
    network = [word for word in column.words if word.partition("=")[0] in _NETWORK]
    kept = [word for word in typed if word != _ONE_RATE and word.partition("=")[0] not in (*_DROPPED, *_NETWORK)]
    middle = round(math.sqrt(used * own) / _STEP) * _STEP
    return TypedCommand(
        about=f"{entrant.name} saw {used} px here, less than half of the {own} that it was trained at: larger is "
        "usually more accurate, and this compares sizes",
        line=_line([*network, *kept, "study=sizes"], {used, middle, own}),
    )


def _beyond(findings: Findings, taken: Entrant, typed: Sequence[str]) -> TypedCommand | None:
    """Return what compares the largest size that was tried with larger ones; None where another is taken."""
    used, own = (taken.facts.get(name) for name in ("image_size", "own_size"))
    tried = [side for each in findings.screened if isinstance(side := each.entrant.facts.get("image_size"), int)]
    if not isinstance(used, int) or max(tried) > used or findings.table.unseen:
        return None
    kept = [word for word in typed if word != _ONE_RATE and word.partition("=")[0] not in _OF_SIZES]
    larger = {_STEP * math.ceil(factor * used / _STEP) for factor in _LARGER}
    if isinstance(own, int) and own > used:
        larger = {own}
    return TypedCommand(
        about=f"sizes above {used} px were not tried and may be more accurate: this compares them",
        line=_line(kept, {used, *larger}),
    )


def _line(words: Sequence[str], sizes: Collection[int]) -> str:
    stated = f"study.sizes=[{','.join(map(str, sorted(sizes)))}]"
    return shlex.join(["python", "-m", "tlexp", *unquoted_values([*words, stated])])


def _small(entrant: Entrant) -> tuple[int, int] | None:
    """Return the size at which a network saw images, and its own; None where that is not known or not far larger."""
    used, own = entrant.facts.get("image_size"), entrant.facts.get("own_size")
    if not isinstance(used, int | float) or not isinstance(own, int | float) or 2 * used >= own:
        return None
    return int(used), int(own)
