"""What a terminal shows: lines that move no cursor, aligned columns, lengths of time, paths from where one stands."""

import contextlib
import math
import os
import sys
import unicodedata
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TextIO, cast

from tlexp.secrets import ChangedStream, masked


def one_line(text: str) -> str:
    r"""Return text as one line that moves no cursor and hides nothing: what is not printable is escaped.

    Those are control characters, ends of lines, marks that turn the direction of writing, characters without width and
    the bytes of names that are no UTF-8. A second time nothing is left to do.

    >>> print(one_line("cat\n\x1b[31m"), one_line(one_line("\u202e \u200b \udcff")))
    cat\n\x1b[31m \u202e \u200b \udcff
    """
    return text if text.isprintable() else _escaped(text, keep="")


def plain_stream(stream: TextIO) -> TextIO:
    """Return a stream for people to which nobody can send escapes: ends of lines, tabs and a first return remain.

    What shows bars returns to the start of the line by itself.
    """
    return cast(TextIO, ChangedStream(stream, _plain))


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Let what is printed hold no escapes."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(plain_stream, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def show(*lines: str, error: bool = False) -> None:
    """Print lines, each of which stays one whatever it holds.

    Args:
        lines: Without their ends.
        error: Print them where errors and progress are shown.
    """
    for line in lines:
        print(one_line(line), file=sys.stderr if error else None)


def aligned(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """Return a line for each row, its cells in columns two spaces apart, without secrets.

    >>> aligned([["run", "seconds"], ["a", "12"]]), aligned([["run", "seconds"], ["a", "12"]], right=[1])
    (['run  seconds', 'a    12'], ['run  seconds', 'a         12'])

    Args:
        rows: All of the same length; what is not printable in a cell is escaped.
        right: The columns whose cells end, not begin, below each other.
    """
    rows = [[one_line(masked(cell)) for cell in row] for row in rows]
    widths = column_widths(rows)
    return ["  ".join(_padded(row, widths, right)).rstrip() for row in rows]


def list_item(text: str) -> str:
    """Return a text as it stands in a list that commas part: in quotation marks where it holds one itself.

    >>> print(list_item("cat"), list_item("1,024"), list_item("cat, tabby"))
    cat 1,024 "cat, tabby"
    """
    return f'"{text}"' if ", " in text or text.endswith(",") else text


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column.

    >>> column_widths([["run", "seconds"], ["a", "12"]])
    [3, 7]
    """
    return [max(map(cells, column)) for column in zip(*rows, strict=True)]


def cells(text: str) -> int:
    r"""Return how many cells of a terminal a line takes: letters of East Asia and pictures two, marks on others none.

    >>> cells("bee"), cells("\u871c\u8702"), cells("cafe\u0301")
    (3, 4, 4)
    """
    if text.isascii():
        return len(text)
    seen = [char for char in unicodedata.normalize("NFC", text) if unicodedata.category(char) not in ("Mn", "Me")]
    return len(seen) + sum(unicodedata.east_asian_width(char) in ("W", "F") for char in seen)


def duration(seconds: float, *, hours_from: float = 6000, days_from: float = math.inf) -> str:
    """Return a length of time.

    >>> duration(4), duration(200), duration(5000), duration(10000)
    ('4 s', '3 min', '83 min', '2.8 h')
    >>> duration(5000, hours_from=3600), duration(400000, days_from=172800)
    ('1.4 h', '4.6 days')

    Args:
        seconds: How long.
        hours_from: The seconds from which on it is told in hours.
        days_from: The seconds from which on it is told in days.
    """
    if seconds >= days_from:
        return f"{seconds / 86400:.1f} days"
    if seconds >= hours_from:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def short_number(text: str) -> str:
    """Return a number with four digits, where that is shorter; what is none, or is a whole number, as it is.

    >>> [short_number(text) for text in ("0.00012345678901234", "1e-05", "12345", "all")]
    ['0.0001235', '1e-05', '12345', 'all']
    """
    try:
        short = f"{float(text):.4g}"
    except ValueError:
        return text
    return text if text.lstrip("+-").isdigit() or len(short) >= len(text) else short


def short_path(path: Path) -> str:
    """Return a path from the working folder where it lies below it, else as it is.

    >>> short_path(Path.cwd() / "outputs"), short_path(Path("/"))
    ('outputs', '/')
    """
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)


def _plain(text: str) -> str:
    returned = text[:1] if text.startswith("\r") else ""
    return returned + _escaped(text[len(returned) :], keep="\n\t")


def _escaped(text: str, *, keep: str) -> str:
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _padded(row: Sequence[str], widths: Sequence[int], right: Container[int]) -> list[str]:
    blanks = [" " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)]
    return [
        f"{blank}{cell}" if column in right else f"{cell}{blank}"
        for column, (cell, blank) in enumerate(zip(row, blanks, strict=True))
    ]
