"""Figures of the machine come into the store beside a run, where they are asked for."""

import importlib.util
import threading
import time
from pathlib import Path

import pytest

from tests.composed import load
from tlexp.errors import ConfigError
from tlexp.tracking import DatasetInfo, RunStatus, Tracker
from tlexp.tracking.library import load_mlflow


@pytest.mark.parametrize("wanted", [True, False])
def test_the_machine_is_measured_while_a_run_goes_on(
    wanted: bool, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    load_mlflow()
    from mlflow import MlflowClient

    tracker = Tracker(store, experiment="tlexp", warn=pytest.fail, system_metrics=wanted, seconds=30)
    tracker.start(run_name="r1", params={}, tags={}, dataset=DatasetInfo(name="a", digest="b", source="c"))
    run_id, client = str(tracker.identity()), MlflowClient(tracking_uri=store)
    deadline = time.monotonic() + 20
    while wanted and time.monotonic() < deadline and not client.get_run(run_id).data.metrics:
        time.sleep(0.05)
    assert tracker.finish(status=RunStatus.finished, metrics={}, files=[], model=None) is not None
    written = client.get_run(run_id).data.metrics
    assert ("system/cpu_utilization_percentage" in written) == wanted
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}


def test_without_what_measures_it_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "psutil" else known(name))
    assert load(["tracking.system_metrics=false"])
    with pytest.raises(ConfigError, match=r"tracking\.system_metrics=true needs psutil.*: pip install psutil"):
        load(["tracking.system_metrics=true"])
