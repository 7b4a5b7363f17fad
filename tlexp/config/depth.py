"""The freeze depth as written by people: a count of units, a fraction of them, `all`, or a unit's name."""

import math
import re
from collections.abc import Sequence

Depth = int | float | str
"""A parsed freeze depth: int = units, float strictly between 0 and 1 = fraction, str = `all` or a unit's name."""


def parse_depth(text: str) -> Depth:
    """Return what the text means, without knowing any backbone.

    >>> parse_depth("3"), parse_depth("0.50"), parse_depth("layer2"), parse_depth("all")
    (3, 0.5, 'layer2', 'all')

    Raises:
        ValueError: A number that is neither a count nor a fraction; the message states the rule.
    """
    text = text.strip()
    if re.fullmatch(r"\d+", text, re.ASCII):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        if re.fullmatch(r"[A-Za-z_][\w.]*", text):
            return text
        number = math.nan
    if 0 < number < 1:
        return number
    raise ValueError(
        f"freeze.depth={text}: must be a whole number of units, a decimal strictly between 0 and 1 "
        "(fraction of the units), all, or the name of a unit; `python -m tlexp plan` lists the units"
    )


def resolve_depth(depth: Depth, names: Sequence[str], *, backbone: str, sizes: Sequence[int] = ()) -> int:
    """Return the number of leading units that are frozen.

    Args:
        depth: A parsed freeze depth; a name is inclusive. A fraction f means floor(f * n + 0.5) units, or with sizes
            as many as `nearest_depth` says.
        names: The backbone's unit names in forward order.
        backbone: Its name, for the message.
        sizes: What each unit counts for a fraction; empty where all count alike.

    >>> resolve_depth(0.5, ["stem", "layer1", "layer2"], backbone="b"), resolve_depth("stem", ["stem"], backbone="b")
    (2, 1)

    Raises:
        ValueError: The depth is out of range or names no unit; the message lists the units.
    """
    units = f"0..{len(names)} ({', '.join(names)})"
    if isinstance(depth, str):
        if depth == "all":
            return len(names)
        if depth in names:
            return names.index(depth) + 1
        raise ValueError(f"freeze.depth={depth} is not a unit of {backbone}: {units}")
    if isinstance(depth, float):
        if sizes:
            return nearest_depth(depth, sizes)
        return math.floor(depth * len(names) + 0.5)
    if depth > len(names):
        raise ValueError(f"freeze.depth={depth} is out of range for {backbone}: {units}")
    return depth


def nearest_depth(fraction: float, sizes: Sequence[int]) -> int:
    """Return the number of leading units whose share of all sizes is nearest to a fraction.

    Of two that are as near it is the smaller. A fraction is neither nothing nor everything: at least one unit is
    frozen and at least one trains, however large the first or the last is; a single unit trains.

    Args:
        fraction: Strictly between 0 and 1.
        sizes: Of the units in forward order, e.g. their parameters.

    >>> nearest_depth(0.5, [5, 20, 25, 50]), nearest_depth(0.5, [1, 1, 98]), nearest_depth(0.1, [50, 50])
    (3, 2, 1)
    """
    allowed = range(min(1, len(sizes) - 1), len(sizes))
    return min(allowed, key=lambda depth: abs(sum(sizes[:depth]) - fraction * sum(sizes)))
