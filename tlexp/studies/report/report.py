"""What a study leaves for people: a page, the same as Markdown, its figures with their numbers as CSV beside them."""

from collections.abc import Sequence
from pathlib import Path

from tlexp.data import Images
from tlexp.paths import publish
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings, Mistake
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.report.csv import FIGURE_TABLES, cells_csv, mistakes_csv, recalls_csv, recommendations_csv
from tlexp.studies.report.html import build_page
from tlexp.studies.report.markdown import build_markdown
from tlexp.studies.report.networks import networks_csv
from tlexp.studies.report.outlook import outlook_csv
from tlexp.studies.report.palette import column_styles, dark_colours
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.thumbnails import keep_thumbnails

REPORT = "report"
PAGE = "index.html"


def write_report(folder: Path, findings: Findings, images: Images | None = None) -> list[Path]:
    """Write report/ into a study's folder and return its files, the page first; equal findings give equal bytes.

    Args:
        folder: Of the study.
        findings: What it says.
        images: Of its test split; None where they are not at hand.
    """
    (folder / REPORT).mkdir(exist_ok=True)
    report = build_document(findings, keep_thumbnails(folder / REPORT, _mistakes(findings), images))
    dark = dark_colours(column_styles(findings.table.columns))
    content: dict[str, bytes | str] = {
        PAGE: build_page(report, dark=dark),
        "report.md": build_markdown(report),
        "cells.csv": cells_csv(findings),
        "recommendations.csv": recommendations_csv(findings),
    }
    for picture in report.pictures:
        content[f"{picture.name}.svg"] = picture.drawn.svg.decode()
        content[f"{picture.name}.png"] = picture.drawn.png
        content[f"{picture.name}.csv"] = FIGURE_TABLES[picture.name](findings)
    if findings.screened:
        content["networks.csv"] = networks_csv(findings)
    if findings.outlook is not None:
        content["outlook.csv"] = outlook_csv(findings.outlook)
    if findings.model is not None:
        content["recalls.csv"] = recalls_csv(findings.model, findings.table.classes)
        content["mistakes.csv"] = mistakes_csv(findings.model, findings.table.classes)
    for name, data in content.items():
        publish(folder / REPORT / name, data)
    return [folder / REPORT / name for name in content]


def keep_pictures(folder: Path, images: Images) -> None:
    """Keep the thumbnails of the mistakes that a report of a study's folder would show now.

    Args:
        folder: Of the study.
        images: Of its test split.

    Raises:
        TlexpError: The folder holds no study, or one of its files was changed.
    """
    keep_thumbnails(folder / REPORT, _mistakes(analyse(read_table(folder))), images)


def _mistakes(findings: Findings) -> Sequence[Mistake]:
    return () if findings.model is None else findings.model.mistakes
