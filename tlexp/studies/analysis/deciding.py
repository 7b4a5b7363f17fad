"""How large a study would be that decides, by what this one has measured, and for how long it would run."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from tlexp.studies.analysis.findings import OPEN, DecidingSize, Findings
from tlexp.studies.analysis.intervals import Spread

_MOST_SEEDS = 100
_MANY_SEEDS = (30, _MOST_SEEDS)
_FACTORS = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)
"""Times as many test images as there are; an estimate is no finer than that."""
_ENDLESS = 1e6


def find_deciding_size(
    rivals: Sequence[Spread], *, margin: float, family: float, images: int, shared: float
) -> DecidingSize:
    """Return what would bring the bound of a column's regret down to the margin, were the differences to stay.

    Args:
        rivals: Each other column minus the one to take, with variances that borrow.
        margin: In balanced accuracy.
        family: One-sided bounds that hold at once.
        images: Test images now.
        shared: k / (N - k), by which more seeds do not help: they draw from the same pool.
    """

    def bound(seeds: float | None, times: float, left: float = shared) -> float:
        sized = [_sized(each, seeds, times, shared, left) for each in rivals]
        return max(float(each.value + each.half_width(family, sides=1)) for each in sized)

    few = min(each.per_seed.shape[-1] for each in rivals)
    enough = next((seeds for seeds in range(few + 1, _MOST_SEEDS + 1) if bound(seeds, 1.0) <= margin), None)
    alone = next((times for times in _FACTORS if bound(None, times) <= margin), None)
    both = None
    if enough is None and alone is None:
        sizes = itertools.product((max(few, many) for many in _MANY_SEEDS), _FACTORS)
        both = next(((seeds, times) for seeds, times in sizes if bound(seeds, times) <= margin), None)
    return DecidingSize(
        seeds=enough,
        images=None if alone is None else _rounded(images * alone),
        both=None if both is None else (both[0], _rounded(images * both[1])),
        least=max(0.0, bound(_ENDLESS, 1.0)),
        pool=bound(_ENDLESS, _ENDLESS) > margin >= bound(_ENDLESS, _ENDLESS, 0.0),
    )


def seconds_of_seeds(findings: Findings, seeds: int) -> float | None:
    """Return how long so many data seeds take beyond those that there are; None where nobody knows.

    A replicate takes what those of its column and budget took. Where the minutes left something out, all of that is
    taken up, which was never measured: it takes what the bill said before, at most.
    """
    if findings.table.hurried or findings.table.left_out:
        return findings.table.whole_seconds(seeds)
    more = 0.0
    for column in findings.table.columns:
        for each in findings.recommendations:
            cell = findings.cells.get((column.name, each.labels))
            stays = column.in_rounds and (each.sureness not in OPEN or column.name in each.dropped)
            if cell is not None and cell.seconds is not None and not (column.is_control or stays):
                more += cell.seconds * max(0, seeds - cell.count)
    return more or None


def _sized(pair: Spread, seeds: float | None, times: float, shared: float, left: float) -> Spread:
    """Return a difference as it would be with so many seeds, None for those of now, and times as many test images.

    Args:
        pair: The difference.
        seeds: Wanted.
        times: As many images.
        shared: k / (N - k) now.
        left: What would be left of it.
    """
    now = pair.per_seed.shape[-1]
    wanted = now if seeds is None else seeds
    return dataclasses.replace(
        pair,
        seed_variance=pair.seed_variance * (1 / wanted + left) / (1 / now + shared),
        seed_freedom=pair.seed_freedom * (wanted - 1) / (now - 1),
        image_variance=pair.image_variance / times,
        image_freedom=pair.image_freedom * times,
    )


def _rounded(count: float) -> int:
    """Return a number of images with two digits, rounded up.

    >>> _rounded(48), _rounded(1234)
    (48, 1300)
    """
    unit = int(10 ** max(0, math.floor(math.log10(count)) - 1))
    return math.ceil(count / unit) * unit
