"""metrics.jsonl: every point of every curve, one line each, {phase, fold, step, name, value}."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tlexp.errors import TrackingError
from tlexp.paths import open_regular


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a curve.

    Attributes:
        phase: `select` inside the label budget, or `final`.
        fold: The selection fold from 0; None outside folds.
        step: Optimiser step.
        name: e.g. train/loss.
        value: Finite.
    """

    phase: str
    fold: int | None
    step: int
    name: str
    value: float


class MetricsLog:
    """Appends points to a run's metrics.jsonl; each line reaches the file at once, whole or not at all."""

    def __init__(self, path: Path) -> None:
        _mend(path)
        self._file = path.open("ab", buffering=0)

    def write(self, *, phase: str, fold: int | None, step: int, values: Mapping[str, float]) -> None:
        """Append one line per finite value; JSON has no way to say nan or inf.

        Raises:
            OSError: The disk is full; it names the file.
        """
        for name, value in values.items():
            if math.isfinite(value):
                point = Point(phase=phase, fold=fold, step=step, name=name, value=float(value))
                self._append((json.dumps(asdict(point), allow_nan=False) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: bytes) -> None:
        end, left = os.fstat(self._file.fileno()).st_size, line
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # what cannot be cut off now is passed over by who reads it
                self._file.truncate(end)
            error.filename = str(self._file.name)  # a write names none
            error.add_note(f"{len(line):,} bytes needed")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read_points(path: Path) -> list[Point]:
    """Return the points of a metrics.jsonl in order; none where the file is missing.

    A last line that a dying process left torn is ignored. A resumed run writes some steps again: the later line counts.

    Raises:
        TrackingError: Another line is not a point.
    """
    try:
        with open_regular(path, empty=True) as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    points: dict[tuple[str, int | None, str, int], Point] = {}
    for number, line in enumerate(lines[:-1], 1):
        try:
            point = Point(**json.loads(line))
            points[point.phase, point.fold, point.name, point.step] = point
        except (ValueError, TypeError) as error:
            raise TrackingError(
                f"{path}, line {number} is no point of a curve ({error}): restore the file, or remove the run's folder"
            ) from error
    return list(points.values())


def _mend(path: Path) -> None:
    """Cut off a torn last line, so that appending does not glue the next point to it."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
