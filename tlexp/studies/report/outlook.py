"""What a report says of more labels: what twice as many would bring beside unfreezing, and what accuracies take."""

from tlexp.paths import csv_bytes
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.forecast import Band, NeededLabels, Outlook
from tlexp.studies.report.document import Section, TextTable

_TITLE = "More labels, or more unfreezing?"


def outlook_section(findings: Findings) -> Section | None:
    """Return what twice the labels would bring; None of a study of few budgets."""
    outlook = findings.outlook
    if outlook is None:
        return None
    if outlook.twice is None:
        return Section(title=_TITLE, paragraphs=(f"{outlook.reason}{_unfreezing(outlook)}",))
    return Section(
        title=_TITLE,
        paragraphs=(
            outlook_sentence(outlook),
            "Forecasts are means of three forms of a learning curve and of its last value, and often too low where "
            "it is steep. Bands hold 90 % of new draws of labels, told on these test images.",
        ),
        tables=(_needed_table(outlook),),
    )


def outlook_sentence(outlook: Outlook) -> str:
    """Return what twice the labels and what unfreezing would bring, in points, with their bands."""
    assert outlook.twice is not None
    reached = outlook.twice.reached
    return (
        f"Twice the labels, {outlook.twice.labels:g} per class, would take {outlook.column} to {reached.value:.2f} "
        f"({reached.low:.2f} .. {reached.high:.2f}): {_points(outlook.twice.gain)} points.{_unfreezing(outlook)}"
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
    return f" Freezing less at {outlook.labels:g} would bring {_points(outlook.unfreezing)}."


def _points(band: Band) -> str:
    return f"{round(100 * band.value, 1) + 0.0:+.1f} [{100 * band.low:.1f}, {100 * band.high:.1f}]"  # no -0.0


def _needed_table(outlook: Outlook) -> TextTable:
    return TextTable(
        title=f"Labels per class that {outlook.column} takes for an accuracy",
        head=("balanced accuracy", "labels per class"),
        rows=tuple((f"{each.accuracy:.2f}", _range(each, outlook.labels)) for each in outlook.needed),
    )


def _range(needed: NeededLabels, now: float) -> str:
    """Return between how many labels an accuracy is reached, rounded to whole ones."""
    if needed.least is None:
        return "not within twice"
    least = f"no more than {now:g}" if needed.least <= now else f"{needed.least:.0f}"
    return f"{least} to {'more than twice' if needed.most is None else f'{needed.most:.0f}'}"
