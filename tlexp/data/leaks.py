"""Groups on both sides of splits that are given: what is learned of a patient, say, tells of the test images as well.

Splits that tlexp makes itself part no group, see `partition`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tlexp.config.group import OnLeak
from tlexp.data.splits import TRAIN
from tlexp.errors import DataError
from tlexp.paths import csv_bytes
from tlexp.secrets import masked_name

_NAMED = 5


@dataclass(frozen=True, kw_only=True, order=True)
class Leak:
    """An image of a group that is on both sides.

    Attributes:
        group: Its group.
        split: Where it lies: train, test or shifted.
        name: Its name.
    """

    group: str
    split: str
    name: str


LISTED = "leaks.csv lists them"
"""Ends the note on leaks, for runs."""
_WORDS = {"test": "the test split", "shifted": "data.shifted"}


def find_leaks(
    group_of: Mapping[str, str], pool: Iterable[str], held_out: Iterable[str], *, split: str
) -> tuple[Leak, ...]:
    """Return the images of groups that are both in the pool and in a held-out split, sorted by group.

    >>> leaks = find_leaks({"a/1": "x", "a/2": "y", "t/1": "x"}, ["a/1", "a/2"], ["t/1"], split="test")
    >>> [(leak.group, leak.split, leak.name) for leak in leaks]
    [('x', 'test', 't/1'), ('x', 'train', 'a/1')]

    Args:
        group_of: Name -> group, of all images.
        pool: Names of the images to learn from.
        held_out: Names of the held-out ones.
        split: What they are called.
    """
    sides = {TRAIN: list(pool), split: list(held_out)}
    known = [{group_of[name] for name in names} for names in sides.values()]
    both = known[0] & known[1]
    found = (
        Leak(group=group_of[name], split=side, name=name)
        for side, names in sides.items()
        for name in names
        if group_of[name] in both
    )
    return tuple(sorted(found))


def leaked_names(leaks: Sequence[Leak], *, split: str, on_leak: OnLeak, where: str) -> list[str]:
    """Return the names of the images that leave the pool; none where leaks are listed alone.

    Args:
        leaks: Of the pool and one held-out split.
        split: That split.
        on_leak: What is to happen.
        where: The source and the grouping for messages.

    Raises:
        DataError: There are leaks, and they are to be refused.
    """
    learned = [leak.name for leak in leaks if leak.split == TRAIN]
    if not leaks or on_leak is OnLeak.list:
        return []
    if on_leak is OnLeak.move:
        return learned
    groups = sorted({leak.group for leak in leaks})
    raise DataError(
        f"{where}: {_both_sides(groups, split)} ({told_groups(groups)}), with {len(learned)} images and "
        f"{len(leaks) - len(learned)}, e.g. {_pair(leaks)}; data.on_leak=move takes those images out of the training "
        "pool, data.on_leak=list goes on and lists them in leaks.csv; or divide the splits by group"
    )


def leak_note(leaks: Sequence[Leak], *, split: str, on_leak: OnLeak) -> str:
    """Return what is said of leaks, of which there are some, that are not refused."""
    groups = sorted({leak.group for leak in leaks})
    learned = sum(leak.split == TRAIN for leak in leaks)
    told = _both_sides(groups, split)
    done = "left out of training" if on_leak is OnLeak.move else "learned from, so that the test may say too much"
    return f"{told}: {learned} training images are {done}, e.g. {_pair(leaks)}; {LISTED}"


def leaks_csv(leaks: Sequence[Leak]) -> bytes:
    """Return a table of leaks: group, split, name."""
    return csv_bytes([["group", "split", "name"], *([leak.group, leak.split, leak.name] for leak in leaks)])


def told_groups(groups: Sequence[str]) -> str:
    """Return the first names of groups, long ones cut, and how many more there are.

    >>> told_groups(["a", "b" * 50])
    'a, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...'
    """
    more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
    public = map(masked_name, groups[:_NAMED])  # first, for what is cut is not recognised
    return ", ".join(f"{name[:40]}..." if len(name) > 40 else name for name in public) + more


def _both_sides(groups: Sequence[str], split: str) -> str:
    verb = " is" if len(groups) == 1 else "s are"
    return f"{len(groups)} group{verb} both in the training pool and in {_WORDS[split]}"


def _pair(leaks: Sequence[Leak]) -> str:
    """Return an image of the first group on either side."""
    first = [leak for leak in leaks if leak.group == leaks[0].group]
    learned = next(leak.name for leak in first if leak.split == TRAIN)
    tested = next(leak.name for leak in first if leak.split != TRAIN)
    return f"{learned} and {tested}"
