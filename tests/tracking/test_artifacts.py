import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.misbehaving import MisbehavingServer
from tlexp.errors import TrackingError, WeightsError
from tlexp.tracking import Record, names, publish_record, read_record, replay, resolve_weights
from tlexp.tracking.artifacts import require_place
from tlexp.tracking.overview import show_sweep

SERVER = "http://127.0.0.1:9"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder that is no store's."""
    (tmp_path / "victim").mkdir()
    return tmp_path / "victim"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    server = MisbehavingServer()
    yield server
    server.stop()


def lie(server: MisbehavingServer, location: str, *, at: str = "_runs_create") -> None:
    """Let a server name a place for the files of runs."""
    answer = getattr(server, at)

    def lied(*words: Any, **asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = answer(*words, **asked)
        info = found["experiment"] if "experiment" in found else found["run"]["info"]
        info["artifact_location" if "experiment" in found else "artifact_uri"] = location
        return found

    setattr(server, at, lied)


def recorded(folder: Path, make_record: Callable[..., Record]) -> Record:
    folder.mkdir()
    return read_record(publish_record(folder, make_record()))


@pytest.mark.parametrize("at", ["_runs_create", "_experiments_get_by_name"])
@pytest.mark.parametrize("place", ["file://{victim}", "{victim}", "FILE://{victim}", "runs:/abc/x", "models:/abc"])
def test_a_server_names_no_place_on_this_machine(
    place: str, at: str, server: MisbehavingServer, victim: Path, tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    record = recorded(tmp_path / "run", make_record)
    server._experiments["tlexp"] = "1"
    lie(server, location := place.format(victim=victim), at=at)
    with pytest.raises(TrackingError) as caught:
        replay(record, tmp_path / "run", uri=server.uri, experiment="tlexp")
    assert location in str(caught.value)
    assert "mlflow server --serve-artifacts" in str(caught.value)
    assert list(victim.iterdir()) == []


def test_an_answer_that_changes_later_is_not_asked_for(
    server: MisbehavingServer, victim: Path, tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    record = recorded(tmp_path / "run", make_record)
    lie(server, "mlflow-artifacts:/1/r/artifacts")
    lie(server, f"file://{victim}", at="_runs_get")
    replay(record, tmp_path / "run", uri=server.uri, experiment="tlexp")
    assert list(victim.iterdir()) == []


def test_weights_of_a_server_are_not_taken_from_this_machine(server: MisbehavingServer, victim: Path) -> None:
    (victim / names.MODEL_FOLDER).mkdir()
    (victim / names.MODEL_FOLDER / names.MODEL_WEIGHTS_FILE).write_bytes(b"not its own")
    run = server._runs_create(experiment_id="1", start_time=1)["run"]["info"]
    lie(server, f"file://{victim}", at="_runs_get")
    with pytest.raises(WeightsError, match="it keeps the files of runs in file:"):
        resolve_weights(f"runs:/{run['run_id']}", uri=server.uri)


@pytest.mark.parametrize("place", ["file://{victim}", "{victim}", "http://127.0.0.1:9", "s3://theirs/x"])
def test_a_database_names_no_place_but_its_own(
    place: str, ready_store: Path, victim: Path, tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    path = shutil.copy(ready_store, tmp_path / "mlflow.db")
    record = recorded(tmp_path / "run", make_record)
    location = place.format(victim=victim)
    with sqlite3.connect(path) as database:
        database.execute(
            "insert into experiments (name, artifact_location, lifecycle_stage, workspace) "
            "values (?, ?, 'active', 'default')",
            ("tlexp", location),
        )
    with pytest.raises(TrackingError, match=r"choose another tracking\.experiment") as caught:
        replay(record, tmp_path / "run", uri=f"sqlite:///{path}", experiment="tlexp")
    assert location in str(caught.value)
    assert list(victim.iterdir()) == []
    assert replay(record, tmp_path / "run", uri=f"sqlite:///{path}", experiment="another")


def test_a_run_of_a_foreign_database_is_not_gone_on_with(ready_store: Path, victim: Path, tmp_path: Path) -> None:
    path = shutil.copy(ready_store, tmp_path / "mlflow.db")
    (tmp_path / "results.csv").write_text("1")
    uri = f"sqlite:///{path}"
    show_sweep(tmp_path, [], uri=uri, experiment="e")
    with sqlite3.connect(path) as database:
        database.execute("update runs set artifact_uri = ?", (f"file://{victim}",))
    with pytest.raises(TrackingError, match="it keeps the files of runs in"):
        show_sweep(tmp_path, [tmp_path / "results.csv"], uri=uri, experiment="e")
    assert list(victim.iterdir()) == []


def test_places_of_its_own_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require_place(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "mlruns" / "tlexp").as_uri())
    require_place(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "mlruns" / "0"))
    for location in ("mlflow-artifacts:/1", "s3://ours/x", (tmp_path / "mlruns" / "tlexp").as_uri()):
        require_place(SERVER, location)
    for location in ("mlruns/../x", f"file://{tmp_path}/mlruns/../../x", "./x"):
        with pytest.raises(TrackingError):
            require_place(SERVER, location)
