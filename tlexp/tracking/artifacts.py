"""Where a store keeps the files of runs.

A store may name any place, on this machine too, and MLflow writes there. A server may be anybody's, and so may a
database that lies in a folder from elsewhere.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tlexp.errors import TrackingError
from tlexp.tracking.store import sqlite_path

_LOCAL = ("", "file")
_INDIRECT = ("runs", "models")
"""They stand for a place that the store names in its turn."""


def require_place(uri: str, location: str) -> None:
    """Refuse a place on this machine that is not the store's own; a database on this disk may name no other one.

    Args:
        uri: Absolute tracking URI.
        location: What the store names.

    Raises:
        TrackingError: The place is another one.
    """
    store = sqlite_path(uri)
    root = (Path.cwd() if store is None else store.parent) / "mlruns"
    scheme = urlsplit(location).scheme.lower()
    if scheme in _LOCAL or len(scheme) == 1:  # a drive
        allowed = _local(location).is_relative_to(root.resolve())
    else:
        allowed = store is None and scheme not in _INDIRECT
    if not allowed:
        raise TrackingError(
            f"it keeps the files of runs in {location}, and tlexp lets a store name no place on this machine but {root}"
            ": choose another tracking.experiment, or let a server take them itself (mlflow server --serve-artifacts)"
        )


def repository(uri: str, location: str) -> Any:
    """Return MLflow's way to a place; MLflow's client would ask the store again, which may answer otherwise.

    Raises:
        TrackingError: The place is refused.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # lazy: keeps --help fast
    from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

    require_place(uri, location)
    return get_artifact_repository(add_databricks_profile_info_to_artifact_uri(location, uri), tracking_uri=uri)


def _local(location: str) -> Path:
    from mlflow.utils.file_utils import local_file_uri_to_path  # lazy: keeps --help fast

    return Path(local_file_uri_to_path(location)).resolve()
