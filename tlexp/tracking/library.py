"""MLflow's library: loaded late, quiet, without telemetry and without pickle."""

import logging
import os
import warnings

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # The defaults (7 retries, 120 s each) hold a run up for 246 s when the server is away; the record can wait.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
_LOUD = {
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    # Tracebacks and retries of an outage, which the tracker reports in one sentence.
    "mlflow.store.db.utils": logging.CRITICAL,
    "urllib3.connectionpool": logging.ERROR,
}


def load_mlflow(*, models: bool = False) -> None:
    """Import mlflow, after settings that the user has not made; call it where no other thread imports.

    Args:
        models: Also what logging a model needs, which takes longer.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # mlflow uses what its own dependencies announce to remove, and warns of its own type hints.
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        import mlflow.store.tracking.sqlalchemy_store  # lazy: keeps --help fast
        import mlflow.tracking

        if models:
            import mlflow.pyfunc  # noqa: F401
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)
