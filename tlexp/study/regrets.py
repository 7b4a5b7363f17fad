"""What rules that know nothing of the labels lose: always the same column, whatever the budget."""

import statistics
from collections.abc import Mapping, Sequence

from tlexp.study.crossfit import highest
from tlexp.study.decision import Decision
from tlexp.study.differences import stacked
from tlexp.study.findings import Regret
from tlexp.study.intervals import TestImages, spread
from tlexp.study.table import Role, StudyTable

RECOMMENDED = "recommended"
PROBE = "always probe"
FULL = "always full fine-tuning"


def find_regrets(table: StudyTable, decisions: Sequence[Decision], images: TestImages) -> tuple[Regret, ...]:
    """Return what each rule loses at each budget against the column with the highest mean.

    The highest mean is cross-fitted: taken from the images that chose it, it would be better than the column is, and
    every rule would seem to lose. A rule may therefore lose less than nothing. `recommended` takes the highest mean
    where nothing is recommended.
    """
    losses: dict[str, dict[str, float | None]] = {name: {} for name in _rules(table)}
    for decision in decisions:
        found = _losses(decision, images)
        for name, column in _rules(table).items():
            losses[name][decision.labels] = found.get(name if column is None else column)
    common = [
        decision.labels
        for decision in decisions
        if losses and all(each[decision.labels] is not None for each in losses.values())
    ]
    return tuple(Regret(rule=name, losses=each, mean=_mean(each, common)) for name, each in losses.items())


def _rules(table: StudyTable) -> dict[str, str | None]:
    """Return the column that each rule takes; None for the recommended one."""
    columns = [column for column in table.columns if column.competes]
    depths = {column.depth: column.name for column in columns if column.role is Role.depth and column.depth is not None}
    rules: dict[str, str | None] = {RECOMMENDED: None}
    if len(depths) > 1:
        rules[PROBE] = depths[max(depths)]
    if 0 in depths:
        rules[FULL] = depths[0]
    return rules | {column.name: column.name for column in columns}


def _losses(decision: Decision, images: TestImages) -> dict[str, float]:
    best, taken = (decision.crossfitted(pick, images) for pick in (highest, decision.rule()))
    if best is None or taken is None:
        return {}
    means = spread(stacked(decision.candidates, decision.seeds), images).value
    found = {cell.column: float(best.value - mean) for cell, mean in zip(decision.candidates, means, strict=True)}
    return found | {RECOMMENDED: float(best.value - taken.value)}


def _mean(losses: Mapping[str, float | None], budgets: Sequence[str]) -> float | None:
    known = [loss for budget in budgets if (loss := losses[budget]) is not None]
    return statistics.fmean(known) if known else None
