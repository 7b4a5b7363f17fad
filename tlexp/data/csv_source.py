"""The user's own images in a table: a CSV file with a row per image, its path, its label and perhaps its split.

Paths are relative to the file's own folder, or absolute; links do not lead out of it, nor out of the folder that such a
path names, unless they are to be followed. Splits are train and test (or val), in the spellings of
`splits` and the protocol of `listing`. Classes are sorted by name, character by character.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.config.casting import nearest
from tlexp.data.checked import Found, Reading, check
from tlexp.data.classes import choose_classes, listed, require_equal, taken_classes
from tlexp.data.counts import Counts
from tlexp.data.decode import printable
from tlexp.data.files import ImageFile, Listing
from tlexp.data.group_table import GroupTable
from tlexp.data.groups import Grouper
from tlexp.data.images import Source
from tlexp.data.splits import HELD_OUT, TRAIN, choose_held_out, require_one_each, split_meant, splits_meant
from tlexp.data.walk import NamedPaths
from tlexp.errors import DataError
from tlexp.paths import open_regular

COLUMNS = ("path", "label", "split")
_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: its line, the image's absolute path and printable name, its label, split and group."""

    line: int
    path: str
    name: str
    label: str
    split: str
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """Rows of the classes that are used.

    Attributes:
        where: The table for messages.
        classes: Printable class names, sorted.
        pool: The rows of the training pool.
        held_out: Those of the test split; None where it has to be split off the pool.
        pool_from: What the table calls the split of the pool; its own name where it has one split.
        held_out_from: The same of the test split.
        notes: Remarks for the user.
    """

    where: str
    classes: tuple[str, ...]
    pool: tuple[Row, ...]
    held_out: tuple[Row, ...] | None
    pool_from: str
    held_out_from: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """A table of images.

    Attributes:
        path: The CSV file.
        columns: Names of the columns of path, label and, if there is one, split; COLUMNS when None.
        follow_links: Follow links out of the folder that a path starts from.
    """

    path: Path
    columns: Sequence[str] | None
    follow_links: bool

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """Check the images that the table names; a fifth is held out where it has no test split.

        Raises:
            DataError: The table cannot be used, see `read_table`; images are missing or cannot be read (all of them in
                one message).
        """
        return check(self._listed(classes, at_least), reading, source_seed=source_seed)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the labels of the training pool."""
        return read_table(self.path, columns=self.columns, classes=classes, at_least=at_least).classes

    def counts(self, *, classes: Sequence[str] | None, at_least: int, grouper: Grouper | None = None) -> Counts | None:
        """Return how many files the table names for each label."""
        return self._listed(classes, at_least).counts(grouper)

    def groups(self, column: str) -> GroupTable:
        """Return the groups in a column of the table; no image is opened.

        Raises:
            DataError: The table cannot be used, has no such column or leaves cells of it empty, or gives an image two
                groups.
        """
        where = f"data.root={printable(str(self.path))}"
        rows, _ = _unique(_rows(self.path, self.columns, where, group=column), where)
        return GroupTable(where=where, of={row.name: row.group for row in rows}, header="", whole=False)

    def _listed(self, classes: Sequence[str] | None, at_least: int) -> Found:
        """Return what the table names."""
        table = read_table(self.path, columns=self.columns, classes=classes, at_least=at_least)
        return Found(
            where=table.where,
            classes=table.classes,
            pool=self._listing(table.pool, table.classes),
            held_out=None if table.held_out is None else self._listing(table.held_out, table.classes),
            pool_from=table.pool_from,
            held_out_from=table.held_out_from,
            notes=table.notes,
        )

    def _listing(self, rows: Sequence[Row], classes: Sequence[str]) -> Listing:
        """Return the images of rows, sorted by name; what is no file, or is not to be followed, is refused."""
        label = {name: number for number, name in enumerate(classes)}
        links = NamedPaths(self.path.parent.resolve())
        files, refused = [], []
        for row in rows:
            reason = _missing(row.path) or (None if self.follow_links else links.refusal(row.path))
            if reason is None:
                files.append(ImageFile(path=row.path, name=row.name, label=label[row.label]))
            else:
                refused.append((row.name, reason))
        return Listing(files=tuple(sorted(files, key=lambda file: file.name)), refused=tuple(sorted(refused)))


def _missing(path: str) -> str | None:
    """Return why there is no file to open."""
    if os.path.isfile(path):  # noqa: PTH113 - a Path per row is slow
        return None
    return "not a regular file" if Path(path).exists() else "no such file"


def read_table(
    path: Path, *, columns: Sequence[str] | None, classes: Sequence[str] | None, at_least: int
) -> ImageTable:
    """Read a table; no image is opened.

    Raises:
        DataError: The file is missing or no CSV in UTF-8; a column is missing; rows are incomplete, unknown splits or
            contradict each other (all of them in one message); two splits mean the same; there are too few classes, or
            others in the test split.
    """
    where = f"data.root={printable(str(path))}"
    rows, repeated = _unique(_rows(path, columns, where), where)
    notes = [f"{repeated} rows of {path.name} are there twice and count once"] if repeated else []
    meant = splits_meant(sorted({row.split for row in rows}))
    if TRAIN not in meant:
        raise DataError(f"{where}: no row has the split train; label budgets are drawn from those rows")
    require_one_each(meant, where=where, way_out="give their rows one name, or remove those of one")
    (train,) = meant[TRAIN]
    test, unused = choose_held_out(name for names in meant.values() for name in names)
    pool = [row for row in rows if row.split == train]
    held_out = [row for row in rows if row.split == test]
    chosen = choose_classes(sorted({row.label for row in pool}), classes, where=where, at_least=at_least)
    if len(chosen) < at_least:
        raise DataError(
            f"{where}: one class only ({chosen[0]}), at least two are needed in the rows of the split train"
        )
    if held_out:
        others = taken_classes(sorted({row.label for row in held_out}), classes)
        way_out = "both need the same labels"
        require_equal(chosen, others, where=f"{where}, split {test},", than="split train", way_out=way_out)
    used = frozenset(chosen)
    return ImageTable(
        where=where,
        classes=chosen,
        pool=tuple(row for row in pool if row.label in used),
        held_out=tuple(row for row in held_out if row.label in used) if held_out else None,
        pool_from=printable(path.name) if test is None else f"split {train}",
        held_out_from=None if test is None else f"split {test}",
        notes=(*notes, *unused),
    )


def read_rows(path: Path, where: str) -> list[Row]:
    """Return the rows of a table with the columns path and label, each image once, whatever its split.

    Raises:
        DataError: The table cannot be read, a cell is missing, or an image has two labels.
    """
    return _unique(_rows(path, None, where), where)[0]


def _rows(path: Path, columns: Sequence[str] | None, where: str, *, group: str | None = None) -> list[Row]:
    """Return all rows, with what stands in the column of groups if one is named.

    Raises:
        DataError: The file cannot be read, a column is missing, or cells are.
    """
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            places = _places(header, columns, where) | ({} if group is None else _group_place(header, group, where))
            cells = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}; data=csv needs a table, {_FORM}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} is no CSV file in UTF-8: {error}; it needs {_FORM}") from error
    folder = path.parent.resolve()
    rows, wrong = [], []
    for line, row in cells:
        values = {name: row[place].strip() for name, place in places.items() if place < len(row)}
        problem = _problem(row, header, values, places)
        if problem:
            wrong.append(f"line {line}: {problem}")
        else:
            rows.append(_row(line, values, str(folder)))
    _refuse(wrong, where)
    if not rows:
        raise DataError(f"{where} has no rows below its header; it needs {_FORM}")
    return rows


_FORM = "a header path,label or path,label,split and a row per image"


def _places(header: Sequence[str], columns: Sequence[str] | None, where: str) -> dict[str, int]:
    """Return the place of each column by what it holds; a split column is used where there is one.

    Raises:
        DataError: A column is missing, or is there twice.
    """
    wanted = dict(zip(COLUMNS, columns or COLUMNS, strict=False))
    if columns is None and "split" not in header:
        del wanted["split"]
    missing = [f"{name}{nearest(name, header)}" for name in wanted.values() if name not in header]
    if missing:
        raise DataError(
            f"{where} has no column {', '.join(missing)}; it has {listed([printable(name) for name in header])}; "
            "data.columns=[path,label] or data.columns=[path,label,split] names others"
        )
    if twice := [name for name in wanted.values() if header.count(name) > 1]:
        raise DataError(f"{where} has the column {', '.join(twice)} more than once; rename or remove all but one")
    return {kind: header.index(name) for kind, name in wanted.items()}


def _group_place(header: Sequence[str], column: str, where: str) -> dict[str, int]:
    """Return the place of the column of groups.

    Raises:
        DataError: It is missing, or is there twice.
    """
    if header.count(column) == 1:
        return {"group": header.index(column)}
    name = printable(column)
    told = "has that column more than once" if column in header else f"has no column {name}{nearest(column, header)}"
    raise DataError(
        f"data.group=column:{name}: {where} {told}; its columns are {listed([printable(name) for name in header])}"
    )


def _problem(row: Sequence[str], header: Sequence[str], values: dict[str, str], places: dict[str, int]) -> str | None:
    """Return what is wrong with a row by itself."""
    if len(row) != len(header):
        return f"{len(row)} cells, the header has {len(header)} (a comma inside a cell needs quotes around it)"
    if empty := [header[places[kind]] for kind, value in values.items() if not value]:
        return f"{', '.join(empty)} is empty"
    split = values.get("split", TRAIN)
    if split_meant(split) is None:
        return f"split {printable(split)} is none of {', '.join((TRAIN, *HELD_OUT))}"
    return None


def _row(line: int, values: dict[str, str], folder: str) -> Row:
    """Return a row; images below the table's folder are named by the path from there, so that both can be moved.

    Args:
        line: Where it stands.
        values: Its cells by what they hold.
        folder: Of the table, links resolved.
    """
    path = os.path.normpath(os.path.join(folder, values["path"]))  # noqa: PTH118 - a Path per row is slow
    below = os.path.relpath(path, folder)
    name = path if below.startswith(os.pardir) else below
    split = values.get("split", TRAIN).casefold()
    return Row(
        line=line,
        path=path,
        name=printable(name.replace(os.sep, "/")),
        label=printable(values["label"]),
        split=split,
        group=printable(values.get("group", "")),
    )


def _unique(rows: Sequence[Row], where: str) -> tuple[list[Row], int]:
    """Return every image once, and how many rows were repeated.

    Raises:
        DataError: An image has two labels or groups, or lies in two splits.
    """
    first: dict[str, Row] = {}
    wrong: list[str] = []
    for row in rows:
        known = first.setdefault(row.path, row)
        wrong += _contradictions(known, row)
    _refuse(wrong, where)
    return list(first.values()), len(rows) - len(first)


def _contradictions(known: Row, row: Row) -> Iterator[str]:
    for word in ("label", "split", "group"):
        one, other = getattr(known, word), getattr(row, word)
        if one != other:
            yield f"line {row.line}: {row.name} has the {word} {other}, in line {known.line} it has {one}"


def _refuse(wrong: Sequence[str], where: str) -> None:
    if wrong:
        more = [f"... and {len(wrong) - _NAMED} more"] if len(wrong) > _NAMED else []
        lines = "\n".join(f"  {line}" for line in (*wrong[:_NAMED], *more))
        raise DataError(
            f"{where}: {len(wrong)} row{'' if len(wrong) == 1 else 's'} cannot be used:\n{lines}\nMend or remove them"
        )
