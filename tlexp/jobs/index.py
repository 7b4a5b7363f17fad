"""What is there of each run of a sweep: its attempts, and which of them counts."""

from collections import defaultdict
from collections.abc import Iterable

from tlexp.jobs.folder import Attempt
from tlexp.jobs.outcome import JobOutcome
from tlexp.jobs.planned import Planned
from tlexp.jobs.runner import SILENT
from tlexp.secrets import masked
from tlexp.tracking import RunStatus
from tlexp.tracking.blocks import PrunedBlock


class RunIndex:
    """The attempts at every run, by key.

    Args:
        attempts: Those found in the folder; of one key in their order.
    """

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._reasons: dict[str, str] = {}
        self.reread(attempts)

    def reread(self, attempts: Iterable[Attempt]) -> None:
        """Take the attempts that are there now; what was heard of those without a record stands."""
        self._attempts.clear()
        for attempt in attempts:
            self._attempts[attempt.key].append(attempt)

    def attempts(self, key: str) -> list[Attempt]:
        """Return the attempts at a run, in their order."""
        return list(self._attempts.get(key, ()))

    def every(self) -> list[Attempt]:
        """Return the attempts at all runs."""
        return [attempt for attempts in self._attempts.values() for attempt in attempts]

    def counting(self, key: str) -> Attempt | None:
        """Return the attempt that finished or was pruned: such a run is not repeated."""
        return next((attempt for attempt in self._attempts.get(key, ()) if attempt.counts), None)

    def pruned(self, key: str) -> PrunedBlock | None:
        """Return where a run was ended for the sake of others; None where it was not."""
        attempt = self.counting(key)
        return None if attempt is None or attempt.record is None else attempt.record.train.pruned

    def value(self, key: str, metric: str) -> float | None:
        """Return a metric of a finished run."""
        attempt = self.counting(key)
        if attempt is None or attempt.record is None or attempt.record.status is not RunStatus.finished:
            return None
        return attempt.record.metrics.get(metric)

    def hear(self, attempt: Attempt, reason: str | None) -> None:
        """Enter how an attempt ended; the reason is that of one without a record."""
        self._attempts[attempt.key] = [each for each in self._attempts[attempt.key] if each.folder != attempt.folder]
        self._attempts[attempt.key].append(attempt)
        if reason is not None:
            self._reasons[attempt.key] = masked(reason)

    def outcome(self, number: int, planned: Planned) -> JobOutcome:
        """Return the point with the run that counts for it."""
        begun = [attempt for attempt in self._attempts.get(planned.key, ()) if attempt.begun]
        attempt = self.counting(planned.key) or (begun[-1] if begun else None)
        status, reason, record = None, None, None
        if attempt is not None and attempt.record is not None:
            status, reason, record = attempt.record.status, attempt.record.reason, attempt.record
        elif attempt is not None:
            reason = self._reasons.get(planned.key) or attempt.fault or SILENT
            status = RunStatus.killed if reason == SILENT else RunStatus.failed
        return JobOutcome(
            number=number,
            point=planned.point,
            overrides=planned.overrides,
            key=planned.key,
            folder=None if attempt is None else attempt.folder,
            status=status,
            reason=reason,
            record=record,
        )
