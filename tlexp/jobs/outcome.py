"""A point of a sweep and the run that counts for it."""

from dataclasses import dataclass
from pathlib import Path

from tlexp.tracking import Record, RunStatus


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """A point of a sweep and the run that counts for it.

    Attributes:
        number: Place in the sweep's order.
        point: Swept key -> value as written.
        overrides: All task overrides of the job.
        key: Config key.
        folder: Attempt folder of the run that counts.
        status: None: not run (yet).
        reason: Why it ended early.
        record: The record that counts.
    """

    number: int
    point: dict[str, str]
    overrides: tuple[str, ...]
    key: str
    folder: Path | None
    status: RunStatus | None
    reason: str | None
    record: Record | None
