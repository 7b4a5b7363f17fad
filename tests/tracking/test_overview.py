import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tlexp.errors import TrackingError
from tlexp.tracking import names, overview
from tlexp.tracking.environment import process_identity
from tlexp.tracking.overview import show_sweep


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def sweep(folder: Path, text: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.csv").write_text(text)
    return [folder / "results.csv"]


def test_a_sweep_has_one_flat_run_of_its_own_that_a_resumed_one_goes_on_with(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "multirun" / "it's a sweep"
    for text in ("first", "second"):
        shown = show_sweep(folder, sweep(folder, text), uri=store, experiment="e", told=f"{text}\n  1  all\n")
    [run] = client(store).search_runs([client(store).get_experiment_by_name("e").experiment_id])
    assert (run.info.run_id, run.info.run_name, run.info.status) == (shown.run_id, "it's a sweep", "FINISHED")
    tags = run.data.tags
    assert (tags[names.TAG_STUDY], tags[names.TAG_STATUS]) == ("it's a sweep", "finished")
    assert json.loads(tags[names.TAG_PROCESS]) == process_identity()
    assert "mlflow.parentRunId" not in tags
    assert tags[names.TAG_NOTE] == ('Its runs: ``tags.`tlexp.study` = "it\'s a sweep"``\n\n```\nsecond\n  1  all\n```')
    link, _, wanted = shown.comparison.partition("&searchFilter=")
    assert link.endswith("compareRunsMode=CHART")
    found = client(store).search_runs([run.info.experiment_id], unquote(wanted))
    assert [each.info.run_id for each in found] == [run.info.run_id]
    local = client(store).download_artifacts(run.info.run_id, "results.csv", str(tmp_path))
    assert Path(local).read_text() == "second"


def test_sweeps_of_one_name_in_two_folders_are_two(store: str, tmp_path: Path) -> None:
    shown = [
        show_sweep(tmp_path / place / "s", sweep(tmp_path / place / "s", "x"), uri=store, experiment="e").run_id
        for place in ("a", "b")
    ]
    assert len(set(shown)) == 2


def test_a_run_in_the_trash_is_not_gone_on_with(store: str, tmp_path: Path) -> None:
    files = sweep(tmp_path / "s", "x")
    first = show_sweep(tmp_path / "s", files, uri=store, experiment="e").run_id
    client(store).delete_run(first)
    assert show_sweep(tmp_path / "s", files, uri=store, experiment="e").run_id != first


def test_a_store_that_is_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 does not answer"):
        show_sweep(tmp_path, [], uri="http://127.0.0.1:9", experiment="e")


@pytest.mark.parametrize("name", ["file_digest", "absolute_uri"])
def test_a_file_that_cannot_be_read_is_an_error_of_tracking(
    name: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> str:
        raise PermissionError("not yours")

    monkeypatch.setattr(overview, name, refused)
    with pytest.raises(TrackingError, match=r"s cannot be read \(not yours\): mend that, and type the same"):
        show_sweep(tmp_path / "s", sweep(tmp_path / "s", "x"), uri=store, experiment="e")


def test_a_file_that_the_store_refuses_leaves_no_run_open(store: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="refuses"):
        show_sweep(tmp_path / "s", [tmp_path / "missing.csv"], uri=store, experiment="e")
    [run] = client(store).search_runs([client(store).get_experiment_by_name("e").experiment_id])
    assert run.info.status == "FINISHED"
