"""MLflow's library: loaded late, quiet, without telemetry and without pickle."""

import contextlib
import logging
import os
import sys
import threading
import warnings
from types import TracebackType

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
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

_OWN_LEVEL = logging.INFO
"""Of MLflow's logger, where nobody states one."""


class MlflowGuard:
    """MLflow's settings of the process, lent as long as any thread is inside; the last to leave puts them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                for name in _SETTINGS:
                    self._restore.callback(_put_back, name, os.environ.get(name))
                for name, level in _levels().items():
                    self._restore.callback(logging.getLogger(name).setLevel, level)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore.close()


mlflow_guard = MlflowGuard()


def _put_back(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _levels() -> dict[str, int]:
    """Return the levels of loggers; MLflow sets its own once, when it is first imported."""
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    return levels if levels["mlflow"] or "mlflow" in sys.modules else levels | {"mlflow": _OWN_LEVEL}


def load_mlflow(*, models: bool = False, stores: bool = True) -> None:
    """Import mlflow, after settings that the user has not made; call it where no other thread imports.

    Args:
        models: Also what logging a model needs, which takes longer.
        stores: Also what a tracking store needs, as databases do.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # mlflow uses what its own dependencies announce to remove, and warns of its own type hints.
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        if stores:
            import mlflow.store.tracking.sqlalchemy_store  # lazy: keeps --help fast
            import mlflow.tracking
        if models:
            import mlflow.pyfunc  # noqa: F401
    for name, level in _LOUD.items():
        if (logger := logging.getLogger(name)).level != level:  # setting it makes every logger look up its own again
            logger.setLevel(level)
