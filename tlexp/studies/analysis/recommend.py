"""What to do with so many labels: a recommendation for each label budget, with its reasons."""

from collections.abc import Mapping

from tlexp.studies.analysis.decision import Decision
from tlexp.studies.analysis.findings import CellFinding, Recommendation
from tlexp.studies.analysis.intervals import TestImages, interval
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.report.remedies import change
from tlexp.studies.report.sentences import Account


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
    told = None if decision.chosen is None else decision.crossfitted(decision.rule(), images)
    accuracy = None if told is None else interval(told)
    account = Account(table=table, decision=decision, accuracy=accuracy, images=images, cells=cells)
    names = [cell.column for cell in decision.candidates]
    return Recommendation(
        labels=decision.labels,
        verdict=decision.verdict,
        column=None if decision.chosen is None else names[decision.chosen],
        contenders=tuple(names[each] for each in decision.contenders),
        best=decision.leader,
        accuracy=accuracy,
        sentence=account.sentence(),
        reasons=account.reasons(),
        change=change(decision, images),
        seconds=None if decision.chosen is None else cells[names[decision.chosen], decision.labels].seconds,
    )
