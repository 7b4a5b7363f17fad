"""`conf/tracking`: where runs are logged. Nothing here changes a result."""

import importlib.util
import math
from dataclasses import dataclass

from tlexp.config.setting import setting


@dataclass
class TrackingConfig:
    """MLflow. The run's own record is written whatever is set here."""

    enabled: bool = setting(True, "Log to MLflow; `tracking=off` does not.", key=False)
    uri: str | None = setting(
        None, "MLflow tracking URI; null is sqlite:///mlflow.db of the working folder.", key=False
    )
    experiment: str = setting("tlexp", "Name of the MLflow experiment.", key=False)
    figures: bool | None = setting(
        None,
        "Draw curves, confusion matrix, mistakes and a training batch; null draws for single runs only.",
        key=False,
    )
    log_model: bool = setting(False, "Log a pyfunc model that needs no pickle, with its signature.", key=False)

    system_metrics: bool = setting(
        False, "Log MLflow's own figures of the machine and its GPUs every ten seconds; needs psutil.", key=False
    )
    wait_seconds: float = setting(
        0.8,
        "Time that a tracking server may hold a run up, all in all; what it has not taken then, `tlexp sync` writes.",
        key=False,
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.uri is not None and not self.uri.strip():
            found.append("tracking.uri is empty: name a URI such as http://127.0.0.1:5000, or null")
        if not self.experiment.strip():
            found.append("tracking.experiment is empty: name an MLflow experiment")
        if self.system_metrics and importlib.util.find_spec("psutil") is None:
            found.append(
                "tracking.system_metrics=true needs psutil, which is not installed: pip install psutil, and for GPUs "
                "nvidia-ml-py"
            )
        if not 0 < self.wait_seconds < math.inf:
            found.append(f"tracking.wait_seconds={self.wait_seconds} must be above 0, in seconds")
        return found
