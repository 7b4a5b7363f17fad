"""The numbers of a report with all their digits, as files of comma-separated values."""

from tlexp.paths import csv_bytes
from tlexp.studies.analysis.findings import Findings, Interval
from tlexp.studies.report.sentences import explain


def cells_csv(findings: Findings) -> bytes:
    """Return every cell with all digits."""
    head = (
        *("column", "title", "role", "depth", "labels", "per_class", "count", "missing", "failed"),
        *("balanced_accuracy", "low", "high", "seed_sd", "image_sd", "accuracy", "nll", "seconds"),
        *("at_edge", "unselected", "outside", "bound"),
    )
    table = findings.table
    bounds = {
        (candidate.column, recommendation.labels): candidate.bound
        for recommendation in findings.recommendations
        for candidate in recommendation.candidates
    }
    rows = (
        (
            *(cell.column, column.title, column.role, column.depth, cell.labels, table.per_class[cell.labels]),
            *(cell.count, cell.missing, cell.failed, *_ends(cell.accuracy), cell.seed_sd, cell.image_sd),
            *(
                cell.plain,
                cell.nll,
                cell.seconds,
                cell.at_edge,
                cell.unselected,
                "; ".join(cell.outside),
                bounds.get((column.name, labels)),
            ),
        )
        for column in table.columns
        for labels in table.budgets
        if (cell := findings.cells.get((column.name, labels))) is not None
    )
    return csv_bytes([head, *rows])


def differences_csv(findings: Findings) -> bytes:
    """Return every pair of columns with all digits."""
    head = (
        *("labels", "first", "second", "difference", "seeds", "family"),
        *("low", "high", "alone_low", "alone_high", "distinguishable"),
    )
    rows = (
        (
            *(pair.labels, pair.first, pair.second, pair.value, pair.seeds, pair.family),
            *(pair.low, pair.high, pair.alone_low, pair.alone_high, pair.distinguishable),
        )
        for pair in findings.differences
    )
    return csv_bytes([head, *rows])


def recommendations_csv(findings: Findings) -> bytes:
    """Return every recommendation with all digits."""
    head = (
        *("labels", "per_class", "column", "bound", "sureness", "contenders", "best", "cross_fitted", "low", "high"),
        *("sentence", "reasons", "change"),
    )
    rows = (
        (
            *(advised.labels, findings.table.per_class[advised.labels], advised.column, advised.bound),
            *(advised.sureness, "; ".join(advised.contenders), advised.best, *_ends(advised.accuracy)),
            *(explanation.sentence(), " ".join(explanation.reasons()), explanation.change()),
        )
        for explanation in explain(findings)
        for advised in [explanation.recommendation]
    )
    return csv_bytes([head, *rows])


def _ends(accuracy: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if accuracy is None else (accuracy.value, accuracy.low, accuracy.high)
