"""What each column reaches at a label budget, and how two of them differ there, paired by data seed and test image.

correct (C, S, n) float64: whether column c of seed s told image n right, nan where it was not tested on it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.findings import CellFinding, Difference, Findings, Recommendation
from tlexp.studies.analysis.intervals import Spread, TestImages, interval, spread
from tlexp.studies.analysis.table import Cell, StudyTable
from tlexp.tracking.blocks import SelectionBlock


def competing(table: StudyTable, labels: str) -> tuple[Cell, ...]:
    """Return the cells of a budget that compete and have a finished replicate, in the order of the columns."""
    cells = (table.cells.get((column.name, labels)) for column in table.columns if column.competes)
    return tuple(cell for cell in cells if cell is not None and cell.finished)


def shared_seeds(cells: Sequence[Cell]) -> tuple[int, ...]:
    """Return the data seeds that finished in all of the cells, in order."""
    return (
        tuple(sorted(set.intersection(*({replicate.seed for replicate in cell.finished} for cell in cells))))
        if cells
        else ()
    )


def stacked(cells: Sequence[Cell], seeds: Sequence[int]) -> NDArray[np.float64]:
    """Return what the cells told right by the seeds, (C, S, n)."""
    scores = ({replicate.seed: replicate.scores for replicate in cell.finished} for cell in cells)
    return np.array([[by_seed[seed] for seed in seeds] for by_seed in scores])


def reach(table: StudyTable, cell: Cell, images: TestImages) -> Spread:
    """Return the balanced accuracy of a cell over all its finished replicates, as draws of another pool would vary."""
    correct = stacked([cell], [replicate.seed for replicate in cell.finished])[0]
    return spread(correct, images).of_pool(table.shared_share(cell.labels))


def describe(table: StudyTable, cell: Cell, images: TestImages) -> CellFinding:
    """Return what a cell shows."""
    finished = cell.finished
    measured = reach(table, cell, images) if finished else None
    return CellFinding(
        column=cell.column,
        labels=cell.labels,
        count=len(finished),
        missing=sum(replicate.status is None for replicate in cell.replicates),
        failed=sum(replicate.status is not None and replicate.correct is None for replicate in cell.replicates),
        accuracy=None if measured is None else interval(measured),
        seed_sd=None if measured is None or len(finished) < 2 else float(measured.per_seed.std(ddof=1)),
        image_sd=None if measured is None else float(np.sqrt(measured.image_variance)),
        plain=float(np.nanmean([replicate.scores for replicate in finished])) if finished else None,
        nll=_mean(cell, "test/nll"),
        seconds=_mean(cell, "cost/seconds"),
        at_edge=sum(_at_edge(replicate.selection) for replicate in finished),
        unselected=sum(
            replicate.selection is not None and replicate.selection.kind == "none" for replicate in finished
        ),
        outside=tuple(dict.fromkeys(setting for replicate in cell.replicates for setting in replicate.outside)),
    )


def compare(
    table: StudyTable, labels: str, pairs: Mapping[tuple[str, str, str], Spread], *, share: float = 1.0
) -> tuple[Difference, ...]:
    """Return the difference of every two columns at a budget; the intervals are simultaneous over all pairs.

    Two columns without a common seed, or with a single one, have no interval; they count in the family all the same.

    Args:
        table: What was measured.
        labels: The budget.
        pairs: Of all budgets.
        share: Of the error that all looks at the data may make together, what this one may.
    """
    family, shared = math.comb(len(competing(table, labels)), 2), table.shared_share(labels)
    return tuple(
        _difference(labels, first, second, each.of_pool(shared), family=family, share=share)
        for (budget, first, second), each in pairs.items()
        if budget == labels
    )


def against_best(findings: Findings, recommendation: Recommendation) -> tuple[Difference, ...]:
    """Return each other column minus the best of a budget, in the order of the columns."""
    best = recommendation.best
    differences = [difference for difference in findings.differences if difference.labels == recommendation.labels]
    by_column = {difference.first: difference for difference in differences if difference.second == best}
    by_column |= {difference.second: difference.turned() for difference in differences if difference.first == best}
    return tuple(by_column[column.name] for column in findings.table.columns if column.name in by_column)


def _difference(labels: str, first: str, second: str, difference: Spread, *, family: int, share: float) -> Difference:
    alone = interval(difference, family=1 / share, lowest=-1.0)
    together = interval(difference, family=family / share, lowest=-1.0)
    return Difference(
        labels=labels,
        first=first,
        second=second,
        value=alone.value,
        seeds=difference.per_seed.shape[-1],
        family=family,
        low=together.low,
        high=together.high,
        alone_low=alone.low,
        alone_high=alone.high,
    )


def _at_edge(selection: SelectionBlock | None) -> bool:
    """Return whether a best value lies at the edge of its range: all that a selection flags that took place."""
    return selection is not None and selection.kind != "none" and bool(selection.flags)


def _mean(cell: Cell, metric: str) -> float | None:
    """Return the mean of a metric over the finished replicates; None where one lacks it or none finished."""
    values = [replicate.metrics.get(metric) for replicate in cell.finished]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
