"""A study's folder told: its report written, its summary returned, and shown in the tracking store. No torch."""

from pathlib import Path

from tlexp.config.tracking import TrackingConfig
from tlexp.data import Images
from tlexp.errors import TrackingError
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.report.report import write_report
from tlexp.studies.report.summary import summary
from tlexp.terminal import one_line
from tlexp.tracking.overview import show_sweep
from tlexp.tracking.store import serve_command

_FIRST = "&orderByKey=attributes.start_time&orderByAsc=true"
"""Lets MLflow's page begin with the runs that began first: those of controls come last, and it charts ten alone."""


def report(folder: Path, *, tracking: TrackingConfig | None = None, images: Images | None = None) -> str:
    """Write the report of a study's folder and return the summary for people.

    Args:
        folder: Of the study.
        tracking: Where it is shown; nowhere when None.
        images: Of its test split; those that an earlier report showed are shown again when None.

    Raises:
        TlexpError: The folder holds no study, or one of its files was changed.
    """
    findings = analyse(read_table(folder))
    files = write_report(folder, findings, images)
    lines = [summary(findings, folder)]
    if tracking is not None and tracking.enabled:
        try:
            shown = show_sweep(folder, files, uri=tracking.uri, experiment=tracking.experiment, told=lines[0])
            command = serve_command(shown.uri)
            lines.append(
                "\n".join([f"compare {shown.comparison}{_FIRST}", *([f"show    {command}"] if command else [])])
            )
        except TrackingError as error:
            lines.append(one_line(f"MLflow does not show the study: {error}"))
    return "\n\n".join(lines)
