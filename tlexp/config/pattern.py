r"""How many steps a regular expression may take on a name: Python's engine goes back and tries again, however often.

The bound is read off the parsed expression, so that it holds for every name of a length. A repeat whose end is in no
doubt, such as `[^_]+` in front of `_`, goes back in vain and counts once.
"""

import re
from collections.abc import Iterator, Sequence
from re import _parser  # type: ignore[attr-defined]  # the one place that knows how an expression is built
from typing import Any, NamedTuple

_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_CATEGORIES = {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"}
_FOLDING = re.IGNORECASE | re.ASCII
"""Flags under which a set holds other characters than it says."""
_TOO_MANY = float(1 << 60)


class _Effort(NamedTuple):
    """Of a part from one place of a name on: the ways in which it may match, and the steps that finding all takes."""

    ways: float
    steps: float


def search_steps(pattern: str, *, length: int) -> float:
    r"""Return the most steps that searching a name of a length may take.

    >>> search_steps(r"^(.*?)_\d+", length=255) < 1e6, search_steps(r"(a+)+$", length=255) > 1e15
    (True, True)

    Raises:
        ValueError: The expression is none; the message says why.
    """
    try:
        re.compile(pattern)
        parsed = _parser.parse(pattern)
        plain = not parsed.state.flags & _FOLDING
        nodes = list(parsed)
        steps = _sequence(nodes, length, plain).steps
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error
    anchored = nodes and str(nodes[0][0]) == "AT" and str(nodes[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING")
    return steps if anchored else steps * (length + 1)


def _sequence(nodes: Sequence[Any], length: int, plain: bool) -> _Effort:
    """Return the effort of parts one behind the other: each is tried for every way in which those before it match."""
    ways, steps = 1.0, 1.0
    for place, node in enumerate(nodes):
        behind = nodes[place + 1] if place + 1 < len(nodes) else None
        part = _node(node, length, plain)
        steps = min(_TOO_MANY, steps + ways * part.steps)
        ways = min(_TOO_MANY, ways * (1.0 if plain and _ends_surely(node, behind) else part.ways))
    return _Effort(ways, steps)


def _node(node: tuple[Any, Any], length: int, plain: bool) -> _Effort:
    """Return the effort of one part."""
    kind, inside = str(node[0]), node[1]
    if kind in _REPEATS:
        least, most = int(inside[0]), min(int(inside[1]), length)
        turns = min(max(least, most), length) if inside[2].getwidth()[0] else max(least, most)  # each takes a character
        effort = _repeated(_sequence(list(inside[2]), length, plain), least, turns)
        return _Effort(1.0, effort.steps) if kind == "POSSESSIVE_REPEAT" else effort
    if kind == "SUBPATTERN":
        return _sequence(list(inside[3]), length, plain and not inside[1] & _FOLDING)
    if kind in ("ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"):  # left behind with the first way that is found
        return _Effort(1.0, _sequence(list(inside if kind == "ATOMIC_GROUP" else inside[1]), length, plain).steps)
    branches = [_sequence(list(branch), length, plain) for branch in _branches(kind, inside)]
    if branches:
        return _Effort(sum(each.ways for each in branches), sum(each.steps for each in branches))
    return _Effort(1.0, float(length) if kind.startswith("GROUPREF") else 1.0)


def _branches(kind: str, inside: Any) -> Iterator[Any]:
    if kind == "BRANCH":
        yield from inside[1]
    elif kind == "GROUPREF_EXISTS":
        yield from (branch for branch in inside[1:] if branch is not None)


def _repeated(once: _Effort, least: int, most: int) -> _Effort:
    """Return the effort of a part that follows itself: of so many ways each time, all can be combined."""
    if once.ways <= 1.0:  # and there may be millions of turns
        return _Effort(max(0.0, most - least + 1.0), min(_TOO_MANY, 1.0 + most * once.steps))
    ways, steps, power = 0.0, 1.0, 1.0
    for count in range(most + 1):  # ends soon, for what is combined doubles at least
        ways += power if count >= least else 0.0
        steps += power * once.steps
        power *= once.ways
        if max(ways, steps, power) > _TOO_MANY:
            return _Effort(_TOO_MANY, _TOO_MANY)
    return _Effort(ways, steps)


def _ends_surely(node: tuple[Any, Any], behind: tuple[Any, Any] | None) -> bool:
    """Return whether a repeat of single characters is followed by a character that it cannot hold itself."""
    if str(node[0]) == "SUBPATTERN" and not node[1][1]:
        inner = list(node[1][3])
        return bool(inner) and len(inner) == 1 and _ends_surely(inner[0], behind)
    if str(node[0]) not in _REPEATS or behind is None or str(behind[0]) != "LITERAL":
        return False
    repeated = list(node[1][2])
    return len(repeated) == 1 and not _holds(repeated[0], chr(behind[1]))


def _holds(node: tuple[Any, Any], sign: str) -> bool:
    """Return whether a part may begin with a character; True for what is more than a set of them."""
    kind, inside = str(node[0]), node[1]
    if kind == "LITERAL":
        return chr(inside) == sign
    if kind == "NOT_LITERAL":
        return chr(inside) != sign
    if kind == "RANGE":
        return int(inside[0]) <= ord(sign) <= int(inside[1])
    if kind == "CATEGORY":
        name = str(inside)
        known = re.fullmatch(_CATEGORIES[name.replace("_NOT_", "_")], sign) is not None
        return known != ("_NOT_" in name)
    if kind == "IN":
        negated = str(inside[0][0]) == "NEGATE"
        return any(_holds(each, sign) for each in inside[negated:]) != negated
    return True
