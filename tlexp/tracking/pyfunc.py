"""The trained network as an MLflow pyfunc model from code: safetensors, JSON and a small file, no pickle."""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tlexp.paths import PACKAGE
from tlexp.tracking.names import MODEL_CARD_FILE, MODEL_WEIGHTS_FILE, PYFUNC_MODEL

_CODE = PACKAGE / "predictor" / "served.py"
"""Named, not imported: it stands above."""
_REQUIREMENTS = (
    "mlflow",
    "torch",
    "timm",
    "numpy",
    "pandas",
    "pillow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torchvision",
    "tqdm",
)


@dataclass(frozen=True, kw_only=True)
class PyfuncModel:
    """What a logged model is made of.

    Attributes:
        folder: Holds model.json and model.safetensors.
        classes: In the order of the network's outputs.
    """

    folder: Path
    classes: tuple[str, ...]


def save_pyfunc(model: PyfuncModel, path: Path, **identity: str) -> None:
    """Write an MLflow model folder: images in, a table of one probability per class out.

    No signature states the input, for MLflow would take one kind alone: it is an array or a table of base64.

    Args:
        model: Its source.
        path: Folder to create.
        identity: Fields of the MLmodel file that tie it to a store, e.g. model_id.
    """
    import mlflow.pyfunc  # lazy: keeps --help fast
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    probabilities = Schema([ColSpec("double", name=name) for name in model.classes])
    with warnings.catch_warnings():
        # It asks for an example of the input, which the stated signature makes needless.
        warnings.simplefilter("ignore", UserWarning)
        mlflow.pyfunc.save_model(
            path=str(path),
            mlflow_model=Model(**identity),
            python_model=str(_CODE),
            artifacts={name: str(model.folder / name) for name in (MODEL_CARD_FILE, MODEL_WEIGHTS_FILE)},
            signature=ModelSignature(outputs=probabilities),
            # The package itself travels with the model, so that it loads where tlexp is not installed.
            code_paths=[str(PACKAGE)],
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        )
    # The model has weights of its own; those that come with the package need not travel with each.
    for unused in [*path.rglob("__pycache__"), *path.glob("code/*/weights")]:
        shutil.rmtree(unused)


def log_pyfunc(
    client: Any,
    experiment_id: str,
    run_id: str,
    model: PyfuncModel,
    *,
    repository: Callable[[str], Any],
    preparing: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> str:
    """Log the model as an output of the run and return its id; `models:/<id>` loads it.

    `repository` leads to the place that the store names for its files.
    `preparing` is entered while the model is put together, which does not concern the store.
    """
    from mlflow.entities import LoggedModelOutput  # lazy: keeps --help fast

    logged = client.create_logged_model(experiment_id, name=PYFUNC_MODEL, source_run_id=run_id)
    files = repository(logged.artifact_location)
    with tempfile.TemporaryDirectory(prefix="tlexp-model-") as folder:
        path = Path(folder) / PYFUNC_MODEL
        with preparing():
            save_pyfunc(model, path, run_id=run_id, model_id=logged.model_id, model_uuid=logged.model_id)
        files.log_artifacts(str(path))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)
