"""What a report says, in its order; the page and the Markdown file show the same sections."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.answers import answers
from tlexp.studies.report.document import Document, Section, TypedCommand
from tlexp.studies.report.figures import accuracy_picture, figure_sections, network_picture
from tlexp.studies.report.incomplete import count_replicates, incomplete_tables, left_out_notices
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.minutes_command import minutes_command
from tlexp.studies.report.mistakes import mistake_card, recall_table
from tlexp.studies.report.model_command import model_command
from tlexp.studies.report.networks import cheaper_lines, gain_lines, network_table, reading_lines, unseen_notices
from tlexp.studies.report.outlook import outlook_section
from tlexp.studies.report.protocol import (
    backbone_facts,
    commands,
    data_words,
    deciding_commands,
    deciding_words,
    environment_table,
    glossary,
    is_demonstration,
    margin_words,
    one_rate_notices,
    one_run_words,
    protocol_sentences,
    title_words,
)
from tlexp.studies.report.rounds import stopped_notice, trained_no_more
from tlexp.studies.report.sizes_command import sizes_command
from tlexp.studies.report.tables import (
    bound_table,
    crossing_lines,
    crossing_table,
    reason_table,
    regret_table,
)
from tlexp.studies.report.thumbnails import MOST

_CROSS_FITTED = (
    "The highest of several means is high by luck too. The accuracy of an answer is therefore told by test images and "
    "data seeds that did not choose it (cross-fitted), and mostly a little below the mean that its column has in the "
    "tables."
)
_WORST = 8
"""Classes whose recall is shown at once."""
_FEW_SEEDS = 5
"""That are named one by one."""


def build_document(findings: Findings, thumbnails: Mapping[int, bytes] = MappingProxyType({})) -> Document:
    """Return what a report says of a study; of one in which nothing finished, that.

    Args:
        findings: What it says.
        thumbnails: Of test images, by their place in the test split.
    """
    table = findings.table
    measured = count_replicates(findings).finished > 0
    sections = (_measured(findings, thumbnails) if measured else ()) + _told(findings)
    return Document(
        title=title_words(table),
        notices=_notices(findings),
        answers=tuple(answer.parts() for answer in answers(findings)) if measured else (),
        picture=accuracy_picture(findings),
        commands=_commands(findings),
        facts=(
            ("study", table.name),
            *backbone_facts(table),
            ("images", data_words(table)),
            ("labels per class", ", ".join(map(budget_name, table.budgets))),
            ("data seeds", f"{_seeds_told(table.seeds)} ({len(table.seeds)})"),
            ("runs", count_replicates(findings).in_words()),
            ("margin", margin_words(table)),
            *(("note", f"{note}.") for note in table.notes),
        ),
        sections=tuple(section for section in sections if section is not None),
    )


def _measured(findings: Findings, thumbnails: Mapping[int, bytes]) -> tuple[Section | None, ...]:
    """Return the sections of a study in which something finished."""
    return (
        *(_answers(findings), outlook_section(findings), _networks(findings), _model(findings, thumbnails)),
        *figure_sections(findings),
        *(_crossings(findings), _regrets(findings)),
    )


def _told(findings: Findings) -> tuple[Section | None, ...]:
    """Return what is said of any study."""
    return tuple(part(findings) for part in (_gaps, _repeat, _words, _protocol, _environment))


def _notices(findings: Findings) -> tuple[str, ...]:
    counts = count_replicates(findings)
    notices = []
    if not counts.finished:
        notices.append(f"Nothing has finished yet: {counts.in_words()}. There is nothing to recommend.")
    elif counts.running:
        notices.append(f"This study is not complete: {counts.in_words()}. What is said here may change.")
    notices += unseen_notices(findings.table)
    notices += left_out_notices(findings.table)
    notices += one_rate_notices(findings)
    notices += trained_no_more(findings)
    notices += stopped_notice(findings.table)
    if is_demonstration(findings.table):
        notices.append("A demonstration: its images are rendered, and photographs may differ.")
    return tuple(notices)


def _commands(findings: Findings) -> tuple[TypedCommand, ...]:
    taken = findings.last_taken
    line = None if taken is None else model_command(findings.table, taken.column)
    if taken is None or line is None:
        return ()
    sizes = sizes_command(findings)
    about = (
        f"This trains {taken.column} on all labelled images but the test images, and keeps its weights and a card that "
        "describes it."
    )
    model = TypedCommand(about=f"{about} {one_run_words(findings)}".rstrip(), line=line)
    return (model, *([TypedCommand(about=f"{sizes.about}:", line=sizes.line)] if sizes else []))


def _answers(findings: Findings) -> Section:
    chosen = any(each.accuracy is not None for each in findings.recommendations)
    return Section(
        title="Why, and what would decide it",
        paragraphs=(_CROSS_FITTED,) if chosen else (),
        tables=(reason_table(findings),),
        folded=(bound_table(findings),),
        about=f"This command goes on to more data seeds, which {deciding_words(findings)}:",
        commands=deciding_commands(findings),
    )


def _networks(findings: Findings) -> Section | None:
    if not findings.screened:
        return None
    return Section(
        title=f"{findings.table.screens.capitalize()} compared",
        paragraphs=(
            f"Each of the {findings.table.screens} that were looked at was screened by logistic regression on frozen "
            f"features of the first {len(findings.table.probed_seeds)} data seeds, by the log loss of images that a "
            "label budget holds back from itself, never by test images; at most five went on. What is bounded are the "
            "losses against the other finalists. That the best one goes on is not promised.",
        ),
        picture=network_picture(findings),
        lines=(
            *(f"{line}." for line in cheaper_lines(findings)),
            *reading_lines(findings),
            *gain_lines(findings),
        ),
        tables=(network_table(findings),),
    )


def _model(findings: Findings, thumbnails: Mapping[int, bytes]) -> Section | None:
    model, classes = findings.model, findings.table.classes
    if model is None:
        return None
    table, tested = recall_table(model, classes), len(findings.table.labels[: findings.table.split])
    shown = model.mistakes[:MOST]
    told = f"{model.column} with {budget_name(model.labels)} labels per class, over {model.seeds} data seeds."
    mistakes = (
        f"Of {tested:,} images of the test split the mean over seeds tells {len(model.mistakes):,} wrong; below are "
        "those that it is most confident of. Some may be wrong labels."
    )
    if shown and not thumbnails:
        mistakes += " Their pictures come where the study ends or is interrupted: tlexp report opens no images."
    return Section(
        title="What the recommended model tells wrong",
        paragraphs=(told, mistakes) if shown else (told,),
        tables=(dataclasses.replace(table, rows=table.rows[:_WORST]),),
        cards=tuple(mistake_card(mistake, classes, thumbnails.get(mistake.image)) for mistake in shown),
        folded=(table,) if len(table.rows) > _WORST else (),
    )


def _crossings(findings: Findings) -> Section | None:
    if not findings.crossings:
        return None
    return Section(
        title="Where columns change places",
        paragraphs=(
            "Labels per class between which the 95 % interval of a pair's difference contains 0, interpolated in "
            "log k.",
        ),
        lines=crossing_lines(findings),
        folded=(crossing_table(findings),),
    )


def _regrets(findings: Findings) -> Section | None:
    if not findings.regrets:
        return None
    return Section(
        title="What a fixed rule loses",
        paragraphs=(
            "Balanced accuracy that a rule loses against the best column of each budget, cross-fitted: a rule may "
            "lose less than nothing. The mean is over the budgets that all columns have. A dash stands where there "
            "is nothing to take.",
        ),
        tables=(regret_table(findings),),
    )


def _words(findings: Findings) -> Section:
    return Section(title="What the words mean", lines=glossary(findings), closed=True)


def _protocol(findings: Findings) -> Section:
    return Section(title="Protocol", lines=protocol_sentences(findings), closed=True)


def _gaps(findings: Findings) -> Section | None:
    tables = incomplete_tables(findings)
    if not tables:
        return None
    minutes = minutes_command(findings)
    return Section(
        title="Failed, missing and left out",
        tables=tables,
        about="" if minutes is None else f"This {minutes.about}:",
        commands=() if minutes is None else (minutes.line,),
    )


def _environment(findings: Findings) -> Section | None:
    table = environment_table(findings.table)
    return Section(title="Environment", tables=(table,), closed=True) if table.rows else None


def _repeat(findings: Findings) -> Section:
    return Section(
        title="To repeat it",
        paragraphs=("The study's command goes on with what is missing; the other writes this report again.",),
        commands=commands(findings.table),
    )


def _seeds_told(seeds: Sequence[int]) -> str:
    """Return data seeds in words, many of them by their ends: they follow each other.

    >>> _seeds_told((0, 1, 2)), _seeds_told(range(30))
    ('0, 1, 2', '0 to 29')
    """
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > _FEW_SEEDS else ", ".join(map(str, seeds))
