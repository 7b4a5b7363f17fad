"""Runs that a tracking store shows as running although their process is gone: kill -9 and power cuts leave them so."""

import json
from typing import Any

from tlexp.errors import TrackingError
from tlexp.tracking import names
from tlexp.tracking.environment import is_alive, process_identity
from tlexp.tracking.patience import SWEEP_SECONDS, attempt
from tlexp.tracking.store import absolute_uri, ensure_store, sqlite_path


def close_dead_runs(uri: str | None, *, experiment: str, own: bool = False) -> list[str]:
    """Close the runs that dead processes left open, and return their ids; a store that is away has none to close.

    Runs of living processes, of other hosts and of other programs are left alone. Costs under a second when the store
    is away, and does not make one that is not there.

    Args:
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment; need not exist.
        own: Close those of this process as well: its runs are over, and it gave up on these when the store was busy.
            A file in other processes' hands is waited for, up to SWEEP_SECONDS.
    """
    uri = absolute_uri(uri)
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        return []

    def work() -> list[str]:
        return _close_in(uri, experiment, own)

    try:
        if own:
            return attempt(uri, work, seconds=SWEEP_SECONDS, file_seconds=SWEEP_SECONDS)
        return attempt(uri, work)
    except TrackingError:
        return []


def close_dead(client: Any, experiment_id: str, *, own: bool = False) -> list[str]:
    """Close the runs of an experiment that dead processes left open, and return their ids.

    Args:
        client: MLflow's client of the store; it raises what it likes.
        experiment_id: Of the experiment.
        own: Close those of this process as well.
    """
    # All pages first: closing a run moves those behind it up a page.
    return [run.info.run_id for run in _open_runs(client, experiment_id) if _close(client, run, own)]


def _close_in(uri: str, name: str, own: bool) -> list[str]:
    from mlflow import MlflowClient  # lazy: keeps --help fast

    ensure_store(uri)
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(name)
    return [] if found is None else close_dead(client, found.experiment_id, own=own)


def _open_runs(client: Any, experiment_id: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _close(client: Any, run: Any, own: bool) -> bool:
    """Close the run if its process is dead, or may be this one; return whether it was closed."""
    process = _process(run.data.tags.get(names.TAG_PROCESS, ""))
    if process is None or not (is_alive(process) is False or (own and process == process_identity())):
        return False
    # It may have ended well between the search and its process' death; from here on nobody writes it.
    run_id = run.info.run_id
    if client.get_run(run_id).info.status != "RUNNING":
        return False
    # TAG_STATUS stays unset: it marks whole runs, and `tlexp sync` writes one that is not whole again.
    client.set_tag(run_id, names.TAG_REASON, f"process {process['pid']} on {process['host']} ended without closing it")
    client.set_terminated(run_id, "KILLED", end_time=_last_sign(client, run))
    return True


def _process(text: str) -> dict[str, Any] | None:
    """Return the process that a run names; None where it is not one of ours."""
    try:
        process = json.loads(text)
    except ValueError:
        return None
    return process if isinstance(process, dict) else None


def _last_sign(client: Any, run: Any) -> int:
    """Return when the run last wrote, in ms: its end, as far as anybody knows. It started at the latest then."""
    times = [point.timestamp for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)]
    return int(max([run.info.start_time, *times]))
