"""What would change a decision: more data, or another margin, had it been stated before."""

import math
from collections.abc import Sequence

from tlexp.studies.analysis.decision import Decision
from tlexp.studies.analysis.differences import shared_seeds, stacked
from tlexp.studies.analysis.findings import Verdict
from tlexp.studies.analysis.intervals import TestImages, spread

_LARGEST_MARGIN = 0.2
"""Nobody would call a column that loses more nearly as good."""


def change(found: Decision, images: TestImages) -> str:
    """Return what would change a decision, that which helps most first.

    Args:
        found: The decision.
        images: Of the test split.
    """
    match found.verdict:
        case Verdict.nothing:
            return "Replicates that finish."
        case Verdict.one_seed:
            return "A second data seed gives intervals; ten are the protocol's."
        case Verdict.alone:
            return "A second column with at least two finished replicates."
        case Verdict.chance:
            return f"{_narrower(found, images)} Else more labels, or labels that have more to do with the images."
        case Verdict.undecided:
            return f"{_narrower(found, images)} {_margin(found, found.order)}".strip()
    assert found.chosen is not None
    worst = found.worst[found.chosen]
    limit = f"Any margin from {rounded_up(worst)} on recommends {found.name(found.chosen)}, or a cheaper column."
    cheaper = found.order[: found.order.index(found.chosen)]
    return f"{limit if worst > 0 else 'No smaller margin would.'} {_margin(found, cheaper)}".strip()


def rounded_up(bound: float) -> str:
    """Return a bound with three decimals, rounded up, so that a margin of that size is above it.

    >>> rounded_up(0.0), rounded_up(0.0123), rounded_up(0.01)
    ('0.001', '0.013', '0.011')
    """
    return f"{(math.floor(bound * 1000 + 1e-9) + 1) / 1000:.3f}"


def _margin(found: Decision, places: Sequence[int]) -> str:
    """Return the margin that would have recommended one of the columns; nothing where none is sensible."""
    assert found.best is not None
    as_cheap = found.order[: found.order.index(found.best) + 1]
    known = [place for place in places if place in as_cheap and found.above[place]]
    first = min(known, key=lambda place: found.worst[place], default=found.best)
    if not known or found.worst[first] >= _LARGEST_MARGIN:
        return ""
    return (
        f"A margin of {rounded_up(found.worst[first])} would have recommended {found.name(first)}; but the margin is "
        "chosen before a study, and one that is raised after the results promises nothing."
    )


def _narrower(found: Decision, images: TestImages) -> str:
    """Return what narrows the intervals, that which makes the larger part of their width first."""
    share = _image_share(found, images)
    if math.isnan(share):
        return "More data seeds narrow the intervals."
    first, then, part = ("test images", "data seeds", share)
    if share < 0.5:
        first, then, part = then, first, 1 - share
    return (
        f"More {first} narrow the intervals most: {100 * part:.0f} % of their squared width is due to them; more "
        f"{then} come second."
    )


def _image_share(found: Decision, images: TestImages) -> float:
    """Return the images' share of the squared width that decides: of the best alone, or of the best two; or nan."""
    alone = found.verdict is Verdict.chance
    places = found.contenders if len(found.contenders) > 1 else found.ranked
    cells = [found.candidates[place] for place in places[: 1 if alone else 2]]
    seeds = shared_seeds(cells)
    if len(seeds) < 2:
        return math.nan
    first, *others = stacked(cells, seeds)
    family = len(found.candidates) if alone else found.compared * (found.compared - 1) // 2
    return float(spread(sum((-other for other in others), first), images).image_share(family))
