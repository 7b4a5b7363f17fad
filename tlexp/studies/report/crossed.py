"""Where columns change places, in words."""

from tlexp.studies.analysis.findings import Crossing, Difference, Findings
from tlexp.studies.report.document import Table
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.tables import NONE

_MOST_LINES = 6


def crossing_lines(findings: Findings) -> tuple[str, ...]:
    """Return a line for each pair that changes places, those of the most unlike columns first."""
    order = {column.name: place for place, column in enumerate(findings.table.columns)}
    changed = [each for each in findings.crossings if each.changes]
    changed.sort(key=lambda each: order[each.first] - order[each.second])
    lines = [f"{each.first} and {each.second}: {_places(findings, each)}." for each in changed[:_MOST_LINES]]
    rest = len(changed) - len(lines)
    if rest:
        lines.append(f"{rest} more pair{' changes' if rest == 1 else 's change'} places, see the table.")
    if not changed:
        lines.append("No pair changes places within the range studied.")
    left_out = sorted({labels for each in findings.crossings for labels in each.left_out})
    if left_out:
        names = ", ".join(map(budget_name, left_out))
        lines.append(f"Left out here: {names}, above half of the pool and so conditional on it.")
    return tuple(lines)


def crossing_table(findings: Findings) -> Table:
    """Return every pair."""
    return Table(
        title="Every pair",
        head=("first", "second", "change places", "labels per class at which 0 is in the interval"),
        rows=tuple(
            (
                each.first,
                each.second,
                "yes" if each.changes else "not within the range studied",
                _regions(each) or NONE,
            )
            for each in findings.crossings
        ),
    )


def _places(findings: Findings, crossing: Crossing) -> str:
    """Return who leads where, and between which budgets nobody can tell."""
    known = [
        each
        for each in findings.differences
        if (each.first, each.second) == (crossing.first, crossing.second) and each.labels not in crossing.left_out
    ]
    leads = f"{_leader(known[0])}, {_leader(known[-1])}" if known else "they change places"
    regions = _regions(crossing)
    return f"{leads}; " + (f"not told apart from {regions} labels per class" if regions else "no interval says where")


def _leader(difference: Difference) -> str:
    names = {True: difference.first, False: difference.second}
    return f"{names[difference.value > 0]} leads at {budget_name(difference.labels)}"


def _regions(crossing: Crossing) -> str:
    told = (f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in crossing.regions)
    return " and ".join(told)
