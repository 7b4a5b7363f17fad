"""The sections of a report that show a figure, each with the numbers that are drawn."""

from collections.abc import Callable
from dataclasses import dataclass

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.table import Role
from tlexp.studies.report import panels, plots
from tlexp.studies.report.document import Picture, Section, TextTable
from tlexp.studies.report.labels import budget_name
from tlexp.studies.report.network_figure import draw_networks
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
    """

    name: str
    title: str
    draw: Callable[[Findings], RenderedFigure | None]
    alt: str
    caption: str
    numbers: Callable[[Findings], tuple[TextTable, ...]]
    text: Callable[[Findings], str] = lambda _: ""


def figure_sections(findings: Findings) -> tuple[Section, ...]:
    """Return the sections of which there is something to tell, in their order."""
    return tuple(section for figure in _FIGURE_SECTIONS if (section := _section(figure, findings)) is not None)


def accuracy_picture(findings: Findings) -> Picture | None:
    """Return the figure that the answers rest on; None where there is nothing to draw."""
    drawn = plots.draw_accuracy(findings)
    if drawn is None:
        return None
    ahead = findings.outlook is not None and findings.outlook.twice is not None
    return Picture(
        name="accuracy",
        alt="Lines of balanced accuracy over labels per class, one for each column.",
        caption="Mean over data seeds on the test images. A ring marks what to take, dotted where that is not decided; "
        "bars are 95 % intervals of what to take and of the best beside it."
        + (" Dashes: what more labels would reach, with the 90 % band of a new draw." if ahead else ""),
        drawn=drawn,
    )


def network_picture(findings: Findings) -> Picture | None:
    """Return the figure of what networks reach and cost; None where fewer than two were compared."""
    drawn, screens = draw_networks(findings), findings.table.screens
    if drawn is None:
        return None
    weights = ", and over megabytes where they differ" if screens == "networks" else ""
    return Picture(
        name="networks",
        alt=f"{screens.capitalize()} by accuracy, over operations and milliseconds per image{weights}.",
        caption=f"Mean balanced accuracy of each {screens[:-1]}'s best column, at the largest budget that all have. "
        "A full mark: no other is as accurate for as few operations per image. Milliseconds are of the machine and the "
        "day that the study began on.",
        drawn=drawn,
    )


def _section(figure: _FigureSection, findings: Findings) -> Section | None:
    drawn = figure.draw(findings)
    if drawn is None:
        return None
    text, caption = figure.text(findings), figure.caption.format(margin=f"{findings.table.margin:g}")
    picture = Picture(name=figure.name, alt=figure.alt, caption=caption, drawn=drawn)
    paragraphs = (text,) if text else ()
    return Section(title=figure.title, paragraphs=paragraphs, picture=picture, folded=figure.numbers(findings))


def _competing(findings: Findings) -> TextTable:
    return accuracy_table(findings, (Role.depth, Role.way), title="Balanced accuracy, 95 % interval")


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


_FIGURE_SECTIONS = (
    _FigureSection(
        name="heat-map",
        title="All columns and budgets",
        draw=panels.draw_heat_map,
        alt="Balanced accuracy as a table of coloured cells, brighter is better.",
        caption="Mean balanced accuracy of each column (rows) at each budget (labels per class). A frame marks what "
        "to take where that is decided, a dashed frame where it is not.",
        numbers=lambda findings: (_competing(findings), cell_table(findings)),
    ),
    _FigureSection(
        name="differences",
        title="Differences to the best",
        draw=panels.draw_differences,
        alt="Intervals of each column's difference to the best, one panel for each budget.",
        caption="Balanced accuracy minus that of the column with the highest mean (star), paired by seed and image, "
        "with intervals that hold at once over all pairs of the budget. A full mark: told apart from the best; a "
        "hollow one: not. Dashes: the margin, {margin} below the best. Of "
        "many columns the best twelve are drawn.",
        numbers=lambda findings: (difference_table(findings),),
    ),
    _FigureSection(
        name="cost",
        title="What accuracy costs",
        draw=panels.draw_cost,
        alt="Columns in the order of their cost, the cheapest on top, with their accuracy, one panel for each budget.",
        caption="Beside each column the parameters that it trains and, where columns differ in them, the operations to "
        "predict one image, by which it is cheap, in this order; mean balanced accuracy with its 95 % interval. A ring "
        "marks what to take. Hollow marks: solved from the same features, and never taken. Of many columns the best "
        "twelve are drawn.",
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
    ),
)
