"""The sections of a report that show a figure, each with the numbers that are drawn."""

from collections.abc import Callable
from dataclasses import dataclass

from tlexp.studies.analysis.findings import Findings, Sureness
from tlexp.studies.analysis.table import Role
from tlexp.studies.report import panels, plots
from tlexp.studies.report.document import Picture, Section, TextTable
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.rendering import RenderedFigure
from tlexp.studies.report.tables import accuracy_table, cell_table, cost_table, difference_table, transfer_table


@dataclass(frozen=True, kw_only=True)
class _FigureSection:
    """A figure with its section.

    Attributes:
        name: Of its files.
        title: Of the section.
        draw: Returns the figure; None where there is nothing to draw.
        alt: What is to be seen.
        caption: What the numbers mean; `{margin}` is `study.margin`.
        numbers: Tables of what is drawn.
        text: What is said above the figure.
        missing: What is said where there is no figure; the section is left out where nothing is.
    """

    name: str
    title: str
    draw: Callable[[Findings], RenderedFigure | None]
    alt: str
    caption: str
    numbers: Callable[[Findings], tuple[TextTable, ...]]
    text: Callable[[Findings], str] = lambda _: ""
    missing: Callable[[Findings], str] = lambda _: ""


def figure_sections(findings: Findings) -> tuple[Section, ...]:
    """Return the sections of which there is something to tell, in their order."""
    return tuple(section for figure in _FIGURE_SECTIONS if (section := _section(figure, findings)) is not None)


def _section(figure: _FigureSection, findings: Findings) -> Section | None:
    drawn = figure.draw(findings)
    text = (figure.missing if drawn is None else figure.text)(findings)
    if drawn is None and not text:
        return None
    caption = figure.caption.format(margin=f"{findings.table.margin:g}")
    picture = None if drawn is None else Picture(name=figure.name, alt=figure.alt, caption=caption, drawn=drawn)
    paragraphs = (text,) if text else ()
    return Section(title=figure.title, paragraphs=paragraphs, picture=picture, folded=figure.numbers(findings))


def _competing(findings: Findings) -> tuple[TextTable, ...]:
    return (accuracy_table(findings, (Role.depth, Role.way), title="Balanced accuracy, 95 % interval"),)


def _transfer(findings: Findings) -> tuple[TextTable, ...]:
    scratch = accuracy_table(findings, (Role.scratch, Role.scratch_long), title="From scratch")
    return transfer_table(findings), scratch


def _controls(findings: Findings) -> tuple[TextTable, ...]:
    return (accuracy_table(findings, (Role.random, Role.pixels, Role.closed), title="Controls"),)


def _gains(findings: Findings) -> str:
    """Return what pretraining is worth, a sentence for each budget at which that can be told."""
    sentences = []
    for gain in findings.transfer:
        start = f"What {gain.column} reaches with {budget_name(gain.labels)} labels ({gain.accuracy:.3f})"
        if gain.scratch_labels is None:
            sentences.append(f"{start} training from scratch does not reach within the budgets studied.")
        else:
            sentences.append(f"{start} training from scratch reaches with {gain.scratch_labels:.3g} per class.")
    return " ".join(sentences)


def _no_gain(findings: Findings) -> str:
    if any(recommendation.sureness is Sureness.chance for recommendation in findings.recommendations):
        return "No pretrained column is distinguishably better than guessing where one was trained from scratch too."
    return "Nothing was trained from scratch beside a pretrained column."


_FIGURE_SECTIONS = (
    _FigureSection(
        name="accuracy",
        title="Accuracy against labels",
        draw=plots.draw_accuracy,
        alt="Lines of balanced accuracy over labels per class, one for each column.",
        caption="Mean balanced accuracy on the test split over data seeds, with 95 % intervals. A ring marks what "
        "to take where that is decided, a dotted ring where it is not.",
        numbers=_competing,
    ),
    _FigureSection(
        name="heat-map",
        title="All columns and budgets",
        draw=panels.draw_heat_map,
        alt="Balanced accuracy as a table of coloured cells, brighter is better.",
        caption="Mean balanced accuracy of each column (rows) at each budget (labels per class). A frame marks what "
        "to take where that is decided, a dashed frame where it is not.",
        numbers=lambda findings: (cell_table(findings),),
    ),
    _FigureSection(
        name="differences",
        title="Differences to the best",
        draw=panels.draw_differences,
        alt="Intervals of each column's difference to the best, one panel for each budget.",
        caption="Balanced accuracy minus that of the column with the highest mean (star), paired by seed and image, "
        "with intervals that hold at once over all pairs of the budget. A full mark: told apart from the best; a "
        "hollow one: not. Dashes: the margin, {margin} below the best.",
        numbers=lambda findings: (difference_table(findings),),
    ),
    _FigureSection(
        name="cost",
        title="Cost against accuracy",
        draw=panels.draw_cost,
        alt="Marks of accuracy over seconds, one for each column, one panel for each budget.",
        caption="Mean seconds of a whole replicate (selection, final fit and test) against mean balanced accuracy with "
        "its 95 % interval; up and to the left is better. Hollow marks: solved from the same features.",
        numbers=lambda findings: (cost_table(findings),),
    ),
    _FigureSection(
        name="transfer",
        title="Transfer against training from scratch",
        draw=plots.draw_transfer,
        alt="Lines of balanced accuracy over labels per class, pretrained above, from scratch below.",
        caption="Balanced accuracy of the best pretrained column of each budget and of the same network trained from "
        "random weights, with 95 % intervals. A dotted line leads to the labels that training from scratch needs.",
        numbers=_transfer,
        text=_gains,
        missing=_no_gain,
    ),
    _FigureSection(
        name="controls",
        title="Controls",
        draw=plots.draw_controls,
        alt="Lines of balanced accuracy over labels per class, one for each control.",
        caption="Balanced accuracy of heads solved from the same features, of random frozen features and of raw pixels "
        "beside the best column of each budget, with 95 % intervals. What random features or pixels reach owes nothing "
        "to pretraining.",
        numbers=_controls,
        missing=lambda _: "No control has finished.",
    ),
)
