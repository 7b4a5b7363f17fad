"""The code of the logged model: MLflow runs this file when it saves and when it loads the model."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from PIL import Image

from tlexp.data.payload import payload_images
from tlexp.data.transforms import fit_image, normalise
from tlexp.errors import DataError
from tlexp.models.export import load_classifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mlflow warns of type hints and of outdated calls of its own
    from mlflow.exceptions import MlflowException
    from mlflow.models import set_model
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.pyfunc import PythonModel

_BATCH = 32


class ServedClassifier(PythonModel):  # type: ignore[misc]
    """Classifies raw images of any size: arrays or a table of base64 in, a table (B, K) of probabilities out."""

    def load_context(self, context: Any) -> None:
        """Rebuild the network from model.json and model.safetensors, which lie in one folder."""
        folder = Path(context.artifacts["model.json"]).parent
        self._classifier, exported = load_classifier(folder)
        self._card = exported.card

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,  # or a table; MLflow reads the types, and warns of others
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row per image and one column per class.

        Raises:
            MlflowException: Images cannot be read; a server answers it as the mistake of who asked.
        """
        try:
            images = payload_images(model_input)
        except DataError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        rows = [self._probabilities(chunk) for chunk in _chunks(images)]
        table = np.concatenate(rows) if rows else np.empty((0, len(self._card.classes)))
        return pd.DataFrame(table, columns=list(self._card.classes))

    def _probabilities(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """Return (B, K)."""
        preprocessing = self._card.preprocessing
        fitted = np.stack([fit_image(image, preprocessing) for image in images])
        batch = normalise(torch.from_numpy(fitted).permute(0, 3, 1, 2), preprocessing.mean, preprocessing.std)
        with torch.no_grad():
            logits = self._classifier(batch).double() / self._card.temperature
        if self._card.prior is not None:
            logits = logits + torch.from_numpy(self._card.prior.offsets)
        probabilities: NDArray[np.float64] = logits.softmax(dim=1).numpy()
        return probabilities


def _chunks(images: Sequence[Image.Image]) -> Iterator[Sequence[Image.Image]]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))


set_model(ServedClassifier())
