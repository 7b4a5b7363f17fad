"""`conf/tracking`: where runs are logged. Nothing here changes a result."""

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

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.uri is not None and not self.uri.strip():
            found.append("tracking.uri is empty: name a URI such as http://127.0.0.1:5000, or null")
        if not self.experiment.strip():
            found.append("tracking.experiment is empty: name an MLflow experiment")
        return found
