"""Where a trained network lies: a run's folder, an export, a run of a tracking store, a registered model."""

import atexit
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tlexp.errors import TrackingError, WeightsError
from tlexp.secrets import masked
from tlexp.tracking import names
from tlexp.tracking.artifacts import repository
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.mlflow import resolve_weights
from tlexp.tracking.patience import first_line
from tlexp.tracking.record import RunStatus, read_record
from tlexp.tracking.store import absolute_uri, public_uri

_PACKED = "artifacts"
"""Where a model of MLflow's keeps the files that it was made of."""
_OTHERS = {
    "MLmodel": "a model of MLflow's that no run of tlexp logged",
    "model.onnx": "a model in the format onnx",
    "model.pt2": "a model in the format pt2",
    "config.json": "a model in the format timm",
}
"""A file of a folder that holds no network of ours -> what the folder is."""


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
