"""What a study says, for the terminal."""

import shlex
import textwrap
from pathlib import Path

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.incomplete import count_replicates, left_out_notices
from tlexp.studies.report.model_command import model_command
from tlexp.studies.report.networks import unseen_notices
from tlexp.studies.report.protocol import deciding_commands, deciding_words, one_run_words
from tlexp.studies.report.report import PAGE, REPORT
from tlexp.studies.report.rounds import trained_no_more
from tlexp.studies.report.sentences import explain
from tlexp.terminal import short_path

_WIDTH, _MARGIN = 110, " " * len("decide  ")


def summary(findings: Findings, folder: Path) -> str:
    """Return the answer of each budget, how many replicates there are, what to type next, and where the page is."""
    counted = f"study {findings.table.name}: {count_replicates(findings).in_words()}"
    lines = [counted, *unseen_notices(findings.table)]
    for told in (*left_out_notices(findings.table), *trained_no_more(findings)):
        lines += textwrap.wrap(told, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    lines.append("")
    for explanation in explain(findings):
        lines += textwrap.wrap(explanation.answer(), _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    taken = findings.last_taken
    line = None if taken is None else model_command(findings.table, taken.column)
    more = []
    if line:
        why = textwrap.wrap(one_run_words(findings.table), _WIDTH - len(_MARGIN))
        more += [f"model   {line}", *(f"{_MARGIN}{told}" for told in why)]
    more += _deciding(findings, folder)
    return "\n".join([*lines, "", *more, f"page    {short_path(folder / REPORT / PAGE)}"])


def _deciding(findings: Findings, folder: Path) -> list[str]:
    """Return the command with which more data seeds decide, and which budgets; without such, that they would not."""
    first = [f"{_from_here(folder)}{command}" for command in deciding_commands(findings)]
    lines = [*first, *textwrap.wrap(deciding_words(findings, stated=bool(first)), _WIDTH - len(_MARGIN))]
    return [f"{_MARGIN if number else 'decide':<{len(_MARGIN)}}{line}" for number, line in enumerate(lines)]


def _from_here(folder: Path) -> str:
    """Return what leads to the working folder that finds a study again; nothing where this is it."""
    home = folder.resolve().parent.parent
    return "" if home == Path.cwd() else f"cd {shlex.quote(str(home))} && "
