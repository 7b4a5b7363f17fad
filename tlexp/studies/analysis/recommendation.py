"""What is told of a decision: the recommendation of a label budget as facts, and what would decide it."""

from collections.abc import Mapping, Sequence

import numpy as np

from tlexp.studies.analysis.deciding import find_deciding_size
from tlexp.studies.analysis.decision import Decision, competitors, trained
from tlexp.studies.analysis.differences import stacked
from tlexp.studies.analysis.findings import CandidateColumn, DecidingSize, Departure, Recommendation, Sureness
from tlexp.studies.analysis.intervals import TestImages, interval
from tlexp.studies.analysis.pairs import PairSpreads, difference
from tlexp.studies.analysis.rounds import Look
from tlexp.studies.analysis.rule import choose, comparisons
from tlexp.studies.analysis.table import Cell, StudyTable


def recommend(
    table: StudyTable, look: Look, dropped: Mapping[tuple[str, str], Departure], images: TestImages
) -> Recommendation:
    """Return the recommendation that a decision amounts to.

    Args:
        table: What was measured.
        look: The last at a budget's data.
        dropped: (column, budget) -> how it left.
        images: Of the test split.
    """
    decision = look.decision
    column = None if decision.chosen is None else decision.name(decision.chosen)
    shared = table.shared_share(decision.labels)
    crossfitted = None if column is None else decision.crossfitted(decision.rule(), images)
    return Recommendation(
        labels=decision.labels,
        sureness=decision.sureness,
        column=column,
        contenders=tuple(map(decision.name, decision.contenders)),
        best=decision.leader,
        accuracy=None if crossfitted is None else interval(crossfitted.of_pool(shared), family=1 / decision.share),
        candidates=_candidates(table, decision),
        left_out=decision.left_out,
        seeds=decision.seeds,
        deciding=_deciding(table, decision, look.pairs),
        images=tested_images(decision),
        round=look.round,
        dropped={column: left for (column, labels), left in dropped.items() if labels == decision.labels},
        leeway=None if column is None else _leeway(decision),
    )


def _leeway(decision: Decision) -> float | None:
    """Return how far what is taken may trail the highest mean, where it is taken for being favoured."""
    plain = choose(decision.means, decision.bounds, decision.costs, decision.margin)
    if decision.chosen is None or decision.chosen == int(plain):
        return None
    return float(decision.leeway[decision.chosen, decision.means.argmax()])


def tested_images(decision: Decision) -> int:
    """Return how many images the seeds that all candidates share were tested on, of the rest of a pool any of them."""
    if not decision.seeds:
        return 0
    return int(np.isfinite(stacked(decision.compared[:1], decision.seeds)).any(axis=(0, 1)).sum())


def _candidates(table: StudyTable, decision: Decision) -> tuple[CandidateColumn, ...]:
    shares = _trained_shares(table, decision.candidates)
    compared = len(decision.candidates) > 1
    return tuple(
        CandidateColumn(
            column=cell.column,
            mean=float(decision.means[place]),
            bound=float(decision.bounds[place]) if compared and np.isfinite(decision.widths[:, place]).all() else None,
            accuracy=decision.reached[place],
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


def _deciding(table: StudyTable, decision: Decision, pairs: PairSpreads) -> DecidingSize | None:
    """Return what would decide; None where it is decided, or where a column has no bound against the one to take."""
    if decision.chosen is None or decision.sureness not in (Sureness.open, Sureness.nearly):
        return None
    taken = decision.name(decision.chosen)
    others = [cell.column for cell in decision.candidates if cell.column != taken]
    rivals = [difference(pairs, decision.labels, other, taken) for other in others]
    known = [rival for rival in rivals if rival is not None and np.isfinite(rival.seed_variance)]
    if len(known) < len(rivals):
        return None
    return find_deciding_size(
        known,
        margin=table.margin,
        family=comparisons(competitors(table)) / decision.share,
        images=tested_images(decision),
        shared=table.shared_share(decision.labels),
    )
