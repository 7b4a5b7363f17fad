"""What a report says of a study's rounds: how many there were, what left after which, and what ended them."""

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.tables import budget_title


def stopped_notice(table: StudyTable) -> tuple[str, ...]:
    """Return that the minutes ended the rounds, where they did."""
    if table.stopped is None:
        return ()
    return (
        f"The study's minutes ended the rounds after round {table.stopped} of at most {len(table.looks)}; more "
        "study.minutes go on with them.",
    )


def trained_no_more(findings: Findings) -> tuple[str, ...]:
    """Return which networks, or sizes, left training to others that had reached more, where some did."""
    entrants = {column.name: column.entrant for column in findings.table.columns}
    rounds = {
        entrants[column]: left.round
        for each in findings.recommendations
        for column, left in each.dropped.items()
        if not left.surely
    }
    if not rounds:
        return ()
    told = [
        f"{' and '.join(name for name in rounds if rounds[name] == number)} after {findings.table.looks[number - 1]}"
        for number in sorted({*rounds.values()})
    ]
    return (
        f"Trained with no more data seeds, for other {findings.table.screens} reached more when trained: "
        f"{', '.join(told)}. "
        "Losses are bounded against what went on.",
    )


def round_sentences(findings: Findings) -> tuple[str, ...]:
    """Return how data seeds came in rounds, and what the looks at the data cost; nothing of a study without."""
    looks = findings.table.looks
    if len(looks) < 2:
        return ()
    last = max((each.round for each in findings.recommendations), default=1)
    return (
        f"Data seeds come in rounds, of {', '.join(map(str, looks[:-1]))} and {looks[-1]}, while a budget is open: "
        f"round {last} was the last. A column that is surely worse than another by more than the margin leaves its "
        "budget after the round that shows it, and a decided budget takes no more seeds; what was said of it stands. "
        f"{_of_several(findings.table)}"
        "Heads that are solved take all seeds at once, controls the first few. Columns are compared over the seeds "
        "that they share. Each look has its share of the error of 5 %, the first ones a small one, so that all that "
        "they say holds together.",
    )


def _of_several(table: StudyTable) -> str:
    """Return how many networks, or sizes, train on after each round; nothing where there are not more."""
    trained = {column.entrant for column in table.columns if column.in_rounds and column.entrant}
    fewest = table.trained[: len(table.looks) - 1]
    if len(trained) <= min(fewest, default=len(trained)):
        return ""
    most = [f"{most} after round {number}" for number, most in enumerate(fewest, 1)]
    return f"Of the {table.screens} that train, those go on that have reached most: {' and '.join(most)}. "


def dropped_table(findings: Findings) -> TextTable:
    """Return which columns left which budgets, after which round, with how many data seeds."""
    rows = [
        (
            column,
            budget_title(findings, each.labels),
            str(left.round),
            str(findings.cells[column, each.labels].count),
            "surely worse than another by more than the margin" if left.surely else "others reached more when trained",
        )
        for each in findings.recommendations
        for column, left in each.dropped.items()
    ]
    return TextTable(
        title="Left after a round",
        head=("column", "labels per class", "round", "data seeds", "why"),
        rows=tuple(rows),
    )
