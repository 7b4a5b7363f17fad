"""What a terminal shows: aligned columns, lengths of time, paths from where one stands."""

import math
import os
from collections.abc import Container, Sequence
from pathlib import Path


def aligned(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """Return a line for each row, its cells in columns two spaces apart.

    >>> aligned([["run", "seconds"], ["a", "12"]]), aligned([["run", "seconds"], ["a", "12"]], right=[1])
    (['run  seconds', 'a    12'], ['run  seconds', 'a         12'])

    Args:
        rows: All of the same length.
        right: The columns whose cells end, not begin, below each other.
    """
    widths = column_widths(rows)
    return ["  ".join(_padded(row, widths, right)).rstrip() for row in rows]


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column.

    >>> column_widths([["run", "seconds"], ["a", "12"]])
    [3, 7]
    """
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


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


def short_path(path: Path) -> str:
    """Return a path from the working folder where it lies below it, else as it is.

    >>> short_path(Path.cwd() / "outputs"), short_path(Path("/"))
    ('outputs', '/')
    """
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)


def _padded(row: Sequence[str], widths: Sequence[int], right: Container[int]) -> list[str]:
    return [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
