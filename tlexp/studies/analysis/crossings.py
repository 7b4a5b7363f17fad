"""Label budgets at which two columns may change places."""

import itertools
import math
from collections.abc import Mapping, Sequence

from tlexp.studies.analysis.findings import Crossing, Difference
from tlexp.studies.analysis.table import StudyTable

Region = tuple[float, float]
Bounds = tuple[float, float, float]
"""Labels per class, and the low and the high end of a difference's interval there."""


def find_crossings(table: StudyTable, differences: Sequence[Difference]) -> tuple[Crossing, ...]:
    """Return where every two competing columns may change places, over the budgets at which both ran.

    The paired interval of a comparison by itself is interpolated in log k. Budgets above half of the pool are left out:
    what happens there is due to this pool.
    """
    conditional = tuple(labels for labels in table.budgets if labels in table.conditional)
    kept: dict[tuple[str, str], list[Difference]] = {}
    for each in differences:
        if each.labels not in conditional:
            kept.setdefault((each.first, each.second), []).append(each)
    names = [column.name for column in table.columns if column.competes]
    return tuple(
        _crossing(pair, kept[pair], table.per_class, conditional)
        for pair in itertools.combinations(names, 2)
        if pair in kept
    )


def regions(bounds: Sequence[Bounds]) -> tuple[Region, ...]:
    """Return the intervals of k in which the interpolated interval contains 0, in growing order and merged.

    >>> [(round(low, 2), round(high, 2)) for low, high in regions([(1, 0.1, 0.3), (10, -0.1, 0.1), (100, -0.3, -0.1)])]
    [(3.16, 31.62)]
    """
    found: list[Region] = []
    for left, right in itertools.pairwise(bounds):
        piece = _piece(left, right)
        if piece is not None:
            low, high = (_between(left[0], right[0], share) for share in piece)
            if found and math.isclose(found[-1][1], low, rel_tol=1e-12):
                found[-1] = found[-1][0], high
            else:
                found.append((low, high))
    if len(bounds) == 1 and bounds[0][1] <= 0 <= bounds[0][2]:
        found.append((bounds[0][0], bounds[0][0]))
    return tuple(found)


def _crossing(
    pair: tuple[str, str],
    differences: Sequence[Difference],
    per_class: Mapping[str, float],
    conditional: tuple[str, ...],
) -> Crossing:
    ordered = sorted(differences, key=lambda each: per_class[each.labels])
    signs = {math.copysign(1, each.value) for each in ordered if each.value != 0}
    bounds = [
        (per_class[each.labels], each.alone_low, each.alone_high)
        for each in ordered
        if each.alone_low is not None and each.alone_high is not None
    ]
    return Crossing(
        first=pair[0], second=pair[1], regions=regions(bounds), left_out=conditional, changes=len(signs) > 1
    )


def _piece(left: Bounds, right: Bounds) -> tuple[float, float] | None:
    """Return the shares of the way from left to right between which low <= 0 <= high; None where nowhere."""
    start, end = 0.0, 1.0
    for here, there in ((left[1], right[1]), (-left[2], -right[2])):  # both have to be at most 0
        if here > 0 and there > 0:
            return None
        if here > 0:
            start = max(start, here / (here - there))
        elif there > 0:
            end = min(end, here / (here - there))
    return (start, end) if start <= end else None


def _between(low: float, high: float, share: float) -> float:
    """Return the budget that lies a share of the way from low to high in log k; the ends exactly."""
    if share in (0.0, 1.0):
        return high if share else low
    return float(low * (high / low) ** share)
