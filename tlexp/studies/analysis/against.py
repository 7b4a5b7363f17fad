"""Differences as people ask for them: a column minus the best of its budget."""

from dataclasses import dataclass

from tlexp.studies.analysis.findings import Difference, Findings, Recommendation


@dataclass(frozen=True, kw_only=True)
class Against:
    """A column's balanced accuracy minus that of the best of the budget; the fields are those of a difference."""

    column: str
    best: str
    value: float
    low: float | None
    high: float | None
    alone_low: float | None
    alone_high: float | None
    seeds: int
    family: int
    distinguishable: bool


def against_best(findings: Findings, recommendation: Recommendation) -> tuple[Against, ...]:
    """Return each comparison of a budget's best column with another, in the order of the columns."""
    best = recommendation.best
    found = {
        each.column: each
        for difference in findings.differences
        if best is not None
        and difference.labels == recommendation.labels
        and best in (difference.first, difference.second)
        for each in [_against(difference, best)]
    }
    return tuple(found[column.name] for column in findings.table.columns if column.name in found)


def _against(difference: Difference, best: str) -> Against:
    """Return a difference with the best as what is subtracted."""
    turned = difference.first == best
    sign = -1 if turned else 1
    low, high = _turned(difference.low, difference.high, turned)
    alone_low, alone_high = _turned(difference.alone_low, difference.alone_high, turned)
    return Against(
        column=difference.second if turned else difference.first,
        best=best,
        value=sign * difference.value,
        low=low,
        high=high,
        alone_low=alone_low,
        alone_high=alone_high,
        seeds=difference.seeds,
        family=difference.family,
        distinguishable=difference.distinguishable,
    )


def _turned(low: float | None, high: float | None, turned: bool) -> tuple[float | None, float | None]:
    if not turned:
        return low, high
    return None if high is None else -high, None if low is None else -low
