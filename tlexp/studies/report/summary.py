"""What a study says, for the terminal."""

import textwrap
from pathlib import Path

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.incomplete import count_replicates
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.protocol import CROSS_FITTED, deciding_commands
from tlexp.studies.report.report import PAGE, REPORT
from tlexp.studies.report.sentences import explain
from tlexp.terminal import short_path

_WIDTH = 110


def summary(findings: Findings, folder: Path) -> str:
    """Return the recommendation of each budget, how many replicates there are, and where the page is."""
    lines = [f"study {findings.table.name}: {count_replicates(findings).in_words()}", ""]
    names = [budget_name(recommendation.labels) for recommendation in findings.recommendations]
    room = max(map(len, [*names, "labels"])) + 2
    for name, explanation in zip(names, explain(findings), strict=True):
        first, others = name.ljust(room), " " * room
        lines += textwrap.wrap(explanation.sentence(), _WIDTH, initial_indent=first, subsequent_indent=others)
    page = folder / REPORT / PAGE
    shown = short_path(page)
    terms = (
        [CROSS_FITTED] if any(recommendation.column is not None for recommendation in findings.recommendations) else []
    )
    more = [f"decide  {command}" for command in deciding_commands(findings)]
    return "\n".join([*lines, "", *terms, *more, f"page    {shown}"])
