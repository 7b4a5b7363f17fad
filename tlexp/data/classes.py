"""Which classes of a source a run tells apart."""

import dataclasses
import unicodedata
from collections.abc import Sequence

import numpy as np

from tlexp.config.casting import nearest
from tlexp.data.images import Images, Source, Subset, digest_lines
from tlexp.errors import DataError

NEITHER = "neither"
"""The class of images that show none of the others, see `neither`."""


def choose_classes(found: Sequence[str], wanted: Sequence[str] | None, *, where: str) -> tuple[str, ...]:
    """Return the classes of a source, in its order; of those that are wanted, where any are.

    Args:
        found: Printable names.
        wanted: `data.classes`, in any order; None takes all.
        where: The source for messages.

    Raises:
        DataError: A wanted class is not there, or two names differ only in case (one folder on some systems, two on
            others) or in the coding of accents.
    """
    unknown = [f"{name}{nearest(name, found)}" for name in wanted or () if name not in found]
    if unknown:
        raise DataError(
            f"data.classes: {', '.join(unknown)} not in {where}, which has {len(found)} classes: {listed(found)}"
        )
    chosen = tuple(name for name in found if wanted is None or name in wanted)
    spelled: dict[str, str] = {}
    for name in chosen:
        first = spelled.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if first is not name:
            raise DataError(
                f"{where}: classes {first} and {name} differ only in case or in the coding of accents; rename or merge "
                "them"
            )
    return chosen


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
