"""What rules that know nothing of the labels lose: always the same column, whatever the budget."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from tlexp.studies.analysis.decision import Decision
from tlexp.studies.analysis.differences import competing, stacked
from tlexp.studies.analysis.findings import Regret
from tlexp.studies.analysis.intervals import TestImages, spread
from tlexp.studies.analysis.pairs import PairSpreads, difference
from tlexp.studies.analysis.table import Role, StudyTable

RECOMMENDED = "recommended"
PROBE = "always probe"
FULL = "always full fine-tuning"


def find_regrets(
    table: StudyTable, decisions: Sequence[Decision], images: TestImages, pairs: PairSpreads
) -> tuple[Regret, ...]:
    """Return what each rule loses at each budget against the column with the highest mean.

    The highest mean is cross-fitted: taken from the images that chose it, it would be better than the column is, and
    every rule would seem to lose. A rule may therefore lose less than nothing. The rule that takes what is recommended
    is told where something is. A column that was dropped or has few seeds is compared with the leader over what it had.
    """
    found = {decision.labels: _losses(decision, images) for decision in decisions}
    for decision in decisions:
        found[decision.labels] |= _dropped_losses(table, decision, found[decision.labels], pairs)
    names = _names(table)
    losses = {name: {labels: each.get(name) for labels, each in found.items()} for name in names}
    common = [
        labels for labels in found if all(losses[name][labels] is not None for name in names if name != RECOMMENDED)
    ]
    recommended = any(loss is not None for loss in losses[RECOMMENDED].values())
    return tuple(
        Regret(rule=rule, losses=losses[name], mean=_mean(losses[name], common))
        for name, rule in names.items()
        if name != RECOMMENDED or recommended
    )


def _names(table: StudyTable) -> dict[str, str]:
    """Return the rule that each column stands for, after the one that takes what is recommended."""
    columns = [column for column in table.columns if column.competes]
    depths = {column.depth: column.name for column in columns if column.role is Role.depth and column.depth is not None}
    habits = {depths[0]: FULL} if 0 in depths else {}
    if len(depths) > 1:
        habits[depths[max(depths)]] = PROBE
    told = {column.name: f"{habits[column.name]} ({column.name})" for column in columns if column.name in habits}
    return {RECOMMENDED: RECOMMENDED} | {column.name: told.get(column.name, column.name) for column in columns}


def _losses(decision: Decision, images: TestImages) -> dict[str, float]:
    best, taken = (decision.crossfitted(pick, images) for pick in (decision.highest_mean(), decision.rule()))
    if best is None or taken is None:
        return {}
    means = spread(stacked(decision.compared, decision.seeds), images).value
    found = {cell.column: float(best.value - mean) for cell, mean in zip(decision.compared, means, strict=True)}
    return found if decision.chosen is None else found | {RECOMMENDED: float(best.value - taken.value)}


def _dropped_losses(
    table: StudyTable, decision: Decision, losses: Mapping[str, float], pairs: PairSpreads
) -> dict[str, float]:
    """Return what columns lose that were dropped or have few seeds: more than the leader by their paired difference."""
    leader = decision.leader
    if leader is None or leader not in losses:
        return {}
    names = [cell.column for cell in competing(table, decision.labels) if cell.column not in losses]
    gaps = {name: difference(pairs, decision.labels, leader, name) for name in names}
    return {
        name: losses[leader] + float(gap.value)
        for name, gap in gaps.items()
        if gap is not None and np.isfinite(gap.seed_variance)
    }


def _mean(losses: Mapping[str, float | None], budgets: Sequence[str]) -> float | None:
    known = [loss for budget in budgets if (loss := losses[budget]) is not None]
    return statistics.fmean(known) if known and len(known) == len(budgets) else None
