"""A run written into a tracking store again, from its record, its curves and its files."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tlexp.errors import TrackingError
from tlexp.tracking import names
from tlexp.tracking.client import DatasetInfo, Ending, RunWriter, open_writer, run_tags
from tlexp.tracking.curves import read_points
from tlexp.tracking.environment import is_alive, process_identity
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.patience import SWEEP_SECONDS, attempt
from tlexp.tracking.pyfunc import PyfuncModel
from tlexp.tracking.record import Record, changed_files
from tlexp.tracking.store import absolute_uri, ensure_store


def replay(record: Record, folder: Path, *, uri: str | None, experiment: str) -> bool:
    """Write a run into a store that does not have it, from its record and files; return whether it was missing.

    A run that is whole is left alone, and so is one whose process still writes it. What an outage left half-written is
    deleted and written again.

    Raises:
        TrackingError: The run ended before its images were known, a file differs from what the record vouches for, or
            the curves cannot be read.
    """
    if record.data is None:
        raise TrackingError(f"{folder} ended before its images were known, and was never tracked: leave it out")
    uri = absolute_uri(uri)
    changed = changed_files(folder, record)
    if changed:
        raise TrackingError(f"{folder} holds changed files ({', '.join(changed)}): restore them")
    model = _model_of(record, folder)
    load_mlflow(models=model is not None)
    ensure_store(uri)
    writer = open_writer(uri, experiment)
    if not _make_room(writer, folder.resolve().name):
        return False
    tags = run_tags(record.environment) | {names.TAG_KEY: record.key, names.TAG_RUN: folder.resolve().name}
    study = names.study_of(folder.resolve())
    if study is not None:
        tags[names.TAG_STUDY] = study
    started, ended = (int(datetime.fromisoformat(time_).timestamp() * 1000) for time_ in (record.started, record.ended))
    writer.open(
        run_name=names.run_name(record.config),
        params=names.flat_params(record.config),
        # While it is being written its writer is this process, which is alive; the run's own may be long gone.
        tags=tags | {names.TAG_PROCESS: json.dumps(process_identity())},
        dataset=dataset_of(record.config, record.data.digest),
        started_ms=started,
    )
    writer.points(
        [
            (started, point.step, names.curve_metric(point.phase, point.fold, point.name), point.value)
            for point in read_points(folder / names.CURVES_FILE)
        ]
    )
    writer.client.set_tag(writer.run_id, names.TAG_PROCESS, tags[names.TAG_PROCESS])
    writer.close(
        Ending(
            status=record.status,
            metrics=record.metrics,
            files=run_files(folder),
            model=model,
            ended_ms=ended,
        )
    )
    return True


def whole_runs(uri: str | None, *, experiment: str, study: str) -> set[str]:
    """Return the runs of a sweep that a store has whole, by the names of their folders.

    Args:
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment; need not exist.
        study: Name of the sweep.

    Raises:
        TrackingError: The store is away or refuses; that costs under a second, or SWEEP_SECONDS for a locked file.
    """
    uri = absolute_uri(uri)
    return attempt(uri, lambda: _whole_in(uri, experiment, study), file_seconds=SWEEP_SECONDS)


def run_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the files of a run's folder that belong into the store, each with its artifact folder."""
    patterns = (names.RECORD_FILE, *names.RUN_FILES)
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file())
    return [(path, names.artifact_folder(path.relative_to(folder).as_posix())) for path in found]


def dataset_of(config: Mapping[str, Any], digest: str) -> DatasetInfo:
    """Return the dataset of a run from its configuration and the digest of its images."""
    source = str(config["data"]["source"])
    root = config["data"].get("root") or config["data"].get("train")
    return DatasetInfo(name=source, digest=digest, source=str(root) if root else f"tlexp:{source}")


def _whole_in(uri: str, experiment: str, study: str) -> set[str]:
    ensure_store(uri)
    writer = open_writer(uri, experiment)
    found, token = set(), None
    while True:
        page = writer.client.search_runs([writer.experiment_id], _tagged(names.TAG_STUDY, study), page_token=token)
        found |= {run.data.tags.get(names.TAG_RUN, "") for run in page if _is_whole(run)}
        token = page.token
        if not token:
            return found


def _is_whole(run: Any) -> bool:
    return run.info.status != "RUNNING" and names.TAG_STATUS in run.data.tags


def _tagged(tag: str, value: str) -> str:
    """Return the words that search runs by a tag."""
    quote = '"' if "'" in value else "'"
    return f"tags.`{tag}` = {quote}{value}{quote}"


def _make_room(writer: RunWriter, name: str) -> bool:
    """Return whether the run of a folder is to be written; deletes what was left of it half-written."""
    found = writer.client.search_runs([writer.experiment_id], _tagged(names.TAG_RUN, name))
    for run in found:
        ended = run.info.status != "RUNNING"
        if _is_whole(run) or (not ended and is_alive(json.loads(run.data.tags.get(names.TAG_PROCESS, "{}")))):
            return False
    for run in found:
        writer.client.delete_run(run.info.run_id)
    return True


def _model_of(record: Record, folder: Path) -> PyfuncModel | None:
    """Return the model to log with a replayed run, if it asked for one and its files are there."""
    wanted = record.config.get("tracking", {}).get("log_model", False)
    if not wanted or record.data is None or not (folder / names.MODEL_WEIGHTS_FILE).is_file():
        return None
    return PyfuncModel(folder=folder, classes=record.data.classes)
