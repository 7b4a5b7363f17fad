"""Which images belong together: one patient, animal or burst, by a table, by their names or by their folders.

A group's name may be anybody's: it stands in messages and in `leaks.csv` alone, printable. As in the names of classes
what is known to be secret is masked there; what only looks like a token stays, for nothing tells it from a name.
"""

import dataclasses
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.config.group import LONGEST_NAME, GroupKind, GroupRule, OnLeak, parse_group
from tlexp.data.copies import Copy
from tlexp.data.decode import printable
from tlexp.data.files import Listing, UnreadImage
from tlexp.data.group_table import GroupTable
from tlexp.data.partition import first_names
from tlexp.errors import DataError

NEITHER_PREFIX, SHIFTED_PREFIX = "neither:", "shifted:"
"""Begin the names of images that come from folders of their own."""


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of a source's images.

    Attributes:
        stated: The setting, for people.
        of: Name of an image -> its group.
        on_leak: What happens with a group on both sides of given splits.
        one_with: Group as it is stated -> the one that it became part of, for those that share an image with others.
    """

    stated: str
    of: Mapping[str, str]
    on_leak: OnLeak
    one_with: Mapping[str, str] = field(default_factory=dict)

    def codes(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return the number of each image's group in the order of the sorted groups of these images, (N,) int64."""
        given = [self.of[name] for name in names]
        number = {group: code for code, group in enumerate(sorted(set(given)))}
        return np.fromiter((number[group] for group in given), np.int64, len(given))

    def count(self, names: Iterable[str]) -> int:
        """Return how many groups some images belong to."""
        return len({self.of[name] for name in names})

    def more(self, of: Mapping[str, str]) -> "Groups":
        """Return the groups with those of more images, as they are stated."""
        own = {name: self.one_with.get(group, group) for name, group in of.items()}
        return dataclasses.replace(self, of={**self.of, **own})

    def joined(self, copies: Iterable[Copy]) -> "Groups":
        """Return the groups after those that share an image became one, which bears the first of their names."""
        above = dict(self.one_with)

        def bearer(group: str) -> str:
            while (other := above.get(group)) is not None:
                above[group] = above.get(other, other)
                group = other
            return group

        for copy in copies:
            first, second = sorted(bearer(self.of[name]) for name in (copy.name, copy.same_as))
            if first != second:
                above[second] = first
        if len(above) == len(self.one_with):
            return self
        of = {name: bearer(group) for name, group in self.of.items()}
        return dataclasses.replace(self, of=of, one_with={group: bearer(group) for group in above})


def joined_notes(before: Groups | None, after: Groups | None, copies: Iterable[Copy]) -> Iterator[str]:
    """Say how many groups became one with others, if any did."""
    if before is None or after is None or not (gone := before.count(before.of) - after.count(after.of)):
        return
    told = f"{gone} group{' is' if gone == 1 else 's are'} one with others, for they share exact copies"
    example = next(copy for copy in copies if before.of[copy.name] != before.of[copy.same_as])
    yield f"{told}, e.g. {example.name} = {example.same_as}; copies.csv lists them"


@dataclass(frozen=True, kw_only=True)
class Grouper:
    """What `data.group` says, with its table read.

    Attributes:
        rule: Where groups stand.
        on_leak: What happens with a group on both sides of given splits.
        table: The table; None where names tell.
        folders: What image names begin with -> the folder below which they go on, to see what else a table may name.
    """

    rule: GroupRule
    on_leak: OnLeak
    table: GroupTable | None = None
    folders: Mapping[str, Path]

    @property
    def stated(self) -> str:
        """The setting, for messages."""
        return f"data.group={printable(str(self.rule))}"

    def name(self, listings: Sequence[Listing], classes: Sequence[str], *, where: str, prefix: str = "") -> Groups:
        """Return the group of every image that is listed.

        Args:
            listings: Of one source.
            classes: Their classes, in the order of the labels.
            where: The source for messages.
            prefix: What the names of all of them begin with.

        Raises:
            DataError: Images have no group, or the table names images that the source does not have.
        """
        files = [file for listing in listings for file in listing.files]
        if self.table is not None:
            refused = {name for listing in listings for name, _ in listing.refused}
            names = [file.name for file in files]
            there = {*names, *refused}
            table = self.table.read_as(lambda name: name in there or self._lies(name))
            _require_named(table, names, where)
            if table.whole:
                self._require_known(table, there, where, prefix)
            return self._groups({name: table.of[name] for name in names})
        found = self._found(files, classes, prefix)
        lost = [name for name, group in found.items() if not group]
        if lost:
            told = f"{self.stated} gives no group to {len(lost)} of the {len(files)} images of {where}"
            alone = self._or_alone(files, classes, prefix) if len(lost) < len(files) else ""
            raise DataError(f"{told}: {first_names(lost)}; {self._way_out(alone)}")
        return self._groups({name: group for name, group in found.items() if group})

    def _groups(self, of: Mapping[str, str]) -> Groups:
        return Groups(stated=self.stated, of=of, on_leak=self.on_leak)

    def _found(self, files: Sequence[UnreadImage], classes: Sequence[str], prefix: str) -> dict[str, str | None]:
        """Return the group that each name tells; none or an empty one where it tells none."""
        tell = self._by_pattern if self.rule.kind is GroupKind.pattern else self._by_folder
        return {file.name: tell(file.name.removeprefix(prefix), classes[file.label], prefix) for file in files}

    def _or_alone(self, files: Sequence[UnreadImage], classes: Sequence[str], prefix: str) -> str:
        """Return that names of another form may be groups of their own, and by what; "" where that would not do."""
        try:
            wider = dataclasses.replace(self, rule=parse_group(f"{self.rule}|(.+)"))
        except ValueError:  # too long, or searched too long
            return ""
        if wider.rule.kind is not GroupKind.pattern or not all(wider._found(files, classes, prefix).values()):
            return ""
        typed = shlex.quote(f"data.group={wider.rule}")  # as it is typed: `stated` doubles backslashes
        return f" give {typed}, by which names of another form are groups of their own," if typed.isprintable() else ""

    def _by_pattern(self, name: str, kind: str, prefix: str) -> str | None:
        """Return what the expression finds in a name below its class: its first group that takes part, else all."""
        below = below_class(name, kind, tree=prefix == NEITHER_PREFIX)
        found = re.search(self.rule.value, below) if len(below) <= LONGEST_NAME else None
        return None if found is None else next((part for part in found.groups() if part is not None), found[0])

    def _by_folder(self, name: str, kind: str, prefix: str) -> str | None:
        """Return the name of the folder that holds an image, or of one above it."""
        folders = [part for part in name.split("/")[:-1] if part]
        number = int(self.rule.value)
        return folders[-number] if number <= len(folders) else None

    def _way_out(self, alone: str) -> str:
        if self.rule.kind is GroupKind.folder:
            return "put each image into a folder of its group, or write a table of path,group"
        return (
            "the expression has to find something in what a name has below its class, of at most "
            f"{LONGEST_NAME} characters; mend it,{alone} or write a table of path,group"
        )

    def _require_known(self, table: GroupTable, names: set[str], where: str, prefix: str) -> None:
        """Refuse names in a table that are neither images of the source nor files that the run leaves out."""
        strange = [name for name in table.of if name not in names and _prefix(name) == prefix and not self._lies(name)]
        if strange:
            example = min(names, default="")
            raise DataError(
                f"{table.where} names {len(strange)} images that {where} does not have: {first_names(strange)}; mend "
                f"those names or remove their rows (the run names its images as {example})"
            )

    def _lies(self, name: str) -> bool:
        """Return whether a name is that of a file that the run has no use for: of another class or split, say."""
        places = [folder / name[len(start) :] for start, folder in self.folders.items() if name.startswith(start)]
        return any(os.path.lexists(place) for place in places)


def below_class(name: str, kind: str, *, tree: bool = False) -> str:
    """Return what stands in a name behind the folder of its class; without one, the file's own name.

    A table's images may lie in folders of any meaning, and there it errs towards keeping more together: p1_1.jpg and
    p1_2.jpg are of one patient in whichever folders they lie.

    Args:
        name: With / between folders.
        kind: The class.
        tree: Whether the whole name lies below the class, at any depth.

    >>> below_class("train/cat/p1/2.jpg", "cat"), below_class("photos/2.jpg", "cat")
    ('p1/2.jpg', '2.jpg')
    """
    parts = name.split("/")
    if kind in parts[:-1]:
        return "/".join(parts[len(parts) - 1 - parts[-2::-1].index(kind) :])
    return name if tree else parts[-1]


def _prefix(name: str) -> str:
    """Return how the names of a source begin that a name is one of."""
    return next((prefix for prefix in (NEITHER_PREFIX, SHIFTED_PREFIX) if name.startswith(prefix)), "")


def _require_named(table: GroupTable, names: Sequence[str], where: str) -> None:
    """Refuse a table that misses images."""
    missing = [name for name in names if name not in table.of]
    if not missing:
        return
    header = f"; {table.header} stands in its first line, which is its header" if table.header in missing else ""
    example = next(iter(table.of), None)
    raise DataError(
        f"{table.where} misses {len(missing)} of the {len(names)} images of {where}: {first_names(missing)}{header}; "
        "give each a row with its group, one of its own where it stands for itself"
        + ("" if example is None or len(missing) < len(names) else f" (the table names e.g. {example})")
    )
