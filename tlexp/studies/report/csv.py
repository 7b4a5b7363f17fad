"""The numbers of a report with all their digits, as files of comma-separated values."""

from collections.abc import Callable, Mapping, Sequence

from tlexp.paths import csv_bytes
from tlexp.studies.analysis.decision import column_costs
from tlexp.studies.analysis.findings import Findings, Interval, ModelFinding
from tlexp.studies.analysis.table import Column
from tlexp.studies.report.mistakes import class_name
from tlexp.studies.report.networks import networks_csv
from tlexp.studies.report.plots import CONTROLS
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


def accuracy_csv(findings: Findings) -> bytes:
    """Return the lines of the columns that compete."""
    return _lines(findings, [column for column in findings.table.columns if column.competes])


def controls_csv(findings: Findings) -> bytes:
    """Return the lines of the columns that stand beside them."""
    return _lines(findings, [column for column in findings.table.columns if column.role in CONTROLS])


def heat_map_csv(findings: Findings) -> bytes:
    """Return columns by budgets."""
    budgets = findings.table.budgets
    rows = (
        (column.name, *(_ends(_accuracy(findings, column, labels))[0] for labels in budgets))
        for column in findings.table.columns
        if column.competes
    )
    return csv_bytes([("column", *budgets), *rows])


def cost_csv(findings: Findings) -> bytes:
    """Return what each column costs and reaches, the cheapest first."""
    head = ("column", "title", "parameters", "operations", "labels", "balanced_accuracy", "low", "high", "seconds")
    rows = (
        (
            *(cost.column.name, cost.column.title, cost.parameters, cost.operations, labels),
            *_ends(cell.accuracy),
            cell.seconds,
        )
        for cost in column_costs(findings.table)
        for labels in findings.table.budgets
        if (cell := findings.cells.get((cost.column.name, labels))) is not None
    )
    return csv_bytes([head, *rows])


def transfer_csv(findings: Findings) -> bytes:
    """Return what pretraining is worth at each budget."""
    head = (*("labels", "column", "accuracy", "scratch", "scratch_long", "scratch_labels", "steps", "scratch_steps"),)
    return csv_bytes([head, *([getattr(gain, name) for name in head] for gain in findings.transfer)])


def recalls_csv(model: ModelFinding, classes: Sequence[str]) -> bytes:
    """Return the recall of each class, the worst first."""
    rows = (
        (
            *(class_name(classes, recall.label), recall.images, recall.recall),
            *("" if recall.taken_for is None else class_name(classes, recall.taken_for), recall.share),
        )
        for recall in model.recalls
    )
    return csv_bytes([("class", "images", "recall", "taken_for", "share"), *rows])


def mistakes_csv(model: ModelFinding, classes: Sequence[str]) -> bytes:
    """Return the images that are told wrong, the most confident mistake first."""
    rows = (
        (
            *(mistake.name, mistake.image, class_name(classes, mistake.label)),
            *(class_name(classes, mistake.predicted), mistake.confidence, mistake.wrong, model.seeds),
        )
        for mistake in model.mistakes
    )
    return csv_bytes([("path", "index", "label", "predicted", "confidence", "seeds_wrong", "seeds"), *rows])


FIGURE_TABLES: Mapping[str, Callable[[Findings], bytes]] = {
    "accuracy": accuracy_csv,
    "heat-map": heat_map_csv,
    "differences": differences_csv,
    "cost": cost_csv,
    "transfer": transfer_csv,
    "controls": controls_csv,
    "networks": networks_csv,
}
"""The numbers of each figure."""


def _lines(findings: Findings, columns: Sequence[Column]) -> bytes:
    """Return what columns reach at each budget, and whether it is what to take."""
    taken = {(recommendation.column, recommendation.labels) for recommendation in findings.recommendations}
    head = ("column", "title", "labels", "per_class", "balanced_accuracy", "low", "high", "taken")
    rows = (
        (
            *(column.name, column.title, labels, findings.table.per_class[labels]),
            *_ends(_accuracy(findings, column, labels)),
            "yes" if (column.name, labels) in taken else "no",
        )
        for column in columns
        for labels in findings.table.budgets
        if (column.name, labels) in findings.cells
    )
    return csv_bytes([head, *rows])


def _accuracy(findings: Findings, column: Column, labels: str) -> Interval | None:
    cell = findings.cells.get((column.name, labels))
    return None if cell is None else cell.accuracy


def _ends(accuracy: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if accuracy is None else (accuracy.value, accuracy.low, accuracy.high)
