"""What is told of a decision: the recommendation of a label budget as facts, and what would change it."""

import math
from collections.abc import Mapping, Sequence

from tlexp.studies.analysis.decision import Decision, trained
from tlexp.studies.analysis.differences import shared_seeds, stacked
from tlexp.studies.analysis.findings import CandidateColumn, CellFinding, Recommendation, Verdict
from tlexp.studies.analysis.intervals import TestImages, interval, spread
from tlexp.studies.analysis.table import Cell, StudyTable

_LARGEST_MARGIN = 0.2
"""Nobody would call a column that loses more nearly as good."""


def recommend(
    table: StudyTable, decision: Decision, images: TestImages, cells: Mapping[tuple[str, str], CellFinding]
) -> Recommendation:
    """Return the recommendation that a decision amounts to.

    Args:
        table: What was measured.
        decision: What the data say at one budget.
        images: Of the test split.
        cells: What each cell shows.
    """
    column = None if decision.chosen is None else decision.name(decision.chosen)
    crossfitted = None if column is None else decision.crossfitted(decision.rule(), images)
    wider = _with_wider_margin(decision)
    return Recommendation(
        labels=decision.labels,
        verdict=decision.verdict,
        column=column,
        contenders=tuple(map(decision.name, decision.contenders)),
        best=decision.leader,
        cheapest=decision.name(decision.cheapest) if decision.contenders else None,
        accuracy=None if crossfitted is None else interval(crossfitted),
        seconds=None if column is None else cells[column, decision.labels].seconds,
        candidates=_candidates(table, decision),
        left_out=decision.left_out,
        seeds=decision.seeds,
        image_share=_image_share(decision, images),
        with_wider_margin=None if wider is None else decision.name(wider),
    )


def _candidates(table: StudyTable, decision: Decision) -> tuple[CandidateColumn, ...]:
    shares = _trained_shares(table, decision.candidates)
    return tuple(
        CandidateColumn(
            column=cell.column,
            mean=float(decision.means[place]),
            worst_loss=float(decision.worst[place]),
            accuracy=decision.reached[place],
            beats_guessing=bool(decision.alone[place]),
            trained_share=shares[place],
        )
        for place, cell in enumerate(decision.candidates)
    )


def _trained_shares(table: StudyTable, cells: Sequence[Cell]) -> list[float | None]:
    """Return the share of the network's parameters that each cell trains; None where one of both is not known."""
    columns = {column.name: column for column in table.columns}
    counts = [trained(columns[cell.column], cell) for cell in cells]
    totals = [replicate.metrics.get("cost/total_parameters", 0.0) for cell in cells for replicate in cell.finished]
    total = max([*totals, *(count or 0.0 for count in counts)], default=0.0)
    return [None if count is None or total <= 0 else count / total for count in counts]


def _image_share(decision: Decision, images: TestImages) -> float | None:
    """Return the images' share of the squared width that decides: of the best alone, or of the best two."""
    alone = decision.verdict is Verdict.chance
    if not alone and decision.verdict is not Verdict.undecided:
        return None
    places = decision.contenders if len(decision.contenders) > 1 else decision.ranked
    cells = [decision.candidates[place] for place in places[: 1 if alone else 2]]
    seeds = shared_seeds(cells)
    if len(seeds) < 2:
        return None
    first, *others = stacked(cells, seeds)
    compared = len(decision.candidates) + len(decision.left_out)
    family = len(decision.candidates) if alone else compared * (compared - 1) // 2
    share = float(spread(sum((-other for other in others), first), images).image_share(family))
    return None if math.isnan(share) else share


def _with_wider_margin(decision: Decision) -> int | None:
    """Return the place of the column that a wider margin would have recommended; None where none is sensible."""
    if decision.best is None or decision.verdict not in (Verdict.undecided, Verdict.best, Verdict.cheaper):
        return None
    dearest = decision.order.index(decision.best) + 1
    if decision.chosen is not None:
        dearest = min(dearest, decision.order.index(decision.chosen))
    places = [place for place in decision.order[:dearest] if decision.above[place]]
    first = min(places, key=lambda place: decision.worst[place], default=None)
    return None if first is None or decision.worst[first] >= _LARGEST_MARGIN else first
