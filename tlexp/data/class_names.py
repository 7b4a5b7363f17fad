"""Names for people in the place of class folders' names, from a table: n0 is a mantled howler.

Tables are taken as they are published: comma, semicolon, tab or blanks between columns, cells padded, more columns than
two, with a header or without.
"""

import csv
import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.classes import NEITHER, listed, look
from tlexp.data.decode import printable
from tlexp.data.images import Source
from tlexp.errors import DataError
from tlexp.paths import open_regular

_KEYS = ("folder", "directory", "wnid", "synset", "id", "code", "key", "class", "label")
"""Headers of the column that holds the classes, the first that is there being taken."""
_NAMES = ("name", "common", "english", "title", "description", "label", "class", "species")
"""The same of the column with the names; after them anything that ends in "name", but for files'."""
_FILES = ("file name", "filename")
_FORM = "it needs two columns, class and name, separated by commas, tabs or blanks"


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """A table of names.

    Attributes:
        where: The file for messages.
        rows: Line number and cells of every line that is not empty, blanks stripped, once for each separator.
    """

    where: str
    rows: "tuple[_Rows, ...]"

    def of(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the names of classes, in their order.

        Raises:
            DataError: A class is missing, has no name or two, or more cells than others; two classes have names that
                look alike.
        """
        tables = [(_spelled(_named(rows), classes), rows) for rows in self.rows]
        named, rows = max(tables, key=lambda table: len(table[0].keys() & set(classes)))
        if missing := [name for name in classes if name not in named]:
            first = next(iter(named), None)
            raise DataError(
                f"{self.where} has no line for {len(missing)} of {len(classes)} classes: {listed(missing)}; {_FORM}"
                + ("" if first is None else f"; its first class is {first}, in line {named[first][0][0]}")
            )
        self._require_even(rows, {line for name in classes for line, _ in named[name]})
        chosen = {name: self._one(name, named[name]) for name in classes}
        seen: dict[str, tuple[int, str]] = {}
        for line, name in chosen.values():
            before, other = seen.setdefault(look(name), (line, name))
            if before != line:
                raise DataError(f"{self.where}: lines {before} and {line} give the same name, {other} and {name}")
        return tuple(name for _, name in chosen.values())

    def _require_even(self, rows: "_Rows", lines: Set[int]) -> None:
        """Refuse lines with more cells than the header or the other lines: a name with a comma would be cut short."""
        own = [(line, cells) for line, cells in rows if line in lines]
        header = [rows[0][1]] if _columns(rows[0][1])[2] else []
        most = max(2, min(len(cells) for cells in header or [cells for _, cells in own]))
        if longer := [line for line, cells in own if any(cells[most:])]:
            told = f"{self.where}: line {longer[0]} has more than the {most} cells of "
            told += "the header" if header else "others"
            raise DataError(f"{told}; put quotes around a name that holds the separator")

    def _one(self, label: str, lines: Sequence[tuple[int, str]]) -> tuple[int, str]:
        """Return the line of a class and its name there."""
        line, name = lines[0]
        if not name:
            raise DataError(f"{self.where}: line {line} gives no name to class {label}; {_FORM}")
        if others := [other for other, given in lines if given != name]:
            raise DataError(f"{self.where}: lines {line} and {others[0]} name class {label} in two ways; remove one")
        return line, name


def read_class_names(path: Path) -> ClassNames:
    """Read a table of names.

    Raises:
        DataError: It is missing, no text in UTF-8, no table, or empty.
    """
    where = f"data.class_names={printable(str(path))}"
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}; {_FORM}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no text in UTF-8: {error}; {_FORM}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DataError(f"{where} is empty; {_FORM}")
    try:
        return ClassNames(where=where, rows=tuple(_cells(lines, split) for split in _SEPARATORS))
    except csv.Error as error:
        raise DataError(f"{where} is no table: {error}; {_FORM}") from error


def _comma_like(separator: str) -> Callable[[str], list[str]]:
    return lambda line: next(csv.reader([line], delimiter=separator, skipinitialspace=True))


_Rows = tuple[tuple[int, tuple[str, ...]], ...]
"""Line number and cells."""
_SEPARATORS: tuple[Callable[[str], list[str]], ...] = (
    *(_comma_like(sign) for sign in ",;\t"),
    lambda line: line.split(maxsplit=1),
)
"""Ways to take a line apart; the one that finds most classes is used, for names hold commas and blanks."""


def _cells(lines: Iterable[tuple[int, str]], split: Callable[[str], list[str]]) -> _Rows:
    return tuple((number, tuple(printable(cell.strip()) for cell in split(line))) for number, line in lines)


def _named(rows: _Rows) -> dict[str, list[tuple[int, str]]]:
    """Return class -> its lines, each with the name there."""
    key, name, header = _columns(rows[0][1])
    found: dict[str, list[tuple[int, str]]] = {}
    for line, cells in rows[1:] if header else rows:
        if len(cells) > key:
            found.setdefault(cells[key], []).append((line, cells[name] if len(cells) > name else ""))
    return found


def _spelled(named: dict[str, list[tuple[int, str]]], classes: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """Return also the lines of classes that the table codes or writes in another way, see `look`."""
    alike = {look(name): lines for name, lines in reversed(named.items())}
    others = {name: alike[look(name)] for name in classes if name not in named and look(name) in alike}
    return named | others


def _columns(cells: Sequence[str]) -> tuple[int, int, bool]:
    """Return the places of classes and names, and whether the cells are a header that says so.

    >>> _columns(["Label", "Latin Name", "Common Name", "Train Images"])
    (0, 2, True)
    >>> _columns(["n0", "mantled howler"])
    (0, 1, False)
    """
    words = [" ".join(re.split(r"[\W_]+", cell.casefold())).strip() for cell in cells]
    files = [place for place, word in enumerate(words) if word in _FILES]
    keys = [words.index(word) for key in _KEYS for word in (key, f"{key} id", f"class {key}") if word in words]
    for key in keys:
        names = [
            words.index(word)
            for name in _NAMES
            for word in (name, f"class {name}", f"{name} name")
            if word in words and words.index(word) != key
        ]
        names += [place for place, word in enumerate(words) if word.endswith("name") and place not in (key, *files)]
        if names or files:
            return key, [*names, len(words)][0], True
    return 0, 1, False


def name_classes(source: Source, names: ClassNames, *, neither: bool) -> Source:
    """Return the source with other names of its classes, which keep their order and so their labels and the digest.

    Args:
        source: The images.
        names: The names.
        neither: Whether the last class is that of `neither`, which has its name.

    Raises:
        DataError: See `ClassNames.of`; a name is that of the class neither.
    """
    own = source.classes[:-1] if neither else source.classes
    given = names.of(own)
    if neither and NEITHER in map(look, given):
        raise DataError(f"{names.where}: {NEITHER} is the name of the class of data.neither; choose another one")
    classes = (*given, NEITHER) if neither else given
    return dataclasses.replace(source, classes=classes)
