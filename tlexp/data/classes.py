"""Which classes of a source a run tells apart."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from tlexp.config.casting import nearest
from tlexp.data.images import Images, Source, Subset, digest_lines
from tlexp.errors import DataError

NEITHER = "neither"
"""The class of images that show none of the others, see `neither`."""
_ESCAPE = r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[tnr\\])"
"""What `printable` makes of a character."""
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))
"""Characters that show nothing although Unicode counts them as letters or marks."""


def choose_classes(found: Sequence[str], wanted: Sequence[str] | None, *, where: str) -> tuple[str, ...]:
    """Return the classes of a source, in its order; of those that are wanted, where any are.

    Args:
        found: Printable names.
        wanted: `data.classes`, in any order; None takes all.
        where: The source for messages.

    Raises:
        DataError: A wanted class is not there, or two names look alike, see `look`.
    """
    unknown = [f"{name}{nearest(name, found)}" for name in wanted or () if name not in found]
    if unknown:
        raise DataError(
            f"data.classes: {', '.join(unknown)} not in {where}, which has {len(found)} classes: {listed(found)}"
        )
    chosen = tuple(name for name in found if wanted is None or name in wanted)
    if twins := alike(chosen):
        one, other = (name.encode("ascii", "backslashreplace").decode() for name in twins)
        raise DataError(
            f"{where}: classes {one} and {other} differ only in case, blanks, invisible characters or the coding of "
            "letters; rename or merge them"
        )
    return chosen


def alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two names that look the same, see `look`; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(look(name), name)
        if first != name:
            return first, name
    return None


def look(name: str) -> str:
    r"""Return what is left of a printable name without case, blanks at its ends, invisible characters and codings.

    Names of one look are one folder on some systems and two on others, or cannot be told apart by people.

    >>> look("Cat\u200b") == look("\uff43\uff41\uff54") == look("cat")
    True
    """
    raw = re.sub(_ESCAPE, lambda escape: escape[0].encode().decode("unicode_escape"), name)
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", raw).casefold())
    seen = "".join(char for char in plain if unicodedata.category(char) != "Cf" and char not in _UNSEEN)
    return " ".join(seen.split())


def keep_classes(source: Source, wanted: Sequence[str] | None, *, where: str) -> Source:
    """Return a source with the wanted classes alone, see `choose_classes`."""
    chosen = choose_classes(source.classes, wanted, where=where)
    if chosen == source.classes:
        return source
    number = {source.classes.index(name): label for label, name in enumerate(chosen)}

    def subset(images: Images) -> Subset:
        places = np.flatnonzero(np.isin(images.labels, list(number)))
        labels = np.array([number[int(label)] for label in images.labels[places]], np.int64)
        return Subset(images=images, places=places, labels=labels)

    return dataclasses.replace(
        source,
        classes=chosen,
        pool=subset(source.pool),
        held_out=subset(source.held_out),
        digest=digest_lines([["classes", list(chosen)], source.digest]),
    )


def require_equal(expected: Sequence[str], other: Sequence[str], *, where: str, than: str, way_out: str) -> None:
    """Refuse a split with different classes: numbered each on its own, labels would silently shift.

    Raises:
        DataError: Classes are missing, or there are others.
    """
    differences = [
        f"{word} {listed(names)}"
        for word, names in (
            ("missing", sorted(set(expected) - set(other))),
            ("extra", sorted(set(other) - set(expected))),
        )
        if names
    ]
    if differences:
        raise DataError(f"{where} has other classes than {than}: {'; '.join(differences)}; {way_out}")


def listed(names: Sequence[str]) -> str:
    """Return the first twenty names and how many more there are."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more
