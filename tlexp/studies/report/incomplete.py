"""What of a study is not as planned: replicates that failed or are missing, what was left out or is unlike the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tlexp.studies.analysis.findings import CellFinding, Findings
from tlexp.studies.analysis.table import BESIDE, StudyTable
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.rounds import dropped_table
from tlexp.studies.report.tables import budget_title
from tlexp.tracking import RunStatus

_MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class ReplicateCounts:
    """How many replicates of a study there are."""

    planned: int
    finished: int
    failed: int
    missing: int

    @property
    def running(self) -> bool:
        """Whether some have not run."""
        return self.missing > 0

    def in_words(self) -> str:
        """Return the counts in words."""
        parts = [f"{self.finished} of {self.planned} runs have finished"]
        parts += [f"{self.failed} did not finish"] if self.failed else []
        parts += [f"{self.missing} {'has' if self.missing == 1 else 'have'} not run"] if self.missing else []
        return ", ".join(parts)


def count_replicates(findings: Findings) -> ReplicateCounts:
    """Return how far a study has come."""
    cells = findings.cells.values()
    finished, failed, missing = (sum(getattr(cell, name) for cell in cells) for name in ("count", "failed", "missing"))
    return ReplicateCounts(planned=finished + failed + missing, finished=finished, failed=failed, missing=missing)


def left_out_notices(table: StudyTable) -> tuple[str, ...]:
    """Return in one sentence what the minutes left out, so that nobody takes it for worse; none where they did not."""
    columns = table.left_out_columns
    cells = [what for what in table.left_out if what.startswith("labels=") and " of " in what]
    others = [what for what in table.left_out if what not in (*columns, *cells)]
    parts = [f"labels={','.join(labels)} of {title}" for title, labels in table.left_out_cells.items()]
    counted = f"{len(columns)} column{'' if len(columns) == 1 else 's'} ({_named(columns)})"
    told = "; ".join(filter(None, (", ".join([*([counted] if columns else []), *others]), _named(parts))))
    return (*_depth_notices(table), f"Not measured, to fit study.minutes: {told}.") if told else ()


def _depth_notices(table: StudyTable) -> tuple[str, ...]:
    """Return that freezing less was not compared where the minutes left finalists nothing that trains them."""
    competing = [column for column in table.columns if column.competes]
    left = {*table.left_out_columns} - {*BESIDE.values()}
    if not left or not all(column.solved and column.entrant for column in competing):
        return ()
    return ("How much to freeze was not compared: nothing that trains layers fitted into study.minutes.",)


def _named(what: Sequence[str]) -> str:
    more = [f"and {len(what) - _MOST_NAMED} more"] if len(what) > _MOST_NAMED else []
    return "; ".join([*what[:_MOST_NAMED], *more])


def incomplete_tables(findings: Findings) -> tuple[TextTable, ...]:
    """Return a table for each way in which a study is incomplete that there is."""
    tables = (
        _failures(findings),
        _cells(findings, "Not run yet", "runs", lambda cell: _share(cell, cell.missing)),
        _left_out(findings.table),
        _never_planned(findings),
        dropped_table(findings),
        _cells(findings, "Outside the protocol", "settings", lambda cell: ", ".join(cell.outside)),
        _cells(
            findings,
            "The best learning rate or weight decay lies at the edge of its range: a wider range may do better",
            "runs",
            lambda cell: _share(cell, cell.at_edge),
        ),
        _cells(
            findings,
            "Nothing to select on, so that the policy's defaults were taken",
            "runs",
            lambda cell: _share(cell, cell.unselected),
        ),
    )
    return tuple(table for table in tables if table.rows)


def _failures(findings: Findings) -> TextTable:
    """Return the replicates that did not finish, those of a cell with one reason together."""
    groups: dict[tuple[str, str, RunStatus, str], list[int]] = {}
    for column in findings.table.columns:
        for labels in findings.table.budgets:
            cell = findings.table.cells.get((column.name, labels))
            for replicate in () if cell is None else cell.replicates:
                if replicate.status not in (None, RunStatus.finished):
                    key = (
                        column.name,
                        budget_title(findings, labels),
                        RunStatus(str(replicate.status)),
                        replicate.reason or "–",
                    )
                    groups.setdefault(key, []).append(replicate.seed)
    return TextTable(
        title="Did not finish",
        head=("column", "labels per class", "seeds", "how", "why"),
        rows=tuple(
            (column, labels, ", ".join(map(str, seeds)), str(status), reason)
            for (column, labels, status, reason), seeds in groups.items()
        ),
    )


def _cells(findings: Findings, title: str, head: str, text_of: Callable[[CellFinding], str]) -> TextTable:
    """Return the cells of which there is something to say, budgets with the same of a column together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for column in findings.table.columns:
        for labels in findings.table.budgets:
            cell = findings.cells.get((column.name, labels))
            if cell is not None and (text := text_of(cell)):
                groups.setdefault((column.name, text), []).append(budget_title(findings, labels))
    return TextTable(
        title=title,
        head=("column", "labels per class", head),
        rows=tuple((column, ", ".join(budgets), text) for (column, text), budgets in groups.items()),
    )


def _share(cell: CellFinding, part: int) -> str:
    return f"{part} of {cell.count + cell.failed + cell.missing}" if part else ""


def _left_out(table: StudyTable) -> TextTable:
    """Return what was left out, all with one reason together: told beside each it would seem to be about that alone."""
    groups: dict[str, list[str]] = {}
    for what, why in table.skipped.items():
        groups.setdefault(why, []).append(what)
    rows = tuple(("; ".join(named), why) for why, named in groups.items())
    return TextTable(title="Left out of the study", head=("what", "why"), rows=rows)


def _never_planned(findings: Findings) -> TextTable:
    """Return the budgets that columns never had, without those that were left out."""
    table = findings.table
    rows = []
    for column in table.columns:
        left_out = table.left_out_cells.get(column.title, ())
        budgets = [
            budget_title(findings, labels)
            for labels in table.budgets
            if (column.name, labels) not in findings.cells and labels not in left_out
        ]
        if budgets:
            rows.append((column.name, ", ".join(budgets)))
    return TextTable(title="Not planned", head=("column", "labels per class"), rows=tuple(rows))
