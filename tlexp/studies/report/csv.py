"""The numbers of a report with all their digits, as files of comma-separated values."""

import csv
import io
from collections.abc import Iterable, Sequence

from tlexp.studies.analysis.findings import Findings, Interval
from tlexp.studies.report.sentences import explain


def cells_csv(findings: Findings) -> bytes:
    """Return every cell with all digits."""
    head = (
        *("column", "title", "role", "depth", "labels", "per_class", "count", "missing", "failed"),
        *("balanced_accuracy", "low", "high", "seed_sd", "image_sd", "accuracy", "nll", "seconds"),
        *("at_edge", "unselected", "outside"),
    )
    table = findings.table
    return _csv(
        head,
        (
            (
                *(cell.column, column.title, column.role, column.depth, cell.labels, table.per_class[cell.labels]),
                *(cell.count, cell.missing, cell.failed, *_ends(cell.accuracy), cell.seed_sd, cell.image_sd),
                *(cell.plain, cell.nll, cell.seconds, cell.at_edge, cell.unselected, "; ".join(cell.outside)),
            )
            for column in table.columns
            for labels in table.budgets
            if (cell := findings.cells.get((column.name, labels))) is not None
        ),
    )


def differences_csv(findings: Findings) -> bytes:
    """Return every pair of columns with all digits."""
    head = ("labels", "first", "second", "difference", "seeds", "family", "low", "high", "alone_low", "alone_high")
    return _csv(
        (*head, "distinguishable"),
        (
            (
                *(
                    difference.labels,
                    difference.first,
                    difference.second,
                    difference.value,
                    difference.seeds,
                    difference.family,
                ),
                *(
                    difference.low,
                    difference.high,
                    difference.alone_low,
                    difference.alone_high,
                    difference.distinguishable,
                ),
            )
            for difference in findings.differences
        ),
    )


def recommendations_csv(findings: Findings) -> bytes:
    """Return every recommendation with all digits."""
    head = ("labels", "per_class", "column", "contenders", "best", "cross_fitted", "low", "high", "seconds")
    return _csv(
        (*head, "sentence", "reasons", "change"),
        (
            (
                *(
                    recommendation.labels,
                    findings.table.per_class[recommendation.labels],
                    recommendation.column,
                    "; ".join(recommendation.contenders),
                ),
                *(recommendation.best, *_ends(recommendation.accuracy), recommendation.seconds),
                *(explanation.sentence(), " ".join(explanation.reasons()), explanation.change()),
            )
            for explanation in explain(findings)
            for recommendation in [explanation.recommendation]
        ),
    )


def _ends(accuracy: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if accuracy is None else (accuracy.value, accuracy.low, accuracy.high)


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()
