import contextlib
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from filelock import FileLock

from tlexp.errors import TrackingError
from tlexp.secrets import LEAST, kept_uri, masked, public_uri, without_login
from tlexp.tracking import store as store_module
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.store import (
    Pulse,
    absolute_uri,
    ensure_store,
    network_filesystem,
    serve_command,
    sqlite_path,
)


@pytest.fixture
def locked(store: str, held: Callable[[str], AbstractContextManager[None]]) -> Iterator[str]:
    """A store that another process holds."""
    with held(store):
        yield store


def revision(uri: str, value: str) -> None:
    database = sqlite3.connect(sqlite_path(uri) or "")
    with database:
        database.execute("UPDATE alembic_version SET version_num = ?", (value,))
    database.close()


def test_the_default_is_a_file_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert absolute_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert absolute_uri("sqlite:///a/b.db?timeout=3") == f"sqlite:///{tmp_path}/a/b.db?timeout=3"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert absolute_uri(None) == "http://server:5000"
    assert absolute_uri("sqlite:///x.db") == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize("name", ["plain", "with space", "per%20cent", "what?", "ünïcode", "a#b"])
def test_any_folder_name_survives_the_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from sqlalchemy.engine import make_url

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    uri = absolute_uri(None)
    assert sqlite_path(uri) == tmp_path / name / "mlflow.db"
    assert make_url(uri).database == str(tmp_path / name / "mlflow.db")


def test_a_password_is_not_shown() -> None:
    assert public_uri("https://me:s3cret@host:5000/a") == "https://host:5000/a"
    assert public_uri("postgresql+psycopg2://me:s3@cret@host/db") == "postgresql+psycopg2://me@host/db"
    assert public_uri("postgresql://me:a/b?c#d@host/db?password=s3cret") == "postgresql://me@host/db"


ODD = (
    *("it's-secret", "pa'ss", 'say"hi"now', "a b", "<a'b>", "a'/b", "a/b@c", "[a", "hunter2@secret99/b", "a@b?c#d@e"),
    "a@b&c=d/e",
)


@pytest.mark.parametrize("password", ODD)
def test_a_password_of_any_signs_is_not_shown_and_not_kept(password: str) -> None:
    web, database = f"https://me:{password}@host:5000/x", f"postgresql://me:{password}@host/db"
    for shown in (public_uri, kept_uri):
        assert (shown(web), shown(database)) == ("https://host:5000/x", "postgresql://me@host/db")
    assert (without_login(web), without_login(database)) == ("https://host:5000/x", "postgresql://host/db")
    absolute_uri(web)
    assert password not in masked(f"log in with {password} there") or len(password) < LEAST


def test_what_may_belong_to_the_password_of_a_database_is_not_shown() -> None:
    for uri, shown in (
        ("postgresql://me:5432/secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me@corp:p@ss/word@host/db", "postgresql://me@corp@host/db"),
        ("postgresql://me:p@ss/word@host/db?password=a@b/c", "postgresql://me@host/db"),
        ("postgresql://host:5432/db?user=me&password=a@b/c", "postgresql://host:5432/db?user=me"),
    ):
        assert (public_uri(uri), kept_uri(uri)) == (shown, shown)
    by_reference = "postgresql://me:${oc.env:NAME}@host/db?user=a@b"
    assert kept_uri(by_reference) == masked(by_reference) == by_reference


def test_what_a_driver_takes_for_a_host_is_not_shown() -> None:
    absolute_uri("postgresql://me:hunter2@secret99/word@host/db")
    assert masked("cannot find host secret99") == "cannot find host ***"


@pytest.mark.timeout(20)
def test_a_uri_of_many_references_takes_no_time() -> None:
    uri = f"https://{'${a}' * 40}/@"
    assert (public_uri(uri), without_login(uri), masked(uri)) == (uri, uri, uri)


def test_a_store_has_its_name_when_it_is_whole_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, *, artifacts: Path) -> None:
        path.write_bytes(b"half a store")
        assert [found.name for found in tmp_path.glob("mlflow.db*")] == [f"mlflow.db.{os.getpid()}.tmp"]
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module, "_build", killed)
    with pytest.raises(KeyboardInterrupt):
        ensure_store(absolute_uri(f"sqlite:///{tmp_path / 'mlflow.db'}"))
    assert not list(tmp_path.glob("mlflow.db*"))


def test_a_store_is_made_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "mlflow.db"
    uri = absolute_uri(f"sqlite:///{path}")
    path.parent.mkdir()
    path.touch()  # an empty file is a store that nobody has begun
    for stale in ("mlflow.db.123.tmp", "mlflow.db.123.tmp-journal"):
        (path.parent / stale).write_text("left by a killed process")
    ensure_store(uri)
    assert {found.name for found in path.parent.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}
    made = path.stat()
    ensure_store(uri)
    assert path.stat().st_ino == made.st_ino

    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    assert not [uri for uri in SqlAlchemyStore._engine_map if ".tmp" in uri]
    experiment = MlflowClient(tracking_uri=uri).get_experiment("0")
    assert Path(experiment.artifact_location) == path.parent / "mlruns" / "0"


def test_threads_build_one_store_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = []

    class Built:
        _engine_map: ClassVar[dict[str, Any]] = {}
        engine = SimpleNamespace(dispose=lambda: None)

        def __init__(self, uri: str, artifacts: str) -> None:
            at_work.append(uri)
            time.sleep(0.05)
            assert at_work == [uri], "Alembic keeps what it is at for all threads"
            at_work.remove(uri)

    load_mlflow()
    monkeypatch.setattr("mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore", Built)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: store_module._build(tmp_path / name, artifacts=tmp_path), ("a.db", "b.db")))


def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes, not a database " * 10)
    with pytest.raises(TrackingError, match=r"notes.txt is not a tracking store .*: move it away, or name another"):
        ensure_store(f"sqlite:///{text}")
    assert text.read_text().startswith("these are my notes")
    other = tmp_path / "other.db"
    database = sqlite3.connect(other)
    with database:
        database.execute("CREATE TABLE mine (a)")
    database.close()
    before = other.read_bytes()
    with pytest.raises(TrackingError, match="is not a tracking store"):
        ensure_store(f"sqlite:///{other}")
    assert other.read_bytes() == before


def test_an_older_schema_is_refused_with_the_command_and_not_migrated(store: str) -> None:
    revision(store, "451aebb31d03")
    path = sqlite_path(store)
    assert path is not None
    before = path.read_bytes()
    with pytest.raises(TrackingError, match=f"take a copy of it, then run mlflow db upgrade {store}"):
        ensure_store(store)
    assert path.read_bytes() == before


def test_a_newer_schema_asks_for_an_update(store: str) -> None:
    revision(store, "ffffffffffff")
    with pytest.raises(TrackingError, match=r"does not know .*: update mlflow"):
        ensure_store(store)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="ends with the process: name a file"):
        ensure_store(absolute_uri(uri))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackingError, match=r"cannot be created .*: name another place"):
        ensure_store(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_a_locked_store_is_waited_for_and_then_named(locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0.1)
    with pytest.raises(TrackingError, match="is locked by another process"):
        ensure_store(locked)


def test_a_store_of_another_kind_passes() -> None:
    ensure_store("http://nowhere.invalid:1")


def test_network_filesystems_are_recognised(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\ntmpfs /home/local tmpfs rw 0 0\n"
        "//nas/x /mnt/my\\040disk cifs rw 0 0\n"
    )
    kinds = {
        place: network_filesystem(Path(place), mounts)
        for place in ("/srv/mlflow.db", "/home/me/mlflow.db", "/home/local/mlflow.db", "/mnt/my disk/mlflow.db")
    }
    assert list(kinds.values()) == [None, "nfs4", None, "cifs"]
    assert network_filesystem(Path("/home/me"), tmp_path / "none") is None


def test_a_free_store_beats_and_a_locked_one_does_not(
    store: str, held: Callable[[str], AbstractContextManager[None]]
) -> None:
    pulse = Pulse(store)
    assert pulse.beats(0.2)
    with held(store):
        pulse.beats(0.0)
        began = time.monotonic()
        assert not pulse.beats(0.2)
        assert time.monotonic() - began < 0.6
    with contextlib.closing(sqlite3.connect(sqlite_path(store) or "")) as worker:
        worker.execute("CREATE TABLE sign_of_work (a)")
    with held(store):
        assert pulse.beats(0.2), "another process at work is not an outage"
        assert not pulse.beats(0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells who holds a lock")
def test_who_writes_a_store_is_told(
    store: str, tmp_path: Path, held: Callable[[str], AbstractContextManager[None]]
) -> None:
    path, other = tmp_path / "mlflow.db", tmp_path / "other.db"
    shutil.copy(path, other)  # in time: to close a file drops its process's locks
    assert not store_module._is_written_here(path)
    with held(store):
        assert not store_module._is_written_here(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN")
        writer.execute("SELECT * FROM alembic_version").fetchall()
        assert not store_module._is_written_here(path), "whoever reads is in nobody's way"
        writer.execute("COMMIT")
        writer.execute("BEGIN EXCLUSIVE")
        assert store_module._is_written_here(path)
        assert not store_module._is_written_here(path, locks=tmp_path / "no such file")
        assert not store_module._is_written_here(other)
        writer.execute("ROLLBACK")


def test_others_at_work_while_it_is_asked_are_no_outage(locked: str) -> None:
    working = threading.Timer(0.1, lambda: os.utime(sqlite_path(locked) or ""))
    working.start()
    assert Pulse(locked).beats(0.4)
    working.join()
    assert not Pulse(locked).beats(0.2)


def test_loading_respects_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    load_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_the_page_of_a_file_is_served_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve_command(absolute_uri("sqlite:///mlflow.db")) == "mlflow ui"
    assert serve_command("sqlite:////else/where.db") == "mlflow ui --backend-store-uri sqlite:////else/where.db"
    assert serve_command("https://host:5000") == ""


def test_a_store_that_could_not_be_made_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, *, artifacts: Path) -> None:
        for name in (path, path.with_name(f"{path.name}-journal")):
            name.write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(store_module, "_build", half)
    with pytest.raises((OSError, TrackingError), match="no space left"):
        ensure_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []


def test_whoever_creates_a_store_shows_others_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = absolute_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    beaten: list[bool] = []

    def slow(path: Path, *, artifacts: Path) -> None:
        pulse = Pulse(uri)
        latest = time.monotonic() + 10
        while len(beaten) < 3 and time.monotonic() < latest:
            time.sleep(0.01)
            beaten.extend([True] * pulse.stirs())
        path.write_bytes(b"whole")

    monkeypatch.setattr(store_module, "_build", slow)
    store_module._create_locked(tmp_path / "mlflow.db")
    assert len(beaten) >= 3
    assert (tmp_path / "mlflow.db").read_bytes() == b"whole"
    assert not [thread for thread in threading.enumerate() if thread.name == "tlexp-beat" and thread.join(5)]


def test_a_creation_that_does_not_stir_is_waited_for_no_longer_and_one_that_does_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    (tmp_path / "mlflow.db.77.tmp").touch()
    monkeypatch.setattr(store_module, "_QUIET_SECONDS", 0.2)
    with FileLock(tmp_path / ".mlflow.db.lock"):
        with pytest.raises(TrackingError, match=r"has not stirred for 0.2 s: end that process \(its number is 77\)"):
            ensure_store(f"sqlite:///{path}")
        monkeypatch.setattr(store_module, "_awaited", {path})
        assert not Pulse(f"sqlite:///{path}").beats(0.1)
        pulse = Pulse(f"sqlite:///{path}")
        os.utime(tmp_path / ".mlflow.db.lock", (1, 1))
        assert pulse.beats(0.1)
