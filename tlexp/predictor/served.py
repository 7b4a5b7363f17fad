"""The code of the logged model: MLflow runs this file when it saves and when it loads the model."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from tlexp.predictor import Predictor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mlflow warns of type hints and of outdated calls of its own
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel


class ServedClassifier(PythonModel):  # type: ignore[misc]
    """Classifies raw images of any size: (B, H, W, 3) uint8 in, a table (B, K) of probabilities out."""

    def load_context(self, context: Any) -> None:
        """Rebuild the network from model.json and model.safetensors, which lie in one folder."""
        self._predictor = Predictor.of_folder(Path(context.artifacts["model.json"]).parent)

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,  # MLflow reads the types
    ) -> pd.DataFrame:
        """Return one row per image and one column per class."""
        probabilities = self._predictor.probabilities(np.asarray(model_input))
        return pd.DataFrame(probabilities, columns=list(self._predictor.classes))


set_model(ServedClassifier())
