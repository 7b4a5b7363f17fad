"""What a report says, in its order; the page and the Markdown file show the same sections."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tlexp.study import panels, plots
from tlexp.study.crossed import crossing_lines, crossing_table
from tlexp.study.drawing import Drawn
from tlexp.study.findings import Findings
from tlexp.study.gaps import gap_tables, progress
from tlexp.study.labels import budget_name
from tlexp.study.protocol import commands, data_words, environment_table, is_demonstration, protocol_sentences
from tlexp.study.table import Role
from tlexp.study.tables import (
    Table,
    accuracy_table,
    cell_table,
    cost_table,
    difference_table,
    reason_table,
    recommendation_table,
    regret_table,
    transfer_table,
)

_COMPETING = (Role.depth, Role.way)
_SCRATCH = (Role.scratch, Role.scratch_long)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of a section.

    Attributes:
        name: Of its files.
        alt: What is to be seen, for those who do not see it.
        caption: What the numbers mean.
        drawn: The figure.
    """

    name: str
    alt: str
    caption: str
    drawn: Drawn


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report; all text is plain and not yet escaped.

    Attributes:
        title: Its heading.
        paragraphs: Before everything else.
        picture: Its figure.
        tables: To be read.
        folded: Tables that are opened by a click, such as the numbers of the figure.
        lines: A list.
        commands: To be typed.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()
    lines: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report.

    Attributes:
        title: Its heading.
        facts: What the study is about, a name and a value each.
        notices: What to know before anything else is read.
        sections: In their order.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The figures in their order."""
        return tuple(section.picture for section in self.sections if section.picture is not None)


def build_report(findings: Findings) -> Report:
    """Return what a report says of a study; of one in which nothing finished, that."""
    table = findings.table
    budgets = ", ".join(map(budget_name, table.budgets))
    parts: tuple[Callable[[Findings], Section | None], ...] = (_protocol, _gaps, _environment, _repeat)
    if progress(findings).finished:
        measured = (
            *(_recommendations, _undecided, _accuracy, _heat_map, _differences, _cost, _transfer, _controls),
            *(_crossings, _regrets),
        )
        parts = (*measured, *parts)
    return Report(
        title=f"Study {table.name}",
        facts=(
            ("backbone", table.backbone),
            ("images", data_words(table)),
            ("labels per class", budgets),
            ("data seeds", f"{', '.join(map(str, table.seeds))} ({len(table.seeds)})"),
            ("replicates", progress(findings).counted()),
        ),
        notices=_notices(findings),
        sections=tuple(section for part in parts if (section := part(findings)) is not None),
    )


def _notices(findings: Findings) -> tuple[str, ...]:
    done = progress(findings)
    given = []
    if not done.finished:
        given.append(f"Nothing has finished yet: {done.counted()}. There is nothing to recommend.")
    elif done.running:
        given.append(f"This study is not complete: {done.counted()}. What is said here may change.")
    if is_demonstration(findings.table):
        given.append("A demonstration, not a claim: see the protocol.")
    return tuple(given)


def _recommendations(findings: Findings) -> Section:
    return Section(
        title="Recommendation",
        paragraphs=("What to do with so many labelled images per class.",),
        tables=(recommendation_table(findings),),
        folded=(reason_table(findings),),
    )


def _undecided(findings: Findings) -> Section | None:
    open_ones = [each for each in findings.recommendations if each.column is None and each.best is not None]
    if not open_ones:
        return None
    return Section(
        title="Undecided",
        paragraphs=("Budgets at which the data do not say which column to take, and what would help.",),
        tables=(
            Table(
                title="Contenders, the best mean first",
                head=("labels per class", "contenders", "what would change it"),
                rows=tuple((budget_name(each.labels), ", ".join(each.contenders), each.change) for each in open_ones),
            ),
        ),
    )


def _accuracy(findings: Findings) -> Section | None:
    return _pictured(
        findings,
        plots.draw_accuracy,
        Section(title="Accuracy against labels", folded=(_competing(findings),)),
        name="accuracy",
        caption="Mean balanced accuracy on the test split over data seeds, with 95 % intervals. A ring marks what is "
        "recommended, a dotted ring the highest mean where the data do not decide.",
        alt="Lines of balanced accuracy over labels per class, one for each column.",
    )


def _heat_map(findings: Findings) -> Section | None:
    return _pictured(
        findings,
        panels.draw_heat_map,
        Section(title="All columns and budgets", folded=(cell_table(findings),)),
        name="heat-map",
        caption="Mean balanced accuracy of each column (rows) at each budget (labels per class). A frame marks what is "
        "recommended, a dashed frame the highest mean where the data do not decide.",
        alt="Balanced accuracy as a table of coloured cells, brighter is better.",
    )


def _differences(findings: Findings) -> Section | None:
    return _pictured(
        findings,
        panels.draw_differences,
        Section(title="Differences to the best", folded=(difference_table(findings),)),
        name="differences",
        caption="Balanced accuracy minus that of the column with the highest mean (star), paired by seed and image, "
        "with intervals that hold at once over all pairs of the budget. A full mark: told apart from the best; a "
        f"hollow one: not. Dashes: the margin, {findings.table.margin:g} below the best.",
        alt="Intervals of each column's difference to the best, one panel for each budget.",
    )


def _cost(findings: Findings) -> Section | None:
    return _pictured(
        findings,
        panels.draw_cost,
        Section(title="Cost against accuracy", folded=(cost_table(findings),)),
        name="cost",
        caption="Mean seconds of a whole replicate (selection, final fit and test) against mean balanced accuracy with "
        "its 95 % interval; up and to the left is better. Hollow marks: solved from the same features.",
        alt="Marks of accuracy over seconds, one for each column, one panel for each budget.",
    )


def _transfer(findings: Findings) -> Section | None:
    found = _pictured(
        findings,
        plots.draw_transfer,
        Section(
            title="Transfer against training from scratch",
            paragraphs=tuple(_gain_sentences(findings)),
            folded=(transfer_table(findings), accuracy_table(findings, _SCRATCH, title="From scratch")),
        ),
        name="transfer",
        caption="Balanced accuracy of the best pretrained column of each budget and of the same network trained from "
        "random weights, with 95 % intervals. A dotted line leads to the labels that training from scratch needs.",
        alt="Lines of balanced accuracy over labels per class, pretrained above, from scratch below.",
    )
    none = "Nothing was trained from scratch beside a pretrained column."
    return found or Section(title="Transfer against training from scratch", paragraphs=(none,))


def _controls(findings: Findings) -> Section | None:
    roles = (Role.random, Role.pixels, Role.closed)
    found = _pictured(
        findings,
        plots.draw_controls,
        Section(title="Controls", folded=(accuracy_table(findings, roles, title="Controls"),)),
        name="controls",
        caption="Balanced accuracy of heads solved from the same features, of random frozen features and of raw pixels "
        "beside the best column of each budget, with 95 % intervals. What random features or pixels reach owes nothing "
        "to pretraining.",
        alt="Lines of balanced accuracy over labels per class, one for each control.",
    )
    return found or Section(title="Controls", paragraphs=("No control has finished.",))


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
            "lose less than nothing. The mean is over the budgets that all rules have.",
        ),
        tables=(regret_table(findings),),
    )


def _protocol(findings: Findings) -> Section:
    return Section(title="Protocol", paragraphs=(" ".join(protocol_sentences(findings)),))


def _gaps(findings: Findings) -> Section:
    tables = gap_tables(findings)
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


def _gain_sentences(findings: Findings) -> list[str]:
    """Return what pretraining is worth, a sentence for each budget at which that can be told."""
    told = []
    for gain in findings.transfer:
        start = f"What {gain.column} reaches with {budget_name(gain.labels)} labels ({gain.accuracy:.3f})"
        if gain.scratch_labels is None:
            told.append(f"{start} training from scratch does not reach within the budgets studied.")
        else:
            told.append(f"{start} training from scratch reaches with {gain.scratch_labels:.3g} per class.")
    return [" ".join(told)] if told else []


def _competing(findings: Findings) -> Table:
    return accuracy_table(findings, _COMPETING, title="Balanced accuracy, 95 % interval")


def _pictured(
    findings: Findings,
    draw: Callable[[Findings], Drawn | None],
    section: Section,
    *,
    name: str,
    caption: str,
    alt: str,
) -> Section | None:
    """Return a section with its figure; None where there is nothing to draw."""
    drawn = draw(findings)
    if drawn is None:
        return None
    return replace(section, picture=Picture(name=name, alt=alt, caption=caption, drawn=drawn))
