import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tlexp.config import Config, config_values
from tlexp.config.tracking import TrackingConfig
from tlexp.errors import TrackingError
from tlexp.paths import file_digest
from tlexp.tracking import Record, RunStatus, environment, publish_record, read_record
from tlexp.tracking import sync as sync_module
from tlexp.tracking.blocks import DataBlock, FreezeBlock, Seeds, TrainBlock
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import TAG_PROCESS, TAG_RUN, TAG_SWEEP
from tlexp.tracking.overview import show_sweep
from tlexp.tracking.projection import replay
from tlexp.tracking.record import _checksum
from tlexp.tracking.store import Pulse, sqlite_path
from tlexp.tracking.sync import find_records, sync


@pytest.fixture(scope="module")
def uri(ready_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("store") / "mlflow.db"
    shutil.copy(ready_store, made)
    return f"sqlite:///{made}"


def make_run(folder: Path, *, tracked: bool = True, exists: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=exists)
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
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "one")

    def gone(*words: object, **more: object) -> bool:
        (sqlite_path(store) or Path()).write_bytes(b"no store any more " * 100)
        raise ConnectionError("connection reset")

    monkeypatch.setattr(sync_module, "replay", gone)
    with pytest.raises(TrackingError, match=r"refused .*one after 0 .*connection reset.*run tlexp sync again"):
        sync([tmp_path], uri=store, experiment="e")


def test_a_run_that_the_store_does_not_take_is_named_and_the_others_are_written(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [make_run(tmp_path / name).parent for name in ("one", "strange", "two")]

    def refused(record: Record, folder: Path, **more: Any) -> bool:
        if folder.name == "strange":
            raise ValueError("a strange run")
        return replay(record, folder, **more)

    monkeypatch.setattr(sync_module, "replay", refused)
    report = sync([tmp_path], uri=uri, experiment="strange")
    assert (report.written, report.broken) == (2, ((folders[1] / "record.json", "a strange run"),))


STRANGE = ["""it's "both" \\ ` or 1=1 --""", "50%", "new\nline\x1b[31m", "\udcff"]


def test_folders_of_any_name_are_written_once(tmp_path: Path, uri: str) -> None:
    for name in STRANGE:
        make_run(tmp_path / "outputs" / name)
    first = sync([tmp_path / "outputs"], uri=uri, experiment="names")
    assert (first.written, first.present, first.broken) == (len(STRANGE), 0, ())
    second = sync([tmp_path / "outputs"], uri=uri, experiment="names")
    assert (second.written, second.present) == (0, len(STRANGE))
    assert len({run.data.tags[TAG_RUN] for run in runs(uri, "names")}) == len(STRANGE)


def test_the_same_folder_moved_elsewhere_is_the_same_run(tmp_path: Path, uri: str) -> None:
    make_run(tmp_path / "here" / "run")
    assert sync([tmp_path / "here"], uri=uri, experiment="moved").written == 1
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert sync([tmp_path / "there"], uri=uri, experiment="moved").present == 1


def asking(folder: Path, **tracking: Any) -> Path:
    """Make a run that asks for another place than usual."""
    record = read_record(make_run(folder))
    (folder / "record.json").unlink()
    config = record.config | {"tracking": record.config["tracking"] | tracking}
    return publish_record(folder, dataclasses.replace(record, config=config))


def test_without_a_uri_runs_go_where_a_run_here_goes(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    make_run(tmp_path / "outputs" / "default")
    asking(tmp_path / "outputs" / "asked", uri=uri, experiment="asked")
    report = sync([tmp_path / "outputs"], uri=None, experiment=None)
    assert (report.store, report.written, report.broken) == (uri, 2, ())
    assert [run.data.tags[TAG_RUN] for run in runs(uri, "asked")] == ["asked"]


@pytest.mark.parametrize("asked", ["http://me:secret@127.0.0.1:9/a", "sqlite:////tmp/nowhere/other.db"])
def test_the_store_that_a_record_names_is_not_asked_for_anything_on_its_word(
    asked: str, tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    folder = asking(tmp_path / "outputs" / "foreign", uri=asked).parent
    make_run(tmp_path / "outputs" / "own")
    spoken_to: list[str] = []
    answers = Pulse.beats
    monkeypatch.setattr(Pulse, "beats", lambda self, seconds: spoken_to.append(self._uri) or answers(self, seconds))
    report = sync([tmp_path / "outputs"], uri=None, experiment=f"foreign {asked[:4]}")
    shown = asked.replace("me:secret@", "")
    [(count, way_out)] = report.elsewhere
    assert (report.written, report.broken, count) == (1, (), 1)
    assert way_out.startswith(f"1 run asks for tracking store {shown}")
    assert way_out.endswith(f"tlexp sync {folder} --uri {shown}")
    assert "secret" not in way_out
    assert set(spoken_to) == {uri}
    assert sync([folder], uri=uri, experiment=f"foreign {asked[:4]}").written == 1


def test_records_that_name_other_stores_alone_make_no_store_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    asking(tmp_path / "outputs" / "foreign", uri="http://127.0.0.1:9")
    assert len(sync([tmp_path / "outputs"], uri=None, experiment=None).elsewhere) == 1
    assert not (tmp_path / "mlflow.db").exists()


def sent(uri: str, experiment: str) -> set[str]:
    """Return the artifacts of an experiment's only run."""
    from mlflow import MlflowClient

    [run] = runs(uri, experiment)
    place = Path(MlflowClient(tracking_uri=uri).get_run(run.info.run_id).info.artifact_uri.removeprefix("file://"))
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def test_files_that_no_record_vouches_for_stay_and_are_named(tmp_path: Path, uri: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    (folder / "evaluation.json").write_text("{}")
    make_run(folder, exists=True)
    (folder / "copies.csv").symlink_to(secret)
    (folder / "figures" / "planted.png").write_text("planted")
    os.mkfifo(folder / "late.safetensors")
    (folder / "mine.txt").write_text("mine")
    report = sync([tmp_path], uri=uri, experiment="vouched")
    assert report.left_out == ((folder, ("copies.csv", "late.safetensors", "figures/planted.png")),)
    assert sent(uri, "vouched") == {"record.json", "evaluation.json"}


@pytest.mark.timeout(20)  # a pipe would be waited for
@pytest.mark.parametrize("place", ["link", "pipe"])
def test_what_stands_in_a_files_place_is_not_sent(place: str, tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "evaluation.json").write_text("{}")
    make_run(folder, exists=True)
    (folder / "evaluation.json").rename(tmp_path / "same")
    if place == "link":
        (folder / "evaluation.json").symlink_to(tmp_path / "same")
    else:
        os.mkfifo(folder / "evaluation.json")
    report = sync([tmp_path], uri=uri, experiment="placed")
    assert report.written == 0
    assert "holds changed files (evaluation.json): restore them" in report.broken[0][1]


def forged(folder: Path, **fields: Any) -> None:
    """Change a record as whoever can write it can: its checksum follows."""
    values = json.loads((folder / "record.json").read_text()) | fields
    del values["checksum"]
    values["checksum"] = _checksum(values)
    (folder / "record.json").write_text(json.dumps(values))


def test_a_record_vouches_for_nothing_outside_its_folder(tmp_path: Path, uri: str) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("secret")
    digest = file_digest(secret)
    folder = make_run(tmp_path / "run").parent
    forged(folder, files=dict.fromkeys(("../secret.json", str(secret), "figures/../../secret.json"), digest))
    assert sync([tmp_path], uri=uri, experiment="forged").written == 1
    assert sent(uri, "forged") == {"record.json"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "its config lacks labels"),
        ({"tracking": 5}, "its config.tracking is 5, not a block of values"),
        ({"tracking": {"enabled": "yes"}}, "its config.tracking.enabled is 'yes', not bool"),
        ({"freeze": {"policy": "surgical", "units": 5}}, "its config.freeze.units is 5, not list"),
    ],
)
def test_a_record_with_an_odd_configuration_is_named_with_the_setting(
    config: dict[str, Any], reason: str, tmp_path: Path, uri: str
) -> None:
    folder = make_run(tmp_path / "run").parent
    forged(folder, config=config and read_record(folder).config | config)
    report = sync([tmp_path], uri=uri, experiment="odd")
    assert [path for path, _ in report.broken] == [folder / "record.json"]
    assert f"record.json does not have the fields of a record ({reason}): restore the file" in report.broken[0][1]


def test_a_record_of_a_version_without_digests_is_written_without_files(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "evaluation.json").write_text("{}")
    (folder / "metrics.jsonl").write_text('{"phase": "final", "step": 0}\n')
    make_run(folder, exists=True)
    forged(folder, files={})
    report = sync([tmp_path], uri=uri, experiment="old")
    assert (report.written, report.left_out) == (1, ((folder, ("metrics.jsonl", "evaluation.json")),))
    assert sent(uri, "old") == {"record.json"}


def test_links_below_a_folder_lead_to_no_records(tmp_path: Path) -> None:
    away = make_run(tmp_path / "away" / "run").parent
    (tmp_path / "outputs" / "linked").mkdir(parents=True)
    (tmp_path / "outputs" / "folder").symlink_to(away)
    (tmp_path / "outputs" / "linked" / "record.json").symlink_to(away / "record.json")
    assert find_records([tmp_path / "outputs"]) == []
    (tmp_path / "named").symlink_to(tmp_path / "away")
    assert find_records([tmp_path / "named"]) == [away / "record.json"]


def test_what_dead_processes_left_open_is_closed_or_written_again(tmp_path: Path, uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(
        "left", artifact_location=f"{Path(uri.removeprefix('sqlite:///')).parent.as_uri()}/mlruns"
    )
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


def test_runs_that_ask_for_another_store_have_one_command_that_takes_no_others(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    far = "http://127.0.0.1:9"
    for run in ("a b/runs/0/1", "a b/runs/1/1", "mixed/runs/0/1", "mixed/runs/1/1"):
        asking(tmp_path / "multirun" / run, uri=far)
    make_run(tmp_path / "multirun/mixed/runs/1/2")
    asking(tmp_path / "outputs/one", uri=far)
    report = sync([Path("outputs"), Path("multirun")], uri=None, experiment="several")
    [(count, way_out)] = report.elsewhere
    assert (report.written, count) == (1, 5)
    places = "'multirun/a b' multirun/mixed/runs/0 multirun/mixed/runs/1/1 outputs"
    assert way_out.endswith(f"if that is where you want them, tlexp sync {places} --uri {far}")


def test_runs_of_a_third_store_and_broken_ones_are_in_no_command_of_another(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for run, store in (("a/1", 9), ("b/1", 8), ("b/2", 8), ("c/1", 9), ("d/1", 9)):
        asking(tmp_path / "outputs" / run, uri=f"http://127.0.0.1:{store}")
    make_run(tmp_path / "outputs/c/broken").write_text("{}")
    asking(tmp_path / "outputs/d/named", uri="${oc.env:STORE}")
    make_run(tmp_path / "outputs/a/untracked", tracked=False)
    report = sync([Path("outputs")], uri=None, experiment=None)
    commands = [way_out.rpartition("them, ")[2] for _, way_out in report.elsewhere]
    assert commands == [
        "tlexp sync outputs/a outputs/c/1 outputs/d/1 --uri http://127.0.0.1:9",
        "tlexp sync outputs/b --uri http://127.0.0.1:8",
    ]


def test_a_run_that_holds_one_of_here_is_told_as_it_is(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    outer = asking(tmp_path / "outer", uri="http://127.0.0.1:9").parent
    make_run(outer / "inner")
    [(_, way_out)] = sync([tmp_path], uri=None, experiment="nested").elsewhere
    assert way_out.endswith(f"tlexp sync {outer} --uri http://127.0.0.1:9")


def test_a_sweep_that_was_not_shown_is_shown_and_a_second_time_nothing_is_left_to_do(
    tmp_path: Path, store: str
) -> None:
    folder = tmp_path / "multirun" / "s"
    make_run(folder / "runs" / "0" / "1")
    (folder / "report").mkdir()
    for name in ("results.csv", "report/page.html"):
        (folder / name).write_text(name)
    files = [folder / "results.csv", folder / "report/page.html"]
    with pytest.raises(TrackingError, match=r"write it there later, with all its runs: tlexp sync \S*s --uri http"):
        show_sweep(folder, files, uri="http://127.0.0.1:9", experiment="e", told="first")
    assert (folder / "overview.json").exists()
    first = sync([tmp_path / "multirun"], uri=store, experiment=None)
    assert (first.written, first.shown, first.broken) == (1, 1, ())
    [own] = [run for run in runs(store, "e") if TAG_SWEEP in run.data.tags]
    client = MlflowClient(tracking_uri=store)
    assert {file.path for file in client.list_artifacts(own.info.run_id)} == {"results.csv", "page.html"}
    assert "first" in own.data.tags["mlflow.note.content"]
    assert (sync([folder], uri=store, experiment=None).shown, len(runs(store, "e"))) == (0, 1)
    show_sweep(folder, files, uri=store, experiment="e", told="second")
    assert (sync([folder], uri=store, experiment=None).shown, len(runs(store, "e"))) == (0, 1)


def test_a_copy_of_a_sweep_replaces_no_later_state_and_leaves_nothing_to_do(tmp_path: Path, store: str) -> None:
    folder = tmp_path / "s"
    with pytest.raises(TrackingError):
        show_sweep(folder, sweep_files(folder), uri="http://127.0.0.1:9", experiment="e", told="first")
    for copy in ("a copy", "t"):
        shutil.copytree(folder, tmp_path / copy)
    with pytest.raises(TrackingError):
        show_sweep(folder, sweep_files(folder), uri="http://127.0.0.1:9", experiment="e", told="second")
    assert sync([tmp_path], uri=store, experiment=None).shown == 2  # the copy comes first
    for _ in range(2):
        assert sync([tmp_path], uri=store, experiment=None).shown == 0
    [own] = runs(store, "e")
    assert "second" in own.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(
    "name", ["../x.csv", "/x.csv", ".hidden", "link/x.csv", "changed.csv", "linked.csv", "a/b/c/d"]
)
def test_of_a_sweep_nothing_is_sent_but_what_its_overview_vouches_for(name: str, tmp_path: Path, store: str) -> None:
    folder = tmp_path / "s"
    show_sweep(folder, sweep_files(folder), uri=store, experiment="e")
    (tmp_path / "x.csv").write_text("not yours")
    (folder / "link").symlink_to(tmp_path)
    (folder / "linked.csv").symlink_to(tmp_path / "x.csv")
    (folder / "changed.csv").write_text("another")
    overview = json.loads((folder / "overview.json").read_text())
    digest = file_digest(tmp_path / "x.csv")
    (folder / "overview.json").write_text(json.dumps(overview | {"files": {name: digest}, "written": "3000"}))
    [(path, reason)] = sync([folder], uri=store, experiment=None).broken
    assert path == folder / "overview.json"
    assert f"holds changed files ({name})" in reason


@pytest.mark.parametrize("password", ["s3cret", "it's-s3cret", "s3 cret", 's3"cret'])
def test_a_sweep_that_asks_for_another_store_is_not_shown_here(
    password: str, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with pytest.raises(TrackingError):
        show_sweep(tmp_path, sweep_files(tmp_path), uri=f"http://me:{password}@127.0.0.1:9", experiment="e")
    assert "s3" not in (tmp_path / "overview.json").read_text()
    assert sync([tmp_path], uri=None, experiment=None).shown == 0
    (tmp_path / "overview.json").write_text("{}")
    assert "overview.json cannot be read" in sync([tmp_path], uri=None, experiment=None).broken[0][1]


def sweep_files(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    (folder / "results.csv").write_text("1")
    return [folder / "results.csv"]
