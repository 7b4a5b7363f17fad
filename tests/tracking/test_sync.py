import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tlexp.config import Config, config_values
from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.tracking import Record, RunStatus, environment, publish_record, read_record
from tlexp.tracking import sync as sync_module
from tlexp.tracking.blocks import DataBlock, FreezeBlock, Seeds, TrainBlock
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import TAG_PROCESS, TAG_RUN
from tlexp.tracking.sync import find_records, sync


@pytest.fixture(scope="module")
def uri(ready_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("store") / "mlflow.db"
    shutil.copy(ready_store, made)
    return f"sqlite:///{made}"


def make_run(folder: Path, *, tracked: bool = True) -> Path:
    folder.mkdir(parents=True)
    return publish_record(
        folder,
        Record(
            key="ab" * 32,
            status=RunStatus.finished,
            reason=None,
            overrides=[],
            config=config_values(Config(tracking=TrackingConfig(enabled=tracked))),
            seeds=Seeds(seed=0, data=0),
            freeze=FreezeBlock(policy="none"),
            data=DataBlock(digest="cd" * 32, classes=("a", "b"), counts={}, skipped=()),
            train=TrainBlock(),
            metrics={"test/accuracy": 0.5},
            tracking=None,
            environment=environment("cpu"),
            started="2026-01-01T00:00:00+00:00",
            ended="2026-01-01T00:01:00+00:00",
        ),
    )


def runs(uri: str, experiment: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def test_records_are_found_at_any_depth_up_to_four_and_once(tmp_path: Path) -> None:
    depths = [tmp_path.joinpath(*"abcdef"[:depth]) for depth in range(6)]
    made = [make_run(folder / "run") if depth else make_run(folder / "x") for depth, folder in enumerate(depths)]
    assert find_records([tmp_path, tmp_path / "a", tmp_path / "x"]) == sorted(made[:5])
    assert find_records([tmp_path / "x"]) == [made[0]]


def test_what_is_missing_is_written_once_and_what_is_broken_is_named(tmp_path: Path, uri: str) -> None:
    for name in ("one", "two", "three"):
        make_run(tmp_path / "outputs" / name)
    broken = make_run(tmp_path / "outputs" / "four")
    broken.write_text(broken.read_text().replace("0.5", "0.9"))
    folders = [tmp_path / "outputs", tmp_path / "multirun"]
    first = sync(folders, uri=uri, experiment="first")
    assert (first.written, first.present) == (3, 0)
    assert [path for path, _ in first.broken] == [broken]
    assert "was changed after it was written" in first.broken[0][1]
    second = sync(folders, uri=uri, experiment="first")
    assert (second.written, second.present, len(second.broken)) == (0, 3, 1)
    assert sorted(run.data.tags[TAG_RUN] for run in runs(uri, "first")) == ["one", "three", "two"]


def test_runs_that_were_not_to_be_tracked_stay_out_and_are_counted(tmp_path: Path, uri: str) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two", tracked=False)
    report = sync([tmp_path], uri=uri, experiment="quiet")
    assert (report.written, report.present, report.untracked, report.broken) == (1, 0, 1, ())
    assert [run.data.tags[TAG_RUN] for run in runs(uri, "quiet")] == ["one"]


def test_folders_that_do_not_exist_are_an_error_with_a_way_out(tmp_path: Path, uri: str) -> None:
    with pytest.raises(
        TrackingError, match=r"no such folder: .*outputs: name folders of runs, e.g. tlexp sync outputs"
    ):
        sync([tmp_path / "outputs"], uri=uri, experiment="e")


def test_a_store_that_is_away_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        TrackingError, match=r"http://127.0.0.1:9 does not answer: start it, or name another with --uri"
    ):
        sync([tmp_path], uri="http://me:secret@127.0.0.1:9", experiment="e")


def test_a_store_that_goes_away_in_the_middle_is_no_fault_of_the_records(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "one")

    def gone(*words: object, **more: object) -> bool:
        raise ConnectionError("connection reset")

    monkeypatch.setattr(sync_module, "replay", gone)
    with pytest.raises(TrackingError, match=r"connection reset.*run tlexp sync again"):
        sync([tmp_path], uri=uri, experiment="e")


def test_the_same_folder_moved_elsewhere_is_the_same_run(tmp_path: Path, uri: str) -> None:
    make_run(tmp_path / "here" / "run")
    assert sync([tmp_path / "here"], uri=uri, experiment="moved").written == 1
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert sync([tmp_path / "there"], uri=uri, experiment="moved").present == 1


def test_without_a_uri_each_run_goes_where_it_asked_to_go(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "outputs" / "asked"
    record = read_record(make_run(folder))
    (folder / "record.json").unlink()
    config = record.config | {"tracking": record.config["tracking"] | {"uri": uri, "experiment": "asked"}}
    publish_record(folder, dataclasses.replace(record, config=config))
    report = sync([tmp_path / "outputs"], uri=None, experiment=None)
    assert (report.stores, report.written) == ((uri,), 1)
    assert [run.data.tags[TAG_RUN] for run in runs(uri, "asked")] == ["asked"]


def test_what_dead_processes_left_open_is_closed_or_written_again(tmp_path: Path, uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("left", artifact_location=(tmp_path / "artifacts").as_uri())
    process = {TAG_PROCESS: json.dumps(process_identity() | {"started": 1})}
    make_run(tmp_path / "outputs" / "recorded")
    client.create_run(experiment, tags=process | {TAG_RUN: "recorded"})
    lost = client.create_run(experiment, tags=process | {TAG_RUN: "lost"}).info.run_id
    report = sync([tmp_path / "outputs"], uri=uri, experiment="left")
    assert (report.written, report.closed) == (1, (lost,))
    found = {run.data.tags[TAG_RUN]: run.info.status for run in runs(uri, "left")}
    assert found == {"recorded": "FINISHED", "lost": "KILLED"}


def test_what_came_from_the_environment_has_to_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "secret"
    record = read_record(make_run(folder))
    (folder / "record.json").unlink()
    config = record.config | {"tracking": record.config["tracking"] | {"uri": "${oc.env:STORE}"}}
    publish_record(folder, dataclasses.replace(record, config=config))
    [(_, reason)] = sync([tmp_path / "outputs"], uri=None, experiment=None).broken
    assert "name it with --uri" in reason
