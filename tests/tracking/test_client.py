from typing import Any

import pytest

from tlexp.tracking import DatasetInfo, names
from tlexp.tracking.client import open_writer
from tlexp.tracking.library import load_mlflow

DATASET = DatasetInfo(name="shapes", digest="ab" * 32, source="tlexp:shapes")


def test_runs_that_name_the_same_data_at_once_are_opened_all_the_same(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    plain, calls = MlflowClient.log_inputs, []

    def beaten(*words: Any) -> None:
        calls.append(words)
        if len(calls) == 1:
            raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, ...")
        plain(*words)

    monkeypatch.setattr(MlflowClient, "log_inputs", beaten)
    writer = open_writer(store, "e")
    run_id = writer.open(run_name="r", params={}, tags={names.TAG_RUN: "r"}, dataset=DATASET, started_ms=1)
    [data] = MlflowClient(store).get_run(run_id).inputs.dataset_inputs
    assert data.dataset.name == "shapes"


def test_a_server_is_not_asked_once_more_to_print_where_a_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    TrackingServiceClient("http://127.0.0.1:9")._log_url("ab" * 16)  # raises where it asks, for nobody answers
    assert capsys.readouterr().out == ""
