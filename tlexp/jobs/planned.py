"""A job before it is launched: its overrides, what they compose to, and the folder below which all jobs lie."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from tlexp.compose.load import Composed
from tlexp.errors import Interrupted
from tlexp.jobs.progress import say
from tlexp.tracking.names import SWEEPS_FOLDER

_PLACE = ContextVar("_PLACE", default=Path())
"""Below which everything is written."""


def sweeps_folder() -> Path:
    """Return where sweeps and studies have their folders."""
    return _PLACE.get() / SWEEPS_FOLDER


@contextlib.contextmanager
def written_below(place: Path) -> Iterator[None]:
    """Let sweeps and studies have their folders below another place than the working folder."""
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A point with its configuration.

    Attributes:
        point: Swept setting -> value as it stands in the override.
        overrides: All overrides of the run.
        key: What the run computes.
        composed: The typed configuration.
    """

    point: dict[str, str]
    overrides: tuple[str, ...]
    key: str
    composed: Composed


@contextlib.contextmanager
def way_out(more: str = "", *, when: str = "") -> Iterator[None]:
    """Say how to go on where a signal ends the sweep.

    Args:
        more: What else can be done with what is there.
        when: What it was at, where it had not begun.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        say(f"interrupted{when}; the same command typed again goes on{more}")
        raise
