"""A run written into a tracking store again, from its record, its curves and its files."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tlexp.errors import TrackingError
from tlexp.paths import file_digest, is_regular, open_regular
from tlexp.tracking import names
from tlexp.tracking.client import DatasetInfo, Ending, RunWriter, open_writer, run_tags, tagged
from tlexp.tracking.curves import read_points
from tlexp.tracking.environment import is_alive, process_identity
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.params import run_params
from tlexp.tracking.patience import SWEEP_SECONDS, attempt
from tlexp.tracking.pyfunc import PyfuncModel
from tlexp.tracking.record import Record, read_record
from tlexp.tracking.store import absolute_uri, ensure_store


def replay(record: Record, folder: Path, *, uri: str | None, experiment: str) -> bool:
    """Write a run into a store that does not have it, from its record and files; return whether it was missing.

    A run that is whole is left alone, and so is one whose process still writes it. What an outage left half-written is
    deleted and written again. Of the folder nothing is read but what the record vouches for.

    Args:
        record: Of the run.
        folder: Its own, which may be anybody's.
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment.

    Raises:
        TrackingError: The run ended before its images were known, a file differs from what the record vouches for, or
            the curves cannot be read.
    """
    if record.data is None:
        raise TrackingError(f"{folder} ended before its images were known, and was never tracked: leave it out")
    uri = absolute_uri(uri)
    with vouched_copy(folder, record) as copy:
        model = _model_of(record, copy)
        load_mlflow(models=model is not None)
        ensure_store(uri)
        writer = open_writer(uri, experiment)
        if not _make_room(writer, folder.resolve().name):
            return False
        _write(writer, record, folder.resolve(), copy, model)
    return True


def _write(writer: RunWriter, record: Record, folder: Path, copy: Path, model: PyfuncModel | None) -> None:
    """Write a whole run, its files from their copy."""
    assert record.data is not None
    tags = run_tags(record.environment) | {names.TAG_KEY: record.key, names.TAG_RUN: folder.name}
    study = names.study_of(folder)
    if study is not None:
        tags[names.TAG_STUDY] = study
    started, ended = (int(datetime.fromisoformat(time_).timestamp() * 1000) for time_ in (record.started, record.ended))
    writer.open(
        run_name=names.run_name(record.config, record.point),
        params=run_params(record.config, kept=record.point or ()),
        # While it is being written its writer is this process, which is alive; the run's own may be long gone.
        tags=tags | {names.TAG_PROCESS: json.dumps(process_identity())},
        dataset=dataset_of(record.config, record.data.digest),
        started_ms=started,
    )
    writer.points(
        [
            (started, point.step, names.curve_metric(point.phase, point.fold, point.name), point.value)
            for point in read_points(copy / names.CURVES_FILE)
        ]
    )
    writer.tag({names.TAG_PROCESS: tags[names.TAG_PROCESS]})
    writer.close(
        Ending(
            status=record.status,
            metrics=record.metrics,
            files=run_files(copy, record),
            model=model,
            ended_ms=ended,
        )
    )


@contextlib.contextmanager
def vouched_copy(folder: Path, record: Record) -> Iterator[Path]:
    """Give a copy of a run's record and of the files that it vouches for, which nobody can change any more.

    Raises:
        TrackingError: A file differs, or something else stands in its place. Files that are gone do not count.
    """
    with tempfile.TemporaryDirectory(prefix="tlexp-replay-") as made:
        copy = Path(made)
        vouched = [names.RECORD_FILE, *filter(names.is_run_file, record.files)]
        changed = [name for name in vouched if not copied(folder / name, copy / name, record.files.get(name))]
        if changed or read_record(copy) != record:
            shown = ", ".join(changed or [names.RECORD_FILE])
            raise TrackingError(f"{folder} holds changed files ({shown}): restore them")
        yield copy


def copied(path: Path, copy: Path, digest: str | None) -> bool:
    """Copy a file, and return whether it is gone or the copy is what the digest, if there is one, says."""
    copy.parent.mkdir(exist_ok=True)
    try:
        with open_regular(path, follow_links=False, empty=True) as source, copy.open("xb") as target:
            shutil.copyfileobj(source, target)
    except FileNotFoundError:
        return True
    except OSError:
        if copy.exists():  # it is the copy that cannot be written
            raise
        return False
    return digest is None or file_digest(copy) == digest


def whole_runs(uri: str | None, *, experiment: str, study: str) -> set[str]:
    """Return the runs of a sweep that a store has whole, by the names of their folders.

    Args:
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment; need not exist.
        study: Name of the sweep.

    Raises:
        TrackingError: The store is away or refuses; that costs SWEEP_SECONDS at most.
    """
    uri = absolute_uri(uri)
    return attempt(uri, lambda: _whole_in(uri, experiment, study), seconds=SWEEP_SECONDS, file_seconds=SWEEP_SECONDS)


def run_files(folder: Path, record: Record) -> list[tuple[Path, str]]:
    """Return the files of a run's folder that belong into the store, each with its artifact folder.

    They are the record and those files that it vouches for.
    """
    vouched = (folder / name for name in (names.RECORD_FILE, *filter(names.is_run_file, record.files)))
    found = (path for path in vouched if is_regular(path))
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
        page = writer.client.search_runs([writer.experiment_id], tagged(names.TAG_STUDY, study), page_token=token)
        found |= {run.data.tags.get(names.TAG_RUN, "") for run in page if _is_whole(run)}
        token = page.token
        if not token:
            return found


def _is_whole(run: Any) -> bool:
    return run.info.status != "RUNNING" and names.TAG_STATUS in run.data.tags


def _make_room(writer: RunWriter, name: str) -> bool:
    """Return whether the run of a folder is to be written; deletes what was left of it half-written."""
    found = writer.client.search_runs([writer.experiment_id], tagged(names.TAG_RUN, name))
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
    whole = all((folder / name).is_file() for name in (names.MODEL_CARD_FILE, names.MODEL_WEIGHTS_FILE))
    if not wanted or record.data is None or not whole:
        return None
    return PyfuncModel(folder=folder, classes=record.data.classes)
