"""What a report says of more labels: what twice as many would bring beside unfreezing, and what accuracies take."""

from tlexp.paths import csv_bytes
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.forecast import LEAST_BUDGETS, Band, NeededLabels, Outlook
from tlexp.studies.report.document import Section, TextTable

_NOTHING = 0.005
"""A change by less is told as none."""


def outlook_words(findings: Findings) -> str:
    """Return what twice the labels and what unfreezing would bring, or why that is not told; "" where nothing is taken.

    In points, with their bands.
    """
    outlook = findings.outlook
    if outlook is not None:
        return f"{outlook.reason}{_unfreezing(outlook)}" if outlook.twice is None else _forecast(outlook)
    if findings.last_taken is None or len(findings.table.budgets) >= LEAST_BUDGETS:
        return ""
    cut = any(what.startswith("labels=") and " of " not in what for what in findings.table.left_out)
    how = "study.minutes left some out" if cut else "study.labels"
    return f"Whether more labels would help is forecast from {LEAST_BUDGETS} budgets on ({how})."


def outlook_section(findings: Findings) -> Section | None:
    """Return what twice the labels would bring; None where nothing is to be said of it."""
    outlook, told = findings.outlook, outlook_words(findings)
    if not told:
        return None
    title = "More labels, or more unfreezing?" if outlook is not None and outlook.unfreezing else "More labels?"
    if outlook is None or outlook.twice is None:
        return Section(title=title, paragraphs=(told,))
    return Section(
        title=title,
        paragraphs=(
            told,
            "Forecasts are means of three forms of a learning curve and of its last value, and often too low where "
            "it is steep. Bands hold 90 % of new draws of labels, told on these test images.",
        ),
        tables=(_needed_table(outlook),),
    )


def _forecast(outlook: Outlook) -> str:
    assert outlook.twice is not None
    reached = outlook.twice.reached
    return (
        f"Twice the labels, {outlook.twice.labels:.0f} per class, would take {outlook.column} to {reached.value:.2f} "
        f"({reached.low:.2f} .. {reached.high:.2f}): {_points(outlook.twice.gain)}.{_unfreezing(outlook)}"
    )


def outlook_csv(outlook: Outlook) -> bytes:
    """Return the forecasts with all digits."""
    head = ("column", "per_class", "balanced_accuracy", "low", "high", "gain", "gain_low", "gain_high")
    rows = (
        (
            *(outlook.column, each.labels, each.reached.value, each.reached.low, each.reached.high),
            *(each.gain.value, each.gain.low, each.gain.high),
        )
        for each in outlook.curve
    )
    return csv_bytes([head, *rows])


def _unfreezing(outlook: Outlook) -> str:
    if outlook.unfreezing is None:
        return ""
    return f" Freezing less at {outlook.labels:.0f} would bring {_points(outlook.unfreezing)}."


def _points(band: Band) -> str:
    """Return a change; where its band holds 0 that one draw of labels may not show it, for draws differ by more."""
    ends = f"between {100 * band.low:+.1f} and {100 * band.high:+.1f} points"
    if abs(band.value) < _NOTHING:
        return f"about the same ({ends})"
    hidden = ", which one draw of labels may not show" if band.low <= 0 <= band.high else ""
    return f"{100 * band.value:+.1f} points{hidden} ({ends})"


def _needed_table(outlook: Outlook) -> TextTable:
    return TextTable(
        title=f"Labels per class that {outlook.column} takes for an accuracy",
        head=("balanced accuracy", "labels per class"),
        rows=tuple((f"{each.accuracy:.2f}", _range(each, outlook)) for each in outlook.needed),
    )


def _range(needed: NeededLabels, outlook: Outlook) -> str:
    """Return between how many labels an accuracy is reached, rounded to whole ones."""
    now, twice = f"{outlook.labels:.0f}", f"{2 * outlook.labels:.0f}"
    if needed.least is None:
        return f"more than {twice}"
    if needed.least <= outlook.labels:
        return f"not known: {now} may do, and {twice} may not" if needed.most is None else f"at most {needed.most:.0f}"
    least = f"{needed.least:.0f}"
    return f"at least {least}; {twice} may not do" if needed.most is None else f"{least} to {needed.most:.0f}"
