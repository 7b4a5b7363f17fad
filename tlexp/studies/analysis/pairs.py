"""Every two competing columns at each label budget: how they differ, paired by data seed and test image."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from tlexp.studies.analysis.borrowing import borrow, of_mean
from tlexp.studies.analysis.differences import competing, shared_seeds, stacked
from tlexp.studies.analysis.intervals import Spread, TestImages, spread
from tlexp.studies.analysis.table import StudyTable

PairSpreads = Mapping[tuple[str, str, str], Spread]
"""(budget, first column, second column) -> first minus second, over the seeds that both have."""
PlainPairs = dict[tuple[str, str, str, tuple[int, ...]], Spread]
"""Pairs and the seeds that they were measured over, so that looks at the same data measure them once."""


def measure_pairs(table: StudyTable, images: TestImages, known: PlainPairs | None = None) -> PairSpreads:
    """Return the differences of all pairs that share a seed, with the variances that each shows by itself.

    Args:
        table: What was measured.
        images: Of the test split.
        known: Those that were measured before; what is measured now is entered.
    """
    known = {} if known is None else known
    found = {}
    for labels in table.budgets:
        for first, second in itertools.combinations(competing(table, labels), 2):
            if seeds := shared_seeds((first, second)):
                pair = labels, first.column, second.column
                if (*pair, seeds) not in known:
                    left, right = stacked((first, second), seeds)
                    known[*pair, seeds] = spread(left - right, images)
                found[pair] = known[*pair, seeds]
    return found


def with_borrowed_variances(table: StudyTable, pairs: PairSpreads) -> PairSpreads:
    """Return the pairs with variances between seeds that borrow from their other budgets and count shared images."""
    names = sorted({place[1:] for place in pairs})
    if not names:
        return pairs
    per_seed = np.full((len(table.budgets), len(names), len(table.seeds)), np.nan)
    for (labels, first, second), each in pairs.items():
        seeds = shared_seeds((table.cells[first, labels], table.cells[second, labels]))
        at = [table.seeds.index(seed) for seed in seeds]
        per_seed[table.budgets.index(labels), names.index((first, second)), at] = each.per_seed
    per_class = np.array([table.per_class[labels] for labels in table.budgets])
    found = borrow(per_seed, per_class, np.array([labels not in table.conditional for labels in table.budgets]))
    changed = {}
    for (labels, first, second), each in pairs.items():
        place = table.budgets.index(labels), names.index((first, second))
        changed[labels, first, second] = dataclasses.replace(
            each,
            seed_variance=of_mean(found.value[place], len(each.per_seed), table.shared_share(labels)),
            seed_freedom=np.maximum(found.freedom[place], 1.0),
        )
    return changed


def difference(pairs: PairSpreads, labels: str, first: str, second: str) -> Spread | None:
    """Return the first column minus the second, whichever way the pair was measured; None without a shared seed."""
    if (labels, first, second) in pairs:
        return pairs[labels, first, second]
    turned = pairs.get((labels, second, first))
    return turned if turned is None else dataclasses.replace(turned, value=-turned.value, per_seed=-turned.per_seed)
