r"""What keeps images together, as people write it: `groups.csv`, `column:patient`, `pattern:^(.*?)_\d+`, `folder:1`."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.pattern import search_steps

LONGEST_NAME = 255
"""Characters of a name that a regular expression is tried on."""
_LONGEST_PATTERN = 200
_MOST_STEPS = 2e8
"""On the longest name; at some 5 ns each at most, no expression that is accepted takes much more than a second."""
_MOST_FOLDERS = 20


class GroupKind(StrEnum):
    """Where the group of an image stands: in a table, in the table of data=csv, in its name, or in its folder's."""

    table = "table"
    column = "column"
    pattern = "pattern"
    folder = "folder"


class OnLeak(StrEnum):
    """What happens with a group on both sides of splits that are given."""

    refuse = "refuse"
    list = "list"
    move = "move"


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """A parsed `data.group`.

    Attributes:
        kind: Where groups stand.
        value: The table's path, the column's name, the regular expression, or the number of the folder.
    """

    kind: GroupKind
    value: str

    def __str__(self) -> str:
        return self.value if self.kind is GroupKind.table else f"{self.kind}:{self.value}"


def parse_group(text: str) -> GroupRule:
    r"""Return what a text names.

    >>> str(parse_group("folder:01")), parse_group("a.csv").kind.value, parse_group(r"pattern:^(p\d+)").value
    ('folder:1', 'table', '^(p\\d+)')

    Raises:
        ValueError: It names nothing, or nothing that could be used; the message has key, value, rule and way out.
    """
    word, sign, value = text.partition(":")
    kind = GroupKind(word) if sign and word in list(GroupKind)[1:] else GroupKind.table
    value = (text if kind is GroupKind.table else value).strip()
    if not value:
        raise ValueError(
            f"data.group={text}: names nothing; give a table (data.group=groups.csv), column:NAME, pattern:REGEX or "
            "folder:1"
        )
    if kind is GroupKind.pattern:
        _require_pattern(value)
    if kind is GroupKind.folder:
        value = str(_folder(value))
    return GroupRule(kind=kind, value=value)


def _require_pattern(pattern: str) -> None:
    """Refuse what is no regular expression, or one that might be searched for ever.

    Raises:
        ValueError: As said.
    """
    where = f"data.group=pattern:{pattern[:_LONGEST_PATTERN]}"
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(
            f"{where}...: has {len(pattern)} characters, at most {_LONGEST_PATTERN} are taken; write a table with "
            "path,group instead"
        )
    try:
        steps = search_steps(pattern, length=LONGEST_NAME)
    except ValueError as error:
        raise ValueError(f"{where}: is no regular expression: {error}; see docs.python.org/3/library/re") from error
    if steps > _MOST_STEPS:
        raise ValueError(
            f"{where}: might be searched for ever on a long name, for its repeats can share out a name in too many "
            f"ways; begin it with ^, write [^_]* in place of .* where _ comes next, take a repeat out of the repeat "
            "around it, or write a table with path,group"
        )


def _folder(value: str) -> int:
    if not re.fullmatch(r"\d{1,4}", value, re.ASCII) or not 1 <= int(value) <= _MOST_FOLDERS:
        raise ValueError(
            f"data.group=folder:{value}: must be a whole number from 1 to {_MOST_FOLDERS}: 1 is the folder that holds "
            "the image, 2 the one above it"
        )
    return int(value)
