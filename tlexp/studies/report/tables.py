"""The tables of a report, and how their figures are written."""

from collections.abc import Callable, Iterable

from tlexp.studies.analysis.decision import column_costs
from tlexp.studies.analysis.differences import against_best
from tlexp.studies.analysis.findings import (
    CellFinding,
    Crossing,
    Difference,
    Findings,
    Interval,
)
from tlexp.studies.analysis.table import Column, Role
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.sentences import explain, format_interval, in_points

NONE = "–"
_STAR = "a star: no temperature was fitted, so that the log loss cannot be compared with the others'"
_MOST_LINES = 6


def bound_table(findings: Findings) -> TextTable:
    """Return what each column that competes may lose at each budget."""
    bounds = {
        (candidate.column, recommendation.labels): candidate.bound
        for recommendation in findings.recommendations
        for candidate in recommendation.candidates
    }
    return _by_budget(
        findings,
        [column for column in findings.table.columns if column.competes],
        lambda cell: format_points(bounds.get((cell.column, cell.labels))),
        title="The most that each column may lose against the best, all of a budget at once (95 %)",
    )


def reason_table(findings: Findings) -> TextTable:
    """Return what is known besides of each answer: its accuracy and cost, what stands beside it, what would decide.

    Where all columns train as much there is no cost to tell.
    """
    explanations = explain(findings)
    cost = " and cost" if any(explanation.cost() for explanation in explanations) else ""
    return TextTable(
        title="Of each answer",
        head=("labels per class", f"accuracy{cost}", "beside it", "why", "what would decide it"),
        rows=tuple(
            (
                budget_title(findings, explanation.recommendation.labels),
                explanation.taken() or NONE,
                " ".join(part for part in (explanation.contenders(), explanation.outdone()) if part) or NONE,
                " ".join(explanation.reasons()) or NONE,
                explanation.change(),
            )
            for explanation in explanations
        ),
    )


def accuracy_table(findings: Findings, roles: Iterable[Role], *, title: str) -> TextTable:
    """Return columns by budgets, each accuracy with its interval and the replicates behind it."""
    columns = _of_roles(findings, roles)
    return _by_budget(findings, columns, _accuracy, title=f"{title} (runs)")


def cost_table(findings: Findings) -> TextTable:
    """Return what each column costs, the cheapest first: what it trains, what predicting takes, and seconds."""
    budgets = findings.table.budgets
    return TextTable(
        title="What a column costs; seconds are those of a whole run, and do not count",
        head=(
            *("column", "what it is", "parameters that train", "operations to predict an image"),
            *(f"seconds, {budget_name(labels)}" for labels in budgets),
        ),
        rows=tuple(
            (
                *(cost.column.name, cost.column.title, format_count(cost.parameters), format_count(cost.operations)),
                *(_seconds(findings, cost.column, labels) for labels in budgets),
            )
            for cost in column_costs(findings.table)
        ),
    )


def cell_table(findings: Findings) -> TextTable:
    """Return the other measures of every cell; a star marks log losses of logits that no temperature has divided."""
    starred = any(cell.unselected for cell in findings.cells.values())
    return TextTable(
        title="Every column at every budget" + (f"; {_STAR}" if starred else ""),
        head=(
            "column",
            "labels",
            "runs",
            "balanced accuracy",
            "plain accuracy",
            "log loss",
            "deviation between seeds",
            "error by images",
        ),
        rows=tuple(
            (
                cell.column,
                budget_name(cell.labels),
                str(cell.count),
                NONE if cell.accuracy is None else format_number(cell.accuracy.value),
                format_number(cell.plain),
                f"{format_number(cell.nll)}{' *' if cell.unselected else ''}",
                *map(format_number, (cell.seed_sd, cell.image_sd)),
            )
            for column in findings.table.columns
            for labels in findings.table.budgets
            if (cell := findings.cells.get((column.name, labels))) is not None
        ),
    )


def difference_table(findings: Findings) -> TextTable:
    """Return each column against the best of its budget."""
    return TextTable(
        title="Balanced accuracy minus that of the best of the budget",
        head=("labels", "column", "against", "difference", "simultaneous 95 %", "alone 95 %", "seeds", "told apart"),
        rows=tuple(
            (
                budget_name(difference.labels),
                difference.first,
                difference.second,
                format_signed(difference.value),
                format_span(difference.low, difference.high),
                format_span(difference.alone_low, difference.alone_high),
                str(difference.seeds),
                "yes" if difference.distinguishable else "no",
            )
            for recommendation in findings.recommendations
            for difference in against_best(findings, recommendation)
        ),
    )


def transfer_table(findings: Findings) -> TextTable:
    """Return what pretraining is worth at each budget."""
    return TextTable(
        title="Pretrained against from scratch",
        head=(
            "labels per class",
            "best pretrained",
            "its accuracy",
            "from scratch",
            "from scratch, more steps",
            "labels that scratch needs",
            "steps until trained as far as scratch",
            "steps of scratch",
        ),
        rows=tuple(
            (
                budget_title(findings, gain.labels),
                gain.column,
                *map(format_number, (gain.accuracy, gain.scratch, gain.scratch_long)),
                "more than studied" if gain.scratch_labels is None else f"{gain.scratch_labels:.3g}",
                format_seconds(gain.steps),
                format_seconds(gain.scratch_steps),
            )
            for gain in findings.transfer
        ),
    )


def regret_table(findings: Findings) -> TextTable:
    """Return what one fixed rule loses at each budget."""
    budgets = findings.table.budgets
    return TextTable(
        title="Balanced accuracy lost against the best column of each budget",
        head=("rule", *map(budget_name, budgets), "mean"),
        rows=tuple(
            (regret.rule, *(format_signed(regret.losses.get(labels)) for labels in budgets), format_signed(regret.mean))
            for regret in findings.regrets
        ),
    )


def crossing_lines(findings: Findings) -> tuple[str, ...]:
    """Return a line for each pair that changes places, those of the most unlike columns first."""
    order = {column.name: place for place, column in enumerate(findings.table.columns)}
    changed = [crossing for crossing in findings.crossings if crossing.changes]
    changed.sort(key=lambda crossing: order[crossing.first] - order[crossing.second])
    lines = [
        f"{crossing.first} and {crossing.second}: {_places(findings, crossing)}." for crossing in changed[:_MOST_LINES]
    ]
    rest = len(changed) - len(lines)
    if rest:
        lines.append(f"{rest} more pair{' changes' if rest == 1 else 's change'} places, see the table.")
    if not changed:
        lines.append("No pair changes places within the range studied.")
    left_out = sorted({labels for crossing in findings.crossings for labels in crossing.left_out})
    if left_out:
        names = ", ".join(map(budget_name, left_out))
        lines.append(f"Left out here: {names}, above half of the images to learn from, told for these images alone.")
    return tuple(lines)


def crossing_table(findings: Findings) -> TextTable:
    """Return every pair."""
    return TextTable(
        title="Every pair",
        head=("first", "second", "change places", "labels per class at which 0 is in the interval"),
        rows=tuple(
            (
                crossing.first,
                crossing.second,
                "yes" if crossing.changes else "not within the range studied",
                _regions(crossing) or NONE,
            )
            for crossing in findings.crossings
        ),
    )


def budget_title(findings: Findings, labels: str) -> str:
    """Return a budget's name, with a word where it is above half of the pool."""
    return budget_name(labels) + (" (for these images alone)" if labels in findings.table.conditional else "")


def format_number(value: float | None) -> str:
    """Return a figure with three decimals."""
    return NONE if value is None else f"{value:.3f}"


def format_signed(value: float | None) -> str:
    """Return a difference with three decimals and its sign.

    >>> format_signed(0.0123), format_signed(-0.0123), format_signed(-0.0001), format_signed(None)
    ('+0.012', '-0.012', '0.000', '–')
    """
    if value is None:
        return NONE
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0 else text


def format_points(bound: float | None) -> str:
    """Return a bound in hundredths of accuracy."""
    return NONE if bound is None else in_points(bound)


def format_count(value: float | None) -> str:
    """Return a number of parameters or operations with three digits.

    >>> format_count(516), format_count(67972), format_count(1.23e9), format_count(None)
    ('516', '68 k', '1.23 G', '–')
    """
    if value is None:
        return NONE
    for unit, sign in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")):
        if value >= unit:
            return f"{value / unit:.3g}{sign}"
    return f"{value:g}"


def format_span(low: float | None, high: float | None) -> str:
    """Return an interval of a difference."""
    return NONE if low is None or high is None else f"{format_signed(low)} .. {format_signed(high)}"


def format_seconds(value: float | None) -> str:
    """Return a cost or a count with three digits.

    >>> format_seconds(0.01234), format_seconds(12.34), format_seconds(12345.6), format_seconds(None)
    ('0.0123', '12.3', '12,346', '–')
    """
    if value is None:
        return NONE
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def _of_roles(findings: Findings, roles: Iterable[Role]) -> list[Column]:
    wanted = set(roles)
    return [column for column in findings.table.columns if column.role in wanted]


def _by_budget(
    findings: Findings, columns: Iterable[Column], text_of: Callable[[CellFinding], str], *, title: str
) -> TextTable:
    budgets = findings.table.budgets
    return TextTable(
        title=title,
        head=("column", "what it is", *map(budget_name, budgets)),
        rows=tuple(
            (
                column.name,
                column.title,
                *(
                    NONE if (cell := findings.cells.get((column.name, labels))) is None else text_of(cell)
                    for labels in budgets
                ),
            )
            for column in columns
        ),
    )


def _seconds(findings: Findings, column: Column, labels: str) -> str:
    cell = findings.cells.get((column.name, labels))
    return NONE if cell is None else format_seconds(cell.seconds)


def _accuracy(cell: CellFinding) -> str:
    return NONE if cell.accuracy is None else f"{_interval(cell.accuracy)}, {cell.count}"


def _interval(interval: Interval | None) -> str:
    return NONE if interval is None else format_interval(interval)


def _places(findings: Findings, crossing: Crossing) -> str:
    """Return who leads where, and between which budgets nobody can tell."""
    known = [
        difference
        for difference in findings.differences
        if (difference.first, difference.second) == (crossing.first, crossing.second)
        and difference.labels not in crossing.left_out
    ]
    leads = f"{_leader(known[0])}, {_leader(known[-1])}" if known else "they change places"
    regions = _regions(crossing)
    return f"{leads}; " + (f"not told apart from {regions} labels per class" if regions else "no interval says where")


def _leader(difference: Difference) -> str:
    names = {True: difference.first, False: difference.second}
    return f"{names[difference.value > 0]} leads at {budget_name(difference.labels)}"


def _regions(crossing: Crossing) -> str:
    regions = (f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in crossing.regions)
    return " and ".join(regions)
