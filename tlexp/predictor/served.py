"""The code of the logged model: MLflow runs this file when it saves and when it loads the model."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from tlexp.data.payload import payload_images
from tlexp.errors import DataError
from tlexp.predictor import Predictor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mlflow warns of type hints and of outdated calls of its own
    from mlflow.exceptions import MlflowException
    from mlflow.models import set_model
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.pyfunc import PythonModel


class ServedClassifier(PythonModel):  # type: ignore[misc]
    """Classifies raw images of any size: arrays or a table of base64 in, a table (B, K) of probabilities out."""

    def load_context(self, context: Any) -> None:
        """Rebuild the network from model.json and model.safetensors, which lie in one folder."""
        self._predictor = Predictor.of_folder(Path(context.artifacts["model.json"]).parent)

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
            probabilities = self._predictor.probabilities(payload_images(model_input, self._predictor.decoding))
        except DataError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        return pd.DataFrame(probabilities, columns=list(self._predictor.classes))


set_model(ServedClassifier())
