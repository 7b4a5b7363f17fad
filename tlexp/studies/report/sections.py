"""What a report says, in its order; the page and the Markdown file show the same sections."""

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.document import Document, Section
from tlexp.studies.report.figures import figure_sections
from tlexp.studies.report.incomplete import count_replicates, incomplete_tables
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.protocol import (
    commands,
    data_words,
    deciding_commands,
    environment_table,
    glossary,
    is_demonstration,
    protocol_sentences,
)
from tlexp.studies.report.tables import (
    bound_table,
    crossing_lines,
    crossing_table,
    reason_table,
    recommendation_table,
    regret_table,
)


def build_document(findings: Findings) -> Document:
    """Return what a report says of a study; of one in which nothing finished, that."""
    table = findings.table
    budgets = ", ".join(map(budget_name, table.budgets))
    return Document(
        title=f"Study {table.name}",
        facts=(
            ("backbone", table.backbone),
            ("images", data_words(table)),
            ("labels per class", budgets),
            ("data seeds", f"{', '.join(map(str, table.seeds))} ({len(table.seeds)})"),
            ("replicates", count_replicates(findings).in_words()),
        ),
        notices=_notices(findings),
        sections=(
            *(_measured(findings) if count_replicates(findings).finished else ()),
            *(part(findings) for part in (_protocol, _gaps, _environment, _repeat)),
        ),
    )


def _measured(findings: Findings) -> tuple[Section, ...]:
    """Return the sections of a study in which something finished."""
    sections = (
        *(_recommendations(findings), *figure_sections(findings)),
        *(_crossings(findings), _regrets(findings)),
    )
    return tuple(section for section in sections if section is not None)


def _notices(findings: Findings) -> tuple[str, ...]:
    counts = count_replicates(findings)
    notices = []
    if not counts.finished:
        notices.append(f"Nothing has finished yet: {counts.in_words()}. There is nothing to recommend.")
    elif counts.running:
        notices.append(f"This study is not complete: {counts.in_words()}. What is said here may change.")
    if is_demonstration(findings.table):
        notices.append("A demonstration, not a claim: see the protocol.")
    return tuple(notices)


def _recommendations(findings: Findings) -> Section:
    return Section(
        title="Recommendation",
        paragraphs=("Which column to take with so many labelled images per class.",),
        tables=(recommendation_table(findings),),
        lines=glossary(findings),
        folded=(bound_table(findings), reason_table(findings)),
        commands=deciding_commands(findings),
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


def _protocol(findings: Findings) -> Section:
    return Section(title="Protocol", paragraphs=(" ".join(protocol_sentences(findings)),))


def _gaps(findings: Findings) -> Section:
    tables = incomplete_tables(findings)
    none = () if tables else ("Every planned replicate has finished, inside the protocol.",)
    return Section(title="Failed, missing and left out", paragraphs=none, tables=tables)


def _environment(findings: Findings) -> Section:
    table = environment_table(findings.table)
    if not table.rows:
        return Section(title="Environment", paragraphs=("No replicate has finished that could tell.",))
    return Section(title="Environment", tables=(table,))


def _repeat(findings: Findings) -> Section:
    return Section(
        title="To repeat it",
        paragraphs=("The study's command goes on with what is missing; the other writes this report again.",),
        commands=commands(findings.table),
    )
