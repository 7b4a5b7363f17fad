"""Where a trained network lies, and where its run stands: a run's folder, an export, a tracking store, a registry."""

import atexit
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError, WeightsError
from tlexp.secrets import masked, public_uri
from tlexp.tracking import names
from tlexp.tracking.artifacts import repository
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.mlflow import resolve_weights
from tlexp.tracking.patience import first_line
from tlexp.tracking.record import Record, RunStatus, read_record
from tlexp.tracking.stated import foreign_store
from tlexp.tracking.store import absolute_uri, sqlite_path

_PACKED = "artifacts"
"""Where a model of MLflow's keeps the files that it was made of."""
_OTHERS = {
    "MLmodel": "a model of MLflow's that no run of tlexp logged",
    "model.onnx": "a model in the format onnx",
    "model.pt2": "a model in the format pt2",
    "config.json": "a model in the format timm",
}
"""A file of a folder that holds no network of ours -> what the folder is."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where what is said of a network stands beside the run that made it.

    Attributes:
        uri: Tracking URI that was named; None as for `Tracker`.
        experiment: Name of the run's experiment.
    """

    uri: str | None
    experiment: str


def home_of(text: str, *, uri: str | None) -> Home | None:
    """Return where the run of a network stands; None where it was made with tracking=off and no store is named.

    An export does not say of which run it is, so that its home is the usual experiment.

    Args:
        text: As for `resolve_model`, of a network that was found.
        uri: Tracking URI that the user named.

    Raises:
        TrackingError: The record is damaged or says that the run stands in a store that nobody named, or the store of
            `runs:/` or `models:/` does not tell.
    """
    if text.startswith(("runs:", "models:")):
        return Home(uri=uri, experiment=_experiment(text, absolute_uri(uri)))
    usual = TrackingConfig().experiment
    if not (Path(text) / names.RECORD_FILE).exists():
        return Home(uri=uri, experiment=usual)
    record = read_record(Path(text))
    stated = record.config.get("tracking", {})
    if uri is None and not stated.get("enabled", True):
        return None
    if uri is None and (shown := foreign_store(_store_of(record), absolute_uri(None))):
        raise TrackingError(
            f"{text} stands in tracking store {shown}, and a record is not believed where files are to go: to write "
            f"beside it, --uri {shlex.quote(shown)}"
        )
    experiment = str(stated.get("experiment", usual))
    return Home(uri=uri, experiment=usual if "${" in experiment else experiment)  # what it was is not logged


def _store_of(record: Record) -> str | None:
    """Return the store that a run stands in by its record; None where that is a database which is gone."""
    known = record.config.get("tracking", {}).get("uri") if record.tracking is None else record.tracking.uri
    stated: str | None = known
    path = None if stated is None else sqlite_path(stated)
    return None if path is not None and not path.exists() else stated


def _experiment(text: str, uri: str) -> str:
    """Return the name of the experiment of `runs:/<id>`, or of the run that a model came from."""
    load_mlflow()
    from mlflow import MlflowClient  # lazy: keeps --help fast

    client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)
    kind, _, rest = text.partition(":/")
    try:
        run = rest.partition("/")[0] if kind == "runs" else _source_run(client, rest)
        return str(client.get_experiment(client.get_run(run).info.experiment_id).name)
    except Exception as error:  # a store raises what it likes
        reason = masked(first_line(error))
        raise TrackingError(f"{text}: tracking store {public_uri(uri)} does not tell its run ({reason})") from error


def _source_run(client: Any, model: str) -> str:
    """Return the id of the run that logged `<name>/<version>` or `m-<id>`."""
    name, sign, version = model.partition("/")
    if not sign:
        return str(client.get_logged_model(name).source_run_id)
    return str(client.get_model_version(name, version).run_id)


def resolve_model(text: str, *, uri: str | None) -> Path:
    """Return the folder of a trained network, which holds model.json and model.safetensors.

    Args:
        text: Folder of a run, of an export or of a model of MLflow's, `runs:/<id>`, or `models:/<name>/<version>`.
        uri: Tracking URI that knows the run or the model; None as for `Tracker`.

    Raises:
        WeightsError: There is none, or the run did not finish, or its record does not vouch for it.
    """
    if text.startswith("models:"):
        return _registered(text, absolute_uri(uri))
    folder = resolve_weights(text, uri=uri, setting="")
    if text.startswith("runs:"):
        return folder
    if not folder.is_dir():
        raise WeightsError(f"{text}: no such folder; name that of a run or of an export, runs:/ID or models:/NAME/1")
    if (folder / names.RECORD_FILE).exists():
        _require_finished(folder)
    elif (folder / "MLmodel").is_file():
        folder = folder / _PACKED
    if not (folder / names.MODEL_CARD_FILE).is_file():
        raise WeightsError(f"{text} holds no {names.MODEL_CARD_FILE}, so no trained network: {_instead(Path(text))}")
    return folder


def _instead(folder: Path) -> str:
    """Return what a folder without a network of ours is, as far as one sees, and what to take."""
    for file, form in _OTHERS.items():
        if (folder / file).is_file():
            return (
                f"it is {form}, which other programs load, by the Python in its README.md if an export wrote it; here "
                "name the run that it was made from, or what tlexp export RUN FOLDER writes of that run"
            )
    return "the run was made with train.save_weights=false or has not ended, or this is the folder of something else"


def _require_finished(run: Path) -> None:
    """Refuse a run whose network is not trained."""
    try:
        status = read_record(run).status
    except TrackingError as error:
        raise WeightsError(str(error)) from error
    if status is not RunStatus.finished:
        mend = f"go on with {shlex.quote(f'resume={run}')}" if status is RunStatus.killed else "run it again"
        raise WeightsError(f"{run}: the run ended as {status}, so its network is not trained: {mend}")


def _registered(text: str, uri: str) -> Path:
    """Return the files of a registered model, fetched into a folder that goes with the process."""
    load_mlflow()
    from mlflow import MlflowClient  # lazy: keeps --help fast

    folder = tempfile.mkdtemp(prefix="tlexp-model-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        location = _location(MlflowClient(tracking_uri=uri, registry_uri=uri), text)
        fetched = Path(repository(uri, location).download_artifacts("", folder))
    except Exception as error:  # a store raises what it likes
        reason = masked(first_line(error))
        raise WeightsError(f"{text}: tracking store {public_uri(uri)} does not give it ({reason})") from error
    cards = sorted(fetched.rglob(names.MODEL_CARD_FILE))
    if not cards:
        raise WeightsError(f"{text} holds no {names.MODEL_CARD_FILE}: it was not logged by a run of tlexp")
    return cards[0].parent


def _location(client: Any, text: str) -> str:
    """Return where the files of a registered version lie, or those of a logged model, `models:/m-<id>`."""
    name, sign, version = text.removeprefix("models:/").partition("/")
    if not sign:
        return str(client.get_logged_model(name).artifact_location)
    source = str(client.get_model_version_download_uri(name, version))
    return _location(client, source) if source.startswith("models:/") else source
