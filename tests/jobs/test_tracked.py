import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.jobs import tracked
from tlexp.jobs.outcome import JobOutcome
from tlexp.jobs.tracked import TrackedSweep
from tlexp.tracking import absolute_uri, names, publish_record
from tlexp.tracking.blocks import DataBlock
from tlexp.tracking.environment import process_identity
from tlexp.tracking.library import load_mlflow

Swept = Callable[..., list[JobOutcome]]
DEAD = {"started": 1}


@pytest.fixture
def sweep(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackedSweep:
    monkeypatch.chdir(tmp_path)
    load_mlflow()
    return TrackedSweep(tmp_path, TrackingConfig(enabled=True, uri=store))


@pytest.fixture
def run(swept: Swept) -> JobOutcome:
    """A finished run whose record is published."""
    [found] = swept({"seed": ["0"]}, lambda _: {"val/loss": 0.5})
    assert found.record is not None
    assert found.folder is not None
    found.folder.mkdir(parents=True)
    images = DataBlock(digest="ab" * 32, classes=("a", "b"), counts={}, skipped=())
    record = dataclasses.replace(found.record, data=images)
    publish_record(found.folder, record)
    return dataclasses.replace(found, record=record)


def client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=absolute_uri(None))  # MLflow remembers stores by what they are called


def states() -> list[tuple[str, bool]]:
    """Return status and wholeness of the runs that the store shows."""
    experiment = client().get_experiment_by_name("tlexp")
    return [
        (run.info.status, names.TAG_STATUS in run.data.tags)
        for run in ([] if experiment is None else client().search_runs([experiment.experiment_id]))
    ]


@pytest.mark.parametrize(
    ("process", "status"),
    [
        pytest.param(DEAD, "RUNNING", id="killed"),
        pytest.param(DEAD, "KILLED", id="killed, closed, and the sweep that closed it killed too"),
        pytest.param({}, "RUNNING", id="given up by this process"),
    ],
)
def test_a_run_that_is_over_ends_up_whole(
    process: dict[str, object], status: str, sweep: TrackedSweep, run: JobOutcome
) -> None:
    assert run.folder is not None
    tags = {
        names.TAG_PROCESS: json.dumps(process_identity() | process),
        names.TAG_RUN: run.folder.name,
        names.TAG_STUDY: run.folder.parents[2].name,
    }
    left = client().create_run(client().create_experiment("tlexp"), tags=tags)
    client().update_run(left.info.run_id, status=status)
    sweep.close_dead()
    sweep.mend([run])
    assert states() == [("FINISHED", True)]


def test_a_run_that_the_store_never_saw_is_written_and_a_whole_one_left_alone(
    sweep: TrackedSweep, run: JobOutcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.mend([run])
    assert states() == [("FINISHED", True)]
    assert capsys.readouterr().err == "note: the tracking store has all runs by now, 1 of 1 written at the end\n"
    monkeypatch.setattr(tracked, "sync", None)
    assert run.record is not None
    imageless = dataclasses.replace(run, folder=Path("other"), record=dataclasses.replace(run.record, data=None))
    sweep.mend([run, dataclasses.replace(run, record=None), imageless])
    assert capsys.readouterr().err == ""


def test_a_run_that_took_several_tries_counts_once(
    sweep: TrackedSweep, run: JobOutcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.folder is not None
    whole = iter([set(), set(), {run.folder.name}])
    monkeypatch.setattr(tracked, "whole_runs", lambda *_, **__: next(whole))
    monkeypatch.setattr(tracked, "sync", lambda *_, **__: SimpleNamespace(written=1))
    sweep.mend([run])
    assert capsys.readouterr().err.endswith("1 of 1 written at the end\n")


def test_what_the_store_does_not_take_has_one_command(
    sweep: TrackedSweep, run: JobOutcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracked, "sync", lambda *_, **__: SimpleNamespace(written=0))
    sweep.mend([run])
    told = capsys.readouterr().err
    assert told.startswith("note: 1 of 1 runs are not whole in the tracking store: tlexp sync . --uri sqlite:///")


def test_a_store_that_is_away_is_a_note(
    sweep: TrackedSweep, run: JobOutcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object, **__: object) -> set[str]:
        raise TrackingError("it does not answer")

    monkeypatch.setattr(tracked, "whole_runs", away)
    monkeypatch.setattr(tracked, "ensure_store", away)
    sweep.ensure()
    sweep.ensure()
    sweep.mend([run])
    first, second = capsys.readouterr().err.splitlines()
    assert first == "note: it does not answer"
    assert second.startswith("note: it does not answer, and may lack runs: tlexp sync . --uri sqlite:///")


def test_a_working_folder_that_is_gone_is_a_note(
    sweep: TrackedSweep, run: JobOutcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(_: object) -> str:
        raise FileNotFoundError("no such folder")

    monkeypatch.setattr(tracked, "absolute_uri", gone)
    sweep.mend([run])
    assert capsys.readouterr().err.startswith("note: no such folder, and may lack runs: tlexp sync /")


def test_without_tracking_nothing_is_touched(tmp_path: Path, run: JobOutcome, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ensure_store", "close_dead_runs", "whole_runs", "sync"):
        monkeypatch.setattr(tracked, name, None)
    sweep = TrackedSweep(tmp_path, TrackingConfig(enabled=False))
    sweep.ensure()
    sweep.close_dead()
    sweep.mend([run])
