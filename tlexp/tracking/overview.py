"""A sweep's own run in the tracking store: its tables and plots, beside the runs of its points.

The runs lie side by side, none inside another: MLflow's pages (3.17) fold nested ones away and chart their parents
alone, also where a filter finds them all.
"""

import socket
from collections.abc import Sequence
from pathlib import Path

from tlexp.tracking import names
from tlexp.tracking.client import RunWriter, open_writer, run_tags, tagged
from tlexp.tracking.environment import environment
from tlexp.tracking.mlflow import TrackedRun, tracked_run
from tlexp.tracking.patience import SWEEP_SECONDS, attempt
from tlexp.tracking.record import RunStatus
from tlexp.tracking.store import absolute_uri, ensure_store

_LONGEST_NOTE = 4000
"""Characters; stores take 5,000 or more."""


def show_sweep(folder: Path, files: Sequence[Path], *, uri: str | None, experiment: str, told: str = "") -> TrackedRun:
    """Put a sweep's files into its own run, and return where that is. A sweep that goes on goes on with its run.

    Args:
        folder: The sweep's folder, which gives the run its name.
        files: What to show; an older file of the same name is replaced.
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment.
        told: What came out, in lines for people: the description of the run.

    Raises:
        TrackingError: The store is away or refuses; that costs SWEEP_SECONDS at most.
    """
    uri = absolute_uri(uri)
    return attempt(
        uri,
        lambda: _show(folder.resolve(), files, uri, experiment, told),
        seconds=SWEEP_SECONDS,
        file_seconds=SWEEP_SECONDS,
    )


def _show(folder: Path, files: Sequence[Path], uri: str, experiment: str, told: str) -> TrackedRun:
    ensure_store(uri)
    writer = open_writer(uri, experiment)
    run_id = _run_of(writer, folder, told)
    writer.client.set_terminated(run_id, "FINISHED")  # first: what goes wrong from here on leaves no run open
    for path in files:
        writer.send(path, names.artifact_folder(path.name))
    return tracked_run(uri, writer.experiment_id, run_id, study=folder.name)


def _run_of(writer: RunWriter, folder: Path, told: str) -> str:
    """Return the id of the sweep's run, made where there is none."""
    place = f"{socket.gethostname()}:{folder}"
    tags = run_tags(environment("")) | {
        names.TAG_SWEEP: place,
        names.TAG_STUDY: folder.name,
        names.TAG_STATUS: RunStatus.finished.value,
        names.TAG_NOTE: _described(folder, told),
    }
    found = writer.client.search_runs([writer.experiment_id], tagged(names.TAG_SWEEP, tags[names.TAG_SWEEP]))
    if not found:
        return writer.create(run_name=folder.name, tags=tags)
    writer.go_on(found[0])
    writer.tag(tags)
    return writer.run_id


def _described(folder: Path, told: str) -> str:
    """Return what came out as Markdown, and how its runs are found."""
    if not told:
        return ""
    table = told[:_LONGEST_NOTE].replace("```", "~~~").rstrip()
    return f"Its runs: ``{tagged(names.TAG_STUDY, folder.name)}``\n\n```\n{table}\n```"
