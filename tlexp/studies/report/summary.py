"""What a study says, for the terminal."""

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.answers import answers
from tlexp.studies.report.incomplete import count_replicates, left_out_notices
from tlexp.studies.report.minutes_command import minutes_command
from tlexp.studies.report.model_command import model_command
from tlexp.studies.report.networks import cheaper_lines, unseen_notices
from tlexp.studies.report.outlook import outlook_words
from tlexp.studies.report.protocol import (
    deciding_commands,
    deciding_words,
    margin_words,
    one_rate_notices,
    one_run_words,
)
from tlexp.studies.report.report import PAGE, REPORT
from tlexp.studies.report.rounds import trained_no_more
from tlexp.studies.report.sentences import HOW_SURE
from tlexp.studies.report.sizes_command import sizes_command
from tlexp.terminal import short_path
from tlexp.tracking.names import SWEEPS_FOLDER

_WIDTH, _MARGIN = 110, " " * len("decide  ")


def summary(findings: Findings, folder: Path) -> str:
    """Return the answer, how many replicates there are, what to type next, and where the page is."""
    counted = f"study {findings.table.name}: {count_replicates(findings).in_words()}"
    lines = [counted, *unseen_notices(findings.table)]
    notices = (*left_out_notices(findings.table), *one_rate_notices(findings), *trained_no_more(findings))
    for told in notices:
        lines += textwrap.wrap(told, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    lines.append("")
    for answer in answers(findings):
        lines += textwrap.wrap(answer.sentence(), _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    taken = findings.last_taken
    line = None if taken is None else model_command(findings.table, taken.column)
    sure = any(each.sureness in HOW_SURE for each in findings.recommendations)
    margin = textwrap.wrap(margin_words(findings.table), _WIDTH - len(_MARGIN), break_on_hyphens=False)
    more = _beside("margin", margin if sure else [])
    if line:
        line = f"{_from_here(folder)}{line}"
        more += _beside("model", [line, *textwrap.wrap(one_run_words(findings), _WIDTH - len(_MARGIN))])
    more += _beside("cheaper", cheaper_lines(findings))
    if (sizes := sizes_command(findings)) is not None:
        line = f"{_from_here(folder)}{sizes.line}"
        more += _beside("sizes", [line, *textwrap.wrap(sizes.about, _WIDTH - len(_MARGIN))])
    more += _beside("labels", textwrap.wrap(outlook_words(findings), _WIDTH - len(_MARGIN)))
    more += _beside("decide", _deciding(findings, folder))
    if (minutes := minutes_command(findings)) is not None:
        line = f"{_from_here(folder)}{minutes.line}"
        more += _beside("minutes", [line, *textwrap.wrap(minutes.about, _WIDTH - len(_MARGIN))])
    return "\n".join([*lines, "", *more, f"page    {short_path(folder / REPORT / PAGE)}"])


def _deciding(findings: Findings, folder: Path) -> list[str]:
    """Return the command with which more data seeds decide, and which budgets; without such, that they would not."""
    first = [f"{_from_here(folder)}{command}" for command in deciding_commands(findings)]
    return [*first, *textwrap.wrap(deciding_words(findings, stated=bool(first)), _WIDTH - len(_MARGIN))]


def _beside(name: str, lines: Sequence[str]) -> list[str]:
    """Return lines below each other, a name before the first of them."""
    return [f"{_MARGIN if number else name:<{len(_MARGIN)}}{line}" for number, line in enumerate(lines)]


def _from_here(folder: Path) -> str:
    """Return what leads to the working folder that finds a study again; nothing where this is it or none does."""
    studies = folder.resolve().parent
    kept_elsewhere = studies.name != SWEEPS_FOLDER
    return "" if kept_elsewhere or studies.parent == Path.cwd() else f"cd {shlex.quote(str(studies.parent))} && "
