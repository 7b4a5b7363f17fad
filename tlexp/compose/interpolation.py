"""Values that refer to others, `${...}`: which there may be, and how far they may go.

Resolvers of the libraries build values from texts and read more than they are given; few are of use in a setting. Texts
that join several others double with each step, so that a few lines stand for a billion signs.
"""

import math
import re
from collections.abc import Iterable, Iterator

DEEPEST = 20
"""Brackets inside each other."""
RESOLVERS = ("oc.env", "oc.select", "now", "tlexp.stamp")
"""What may be asked besides other settings."""
_MOST_JOINED = 256
"""Copies of one text that joining may make."""
_MOST_REFERRING = 100
"""Values that refer to others: a chain of them takes its square in time."""
_OPENED = re.compile(r"\$\{\s*(?P<name>[\w.\[\]-]+)?\s*(?P<sign>[:}])?")
_BRACKETS = {**dict.fromkeys("[{(", 1), **dict.fromkeys("]})", -1)}


def text_problems(text: str) -> Iterator[str]:
    """Yield what a text refers to that it may not; the place stands before it.

    >>> list(text_problems("${optim.lr}")), list(text_problems("a ${oc.env:HOME}"))
    ([], [])
    >>> next(text_problems("${oc.create:x}"))
    '${oc.create:...} is no way to a value; write ${SETTING}, ${oc.env:NAME} or the value'
    """
    if deepest_nesting(text) > DEEPEST:
        yield f"more than {DEEPEST} brackets inside each other; write fewer"
        return
    for opened in _OPENED.finditer(text):
        name, sign = opened["name"], opened["sign"]
        if name is None or sign is None or (sign == ":" and name not in RESOLVERS):
            shown = f"${{{name}:...}}" if name and sign else "${...} with more than a name in it"
            yield f"{shown} is no way to a value; write ${{SETTING}}, ${{oc.env:NAME}} or the value"


def joining_problems(texts: Iterable[str]) -> Iterator[str]:
    """Yield why texts join too many others.

    >>> list(joining_problems(["${a}/${b}", "${a}"])), len(list(joining_problems(["${a}${a}"] * 30)))
    ([], 1)
    """
    references = [
        sum(opened["sign"] == "}" or opened["name"] == "oc.select" for opened in _OPENED.finditer(text))
        for text in texts
        if "${" in text
    ]
    if len(references) > _MOST_REFERRING:
        yield f"more than {_MOST_REFERRING} values refer to others with ${{...}}; write some of them in full"
    elif math.prod(max(1, count) for count in references) > _MOST_JOINED:
        yield "too many values join several others with ${...}, which multiplies them; write some of them in full"


def deepest_nesting(text: str) -> int:
    """Return how many brackets are open at once; those in quotes count as well.

    >>> deepest_nesting("${oc.env:A,${oc.env:B}}"), deepest_nesting("[[1,2],[3]]"), deepest_nesting("plain")
    (2, 2, 0)
    """
    depth = deepest = 0
    for sign in text:
        depth = max(0, depth + _BRACKETS.get(sign, 0))
        deepest = max(deepest, depth)
    return deepest
