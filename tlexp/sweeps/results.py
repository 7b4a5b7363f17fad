"""What a sweep leaves behind: results.csv, runs.csv, the best of each label budget, plots, and a table for people."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.jobs.outcome import JobOutcome
from tlexp.paths import csv_bytes, publish
from tlexp.sweeps.best import command, write_best
from tlexp.sweeps.plots import draw_plots
from tlexp.sweeps.ranking import rank, swept_keys
from tlexp.sweeps.standings import WIDTH, count_line, faults_table, provenance, standing_table
from tlexp.terminal import one_line, short_path
from tlexp.tracking import names
from tlexp.tracking.overview import show_sweep
from tlexp.tracking.store import serve_command

RESULTS_FILE = "results.csv"
"""What came out; a sweep that was interrupted and resumed writes the same bytes as one that was not."""
RUNS_FILE = "runs.csv"
"""What differs from one execution to the next: folders, times, speed, ids."""
VOLATILE = tuple(names.cost_metric(cost) for cost in ("seconds", "images_per_second", "peak_bytes"))


def write_results(
    folder: Path,
    runs: Sequence[JobOutcome],
    *,
    objective: str,
    direction: str,
    searches: bool = False,
    tracking: TrackingConfig | None = None,
) -> str:
    """Write the sweep's results into its folder and its own run in MLflow, and return the table for people.

    Args:
        folder: The sweep's folder.
        runs: Every point, in the sweep's order.
        objective: What ranks, e.g. val/loss.
        direction: minimize or maximize.
        searches: Whether what was tried followed from what was best so far.
        tracking: Where the sweep is shown; None takes what its runs' records say.
    """
    standings = rank(runs, objective=objective, direction=direction)
    publish(folder / RESULTS_FILE, results_table(runs))
    publish(folder / RUNS_FILE, runs_table(folder, runs))
    best = [path for standing in standings if (path := write_best(folder, standing, objective=objective))]
    plots = draw_plots(folder, runs, objective=objective, direction=direction, searches=searches)
    files = [folder / RESULTS_FILE, folder / RUNS_FILE, *best, *plots]
    outcome = [
        count_line(runs),
        *(standing_table(standing, objective=objective, direction=direction) for standing in standings),
        faults_table(runs),
        provenance(runs),
    ]
    told = "\n\n".join(section for section in outcome if section)
    tracked = _tracked(folder, files, tracking or _stated_tracking(runs), told=told)
    places = [_places(folder, best, plots), *([tracked] if tracked else [])]
    return "\n\n".join([f"{short_path(folder)}\n{told}", *places])


def results_table(runs: Sequence[JobOutcome]) -> bytes:
    """Return results.csv: swept keys, how the run ended, its metrics without volatile ones, and its key."""
    metrics = [metric for metric in _metrics(runs) if metric not in VOLATILE]
    keys = swept_keys(run.point for run in runs)
    rows = [
        [
            *(run.point.get(key, "") for key in keys),
            "" if run.status is None else str(run.status),
            run.reason or "",
            *_values(run, metrics),
            run.key,
        ]
        for run in runs
    ]
    return csv_bytes([[*keys, "status", "reason", *metrics, "key"], *rows])


def runs_table(folder: Path, runs: Sequence[JobOutcome]) -> bytes:
    """Return runs.csv: where and when each point ran, what it cost, and its id in the tracking store."""
    keys = swept_keys(run.point for run in runs)
    rows = []
    for run in runs:
        record = run.record
        times = ("", "") if record is None else (record.started, record.ended)
        tracked = None if record is None else record.tracking
        rows.append(
            [
                str(run.number),
                *(run.point.get(key, "") for key in keys),
                "" if run.folder is None else os.path.relpath(run.folder, folder),
                *times,
                *_values(run, VOLATILE),
                "" if tracked is None else tracked.run_id or "",
            ]
        )
    return csv_bytes([["number", *keys, "folder", "started", "ended", *VOLATILE, "mlflow_run_id"], *rows])


def _metrics(runs: Sequence[JobOutcome]) -> list[str]:
    """Return the metrics that some run has, in the order of their names' list; strangers come last."""
    found = {metric for run in runs if run.record is not None for metric in run.record.metrics}
    return [metric for metric in names.METRICS if metric in found] + sorted(found - set(names.METRICS))


def _values(run: JobOutcome, metrics: Sequence[str]) -> list[str]:
    known: Mapping[str, float] = {} if run.record is None else run.record.metrics
    return [repr(known[metric]) if metric in known else "" for metric in metrics]


def _places(folder: Path, best: Sequence[Path], plots: Sequence[Path]) -> str:
    """Return the files, and the command that runs the best of a budget; a long one goes on in a second line."""
    lines = [f"files   {', '.join([RESULTS_FILE, RUNS_FILE, *(path.name for path in plots)])}"]
    if best:
        line = f"best    {command(best[0])}"
        lines.append(line if len(line) <= WIDTH else line.replace(" --config-name", " \\\n          --config-name"))
        if len(best) > 1:
            lines.append(f"        or {', '.join(path.stem for path in best[1:])}")
    return "\n".join(lines)


def _tracked(folder: Path, files: Sequence[Path], tracking: TrackingConfig | None, *, told: str) -> str:
    """Show the sweep in the tracking store and return the page that compares its runs, or why there is none."""
    if tracking is None or not tracking.enabled:
        return ""
    try:
        shown = show_sweep(folder, files, uri=tracking.uri, experiment=tracking.experiment, told=told)
    except TrackingError as error:
        return one_line(f"MLflow does not show the sweep: {error}")
    lines = [f"compare {shown.comparison}", f"MLflow  run {folder.resolve().name} holds these files"]
    command = serve_command(shown.uri)
    return "\n".join([*lines, *([f"show    {command}"] if command else [])])


def _stated_tracking(runs: Sequence[JobOutcome]) -> TrackingConfig | None:
    """Return the tracking settings of the first record; None without one, or where they came from elsewhere."""
    record = next((run.record for run in runs if run.record is not None), None)
    if record is None:
        return None
    stated = TrackingConfig(**{name: record.config["tracking"][name] for name in ("enabled", "uri", "experiment")})
    return None if "${" in f"{stated.uri} {stated.experiment}" else stated
