"""The points of a sweep, averaged over seeds and ranked within each label budget by a validation figure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tlexp.config.labels import parse_labels
from tlexp.jobs.outcome import JobOutcome
from tlexp.tracking import RunStatus

SEEDS = ("seed", "data.seed")
"""Swept keys whose values make replicates of one candidate."""
LABELS = "labels"
UNKNOWN = "?"


@dataclass(frozen=True, kw_only=True)
class MetricSummary:
    """A figure over the finished seeds of a candidate: mean, sample standard deviation (None with one), count."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class CandidateRuns:
    """A point without its seeds, and the runs of all of them in the sweep's order."""

    settings: dict[str, str]
    runs: tuple[JobOutcome, ...]

    @property
    def finished(self) -> list[JobOutcome]:
        """The runs that count in averages."""
        return [run for run in self.runs if run.status is RunStatus.finished and run.record is not None]

    @property
    def whole(self) -> bool:
        """Whether every seed finished."""
        return len(self.finished) == len(self.runs)

    @property
    def pruned(self) -> bool:
        """Whether a run of them was ended for the sake of others, so that it has no place among them."""
        return any(run.status is RunStatus.pruned for run in self.runs)

    def summary(self, metric: str) -> MetricSummary | None:
        """Return a metric over the finished seeds; None where one of them lacks it or none finished."""
        values = [value(run, metric) for run in self.finished]
        known = [each for each in values if each is not None]
        if not known or len(known) < len(values):
            return None
        deviation = statistics.stdev(known) if len(known) > 1 else None
        return MetricSummary(mean=statistics.fmean(known), deviation=deviation, count=len(known))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The candidates of one label budget.

    Attributes:
        labels: The budget in one spelling, e.g. 20; `?` where no run says.
        ranked: The best first. Those whose seeds all finished stand above the others, whose average leaves out the
            seeds that went wrong.
        unranked: Without the objective, or pruned, in the sweep's order.
    """

    labels: str
    ranked: tuple[CandidateRuns, ...]
    unranked: tuple[CandidateRuns, ...]


def value(run: JobOutcome, metric: str) -> float | None:
    """Return a finished run's metric; None without a finite one."""
    if run.status is not RunStatus.finished or run.record is None:
        return None
    found = run.record.metrics.get(metric)
    return found if found is not None and math.isfinite(found) else None


def rank(runs: Sequence[JobOutcome], *, objective: str, direction: str) -> list[Standing]:
    """Return the standings of each label budget, small budgets first.

    Args:
        runs: In the sweep's order, which decides between equals.
        objective: A metric of the validation or the cost block, never of the test split.
        direction: minimize or maximize.
    """
    assert not objective.startswith("test/"), "the test split never ranks"
    sign = {"minimize": 1, "maximize": -1}[direction]
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[JobOutcome]] = {}
    for run, labels in zip(runs, budgets(runs), strict=True):
        groups.setdefault((labels, tuple(_settings(run).items())), []).append(run)
    candidates: dict[str, list[CandidateRuns]] = {}
    for (labels, settings), members in groups.items():
        candidates.setdefault(labels, []).append(CandidateRuns(settings=dict(settings), runs=tuple(members)))
    standings = []
    for labels in sorted(candidates, key=budget_order):
        rated = [(each, None if each.pruned else each.summary(objective)) for each in candidates[labels]]
        ranked = [(not each.whole, sign * found.mean, each) for each, found in rated if found is not None]
        ranked.sort(key=lambda entry: entry[:2])
        standings.append(
            Standing(
                labels=labels,
                ranked=tuple(each for *_, each in ranked),
                unranked=tuple(each for each, found in rated if found is None),
            )
        )
    return standings


def budgets(runs: Sequence[JobOutcome]) -> list[str]:
    """Return the label budget of each run: what its record says, else its point, else that of the other runs."""
    stated = [run.record.config[LABELS] if run.record is not None else run.point.get(LABELS) for run in runs]
    known = {one_spelling(text) for text in stated if text is not None}
    common = known.pop() if len(known) == 1 else UNKNOWN
    return [common if text is None else one_spelling(text) for text in stated]


def one_spelling(labels: object) -> str:
    """Return a label budget in one spelling; what is none stays as it is.

    >>> one_spelling("0.10"), one_spelling("020"), one_spelling("${oc.env:LABELS}")
    ('0.1', '20', '${oc.env:LABELS}')
    """
    try:
        return str(parse_labels(str(labels)))
    except ValueError:
        return str(labels)


def budget_order(labels: str) -> tuple[int, float, str]:
    """Return a sort key that puts counts before fractions, both by size, then all, then what is no budget.

    >>> sorted(["all", "0.1", "?", "100", "20"], key=budget_order)
    ['20', '100', '0.1', 'all', '?']
    """
    try:
        budget = parse_labels(labels)
    except ValueError:
        return 3, 0.0, labels
    if budget.per_class is not None:
        return 0, budget.per_class, ""
    return (2, 0.0, "") if budget.fraction is None else (1, budget.fraction, "")


def swept_keys(points: Iterable[dict[str, str]]) -> list[str]:
    """Return all keys of the points, in the order in which they come."""
    return list(dict.fromkeys(key for point in points for key in point))


def _settings(run: JobOutcome) -> dict[str, str]:
    """Return the point without its seeds and its label budget."""
    return {key: text for key, text in run.point.items() if key not in (*SEEDS, LABELS)}
