"""A table of path,group, as people write it: which image belongs to which patient, animal or burst."""

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tlexp.data.decode import printable
from tlexp.errors import DataError
from tlexp.paths import open_regular

_FORM = "it needs a header path,group and a row per image"
_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class GroupTable:
    """Groups that stand in a table.

    Attributes:
        where: The table for messages.
        of: Name of an image -> its group.
        header: The first cell of its first line.
        whole: Whether it names the images of one source and no others; else it may name more.
        plain: Name -> the same without the blanks that stand around it in its cell, for names that have some.
    """

    where: str
    of: Mapping[str, str]
    header: str
    whole: bool
    plain: Mapping[str, str] = field(default_factory=dict)

    def read_as(self, known: Callable[[str], bool]) -> "GroupTable":
        """Return the table with the blanks around a name taken as part of it only where there is such an image.

        Raises:
            DataError: An image has two groups, once with blanks around its name.
        """
        meant = {name: name if known(name) else plain for name, plain in self.plain.items()}
        of = dict(self.of)
        for name, plain in meant.items():
            group = of.pop(name)
            if of.setdefault(plain, group) != group:
                raise DataError(f"{self.where}: {plain} is of group {group} and of {of[plain]}; remove one of the rows")
        return dataclasses.replace(self, of=of, plain={})


def read_group_table(path: Path) -> GroupTable:
    """Read a table of path,group.

    Raises:
        DataError: It is missing, no CSV in UTF-8, empty, has rows without a group or with another number of cells than
            its header, or gives an image two groups.
    """
    where = f"data.group={printable(str(path))}"
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            sign = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.reader(file, strict=True, delimiter=sign)
            rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}; {_FORM}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} is no CSV file in UTF-8: {error}; {_FORM}") from error
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise DataError(f"{where} has no rows below its header, or one column alone; {_FORM}")
    header = [cell.strip() for cell in rows[0][1]]
    named = "path" in header and "group" in header
    places = (header.index("path"), header.index("group")) if named else (0, 1)
    return GroupTable(
        where=where,
        of=_of_rows(rows[1:], places, len(header), where),
        header=_name(header[places[0]]),
        whole=True,
        plain={
            _name(name): _name(name.strip()) for _, row in rows[1:] for name in [row[places[0]]] if name != name.strip()
        },
    )


def _of_rows(rows: Sequence[tuple[int, list[str]]], places: tuple[int, int], width: int, where: str) -> dict[str, str]:
    """Return name -> group.

    Raises:
        DataError: Rows are incomplete or contradict each other; all are counted in one message.
    """
    first: dict[str, tuple[int, str]] = {}
    wrong: list[str] = []
    for line, cells in rows:
        if len(cells) != width:
            wrong.append(f"line {line}: {len(cells)} cells, the header has {width}")
            continue
        name, group = _name(cells[places[0]]), _name(cells[places[1]].strip())
        if not name.strip() or not group:
            wrong.append(f"line {line}: its {'group' if name.strip() else 'path'} is empty")
            continue
        before, known = first.setdefault(name, (line, group))
        if known != group:
            wrong.append(f"line {line}: {name} is of group {group}, in line {before} of {known}")
    if wrong:
        more = [f"... and {len(wrong) - _NAMED} more"] if len(wrong) > _NAMED else []
        told = "\n".join(f"  {line}" for line in (*wrong[:_NAMED], *more))
        raise DataError(
            f"{where}: {len(wrong)} row{'' if len(wrong) == 1 else 's'} cannot be used:\n{told}\n"
            "Mend or remove them; an image that stands for itself has a group of its own"
        )
    return {name: group for name, (_, group) in first.items()}


def _name(cell: str) -> str:
    """Return a cell as names are printed: a run's own names have that form already."""
    cell = cell.removeprefix("./")
    return cell if cell.isprintable() else printable(cell)
