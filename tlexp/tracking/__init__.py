"""The run's own record, and MLflow as its projection."""

from tlexp.secrets import public_uri
from tlexp.tracking import names
from tlexp.tracking.client import DatasetInfo
from tlexp.tracking.curves import MetricsLog, Point, read_points
from tlexp.tracking.environment import environment
from tlexp.tracking.mlflow import Backlog, TrackedRun, Tracker, resolve_weights
from tlexp.tracking.projection import dataset_of, replay, run_files
from tlexp.tracking.pyfunc import PyfuncModel
from tlexp.tracking.record import Record, RunStatus, publish_record, read_record
from tlexp.tracking.store import absolute_uri, ensure_store

__all__ = [
    "Backlog",
    "DatasetInfo",
    "MetricsLog",
    "Point",
    "PyfuncModel",
    "Record",
    "RunStatus",
    "TrackedRun",
    "Tracker",
    "absolute_uri",
    "dataset_of",
    "ensure_store",
    "environment",
    "names",
    "public_uri",
    "publish_record",
    "read_points",
    "read_record",
    "replay",
    "resolve_weights",
    "run_files",
]
