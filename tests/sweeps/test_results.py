import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlexp.config.tracking import TrackingConfig
from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.results import VOLATILE, write_results
from tlexp.sweeps.standings import WIDTH
from tlexp.tracking import RunStatus

Swept = Callable[..., list[JobOutcome]]
GRID = {"freeze": ("all", "none"), "labels": ("5", "20"), "seed": ("0", "1")}


def measure(point: dict[str, str]) -> object:
    if point == {"freeze": "none", "labels": "5", "seed": "1"}:
        return RunStatus.failed, "bad image: a,\nb.png"
    loss = 1 / int(point["labels"]) + 0.1 * int(point["seed"])
    return {"val/loss": loss, "test/accuracy": 0.1 + 0.2, "cost/seconds": 3.5, "cost/flops": 7.0, "own": 1.0}


def write(folder: Path, runs: list[JobOutcome], **words: Any) -> str:
    return write_results(folder, runs, objective="val/loss", direction="minimize", **words)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_point_has_a_row_in_the_sweeps_order(swept: Swept, tmp_path: Path) -> None:
    runs = swept(GRID, measure, "tracking=off")
    write(tmp_path, runs)
    rows = read(tmp_path / "results.csv")
    assert list(rows[0]) == [
        "freeze", "labels", "seed", "status", "reason", "val/loss", "test/accuracy", "cost/flops", "own", "key",
    ]  # fmt: skip
    assert [{key: row[key] for key in GRID} for row in rows] == [run.point for run in runs]
    assert [row["key"] for row in rows] == [run.key for run in runs]
    assert b"\r" not in (tmp_path / "results.csv").read_bytes()
    assert rows[0]["test/accuracy"] == "0.30000000000000004"
    assert (rows[5]["status"], rows[5]["reason"], rows[5]["val/loss"]) == ("failed", "bad image: a,\nb.png", "")


def test_what_differs_between_executions_stays_out_of_the_results(swept: Swept, tmp_path: Path) -> None:
    runs = swept(GRID, measure, "tracking=off")
    again = []
    for run in runs:
        record = run.record and dataclasses.replace(
            run.record,
            metrics=run.record.metrics | dict.fromkeys(VOLATILE, 9.0),
            tracking=None,
            started="2027",
            ended="2028",
            environment=dataclasses.replace(run.record.environment, user="another"),
        )
        again.append(dataclasses.replace(run, folder=run.folder and run.folder / "again", record=record))
    write(tmp_path, runs)
    (tmp_path / "again").mkdir()
    write(tmp_path / "again", again)
    assert (tmp_path / "results.csv").read_bytes() == (tmp_path / "again" / "results.csv").read_bytes()
    row = read(tmp_path / "again" / "runs.csv")[0]
    assert (row["started"], row["ended"], row["cost/seconds"], row["mlflow_run_id"]) == ("2027", "2028", "9.0", "")
    row = read(tmp_path / "runs.csv")[7]
    assert row["folder"] == f"runs/{runs[7].key[:16]}/attempt7"
    assert (row["number"], row["cost/seconds"], row["mlflow_run_id"]) == ("7", "3.5", f"{7:032x}")


def test_a_point_that_has_not_run_is_there_too(swept: Swept, tmp_path: Path) -> None:
    text = write(tmp_path, swept(GRID, lambda point: None, "tracking=off"))
    assert {row["status"] for row in read(tmp_path / "results.csv")} == {""}
    assert "8 runs: 8 not run" in text


def test_the_table_names_what_was_written(swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "multirun" / "s"
    folder.mkdir(parents=True)
    text = write(folder, swept(GRID, measure, "tracking=off"))
    assert text.startswith("multirun/s\n8 runs: 7 finished, 1 failed\n")
    for name in ("results.csv", "runs.csv", "history.png", "slice.png"):
        assert name in text
        assert (folder / name).is_file()
    assert text.index("labels=5,") < text.index("labels=20,") < text.index("not finished") < text.index("files ")
    assert "or best-20" in text
    assert {path.name for path in folder.glob("best-*")} == {"best-5.yaml", "best-20.yaml"}
    assert "MLflow" not in text
    assert all(len(line) <= WIDTH for line in text.splitlines() if "config-path" not in line)


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def test_the_sweep_is_shown_once_in_the_store_its_runs_name(swept: Swept, tmp_path: Path, store: str) -> None:
    runs = swept(GRID, measure, f"tracking.uri={store}", "tracking.experiment=e")
    first, second = write(tmp_path, runs), write(tmp_path, runs)
    assert first == second
    experiment = client(store).get_experiment_by_name("e").experiment_id
    [run] = client(store).search_runs([experiment])
    assert f"compare http://127.0.0.1:5000/#/experiments/{experiment}/runs?workflowType=" in first
    assert f"MLflow  run {tmp_path.name} holds these files\nshow    mlflow ui --backend-store-uri {store}" in first
    names = {file.path for file in client(store).list_artifacts(run.info.run_id)}
    assert names == {"results.csv", "runs.csv", "best-5.yaml", "best-20.yaml", "history.png", "slice.png"}


def test_stated_tracking_goes_before_the_records(swept: Swept, tmp_path: Path, store: str) -> None:
    runs = swept(GRID, measure, "tracking.uri=http://127.0.0.1:9")
    assert "compare" in write(tmp_path, runs, tracking=TrackingConfig(uri=store))


def test_a_store_that_is_away_does_not_fail_the_sweep(swept: Swept, tmp_path: Path) -> None:
    text = write(tmp_path, swept(GRID, measure, "tracking.uri=http://127.0.0.1:9"))
    away = "MLflow does not show the sweep: tracking store http://127.0.0.1:9 does not answer; write it there later"
    assert text.endswith(f"{away}, with all its runs: tlexp sync {tmp_path} --uri http://127.0.0.1:9")
    assert (tmp_path / "results.csv").is_file()


def test_a_store_named_by_the_environment_is_not_guessed(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", "http://127.0.0.1:9")
    assert "MLflow" not in write(tmp_path, swept(GRID, measure, "tracking.uri=${oc.env:STORE}"))
