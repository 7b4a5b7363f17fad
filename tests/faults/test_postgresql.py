"""A team's MLflow on PostgreSQL: eight writers at once, both servers restarted in the middle, and nothing is lost.

python -m pytest tests/faults/test_postgresql.py -m slow -n 0 -s   # prints runs per second
"""

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.database import PASSWORD, Database, Server, database, missing
from tests.faults.test_outages import STEPS, recorded
from tests.faults.test_store import failed, forked
from tests.tracking.conftest import make_record
from tlexp.errors import TrackingError
from tlexp.tracking import Record, Tracker, dataset_of, names, read_record, run_files
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.params import run_params
from tlexp.tracking.patience import attempt
from tlexp.tracking.store import absolute_uri
from tlexp.tracking.sync import sync

__all__ = ["make_record"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(1200)]
WRITERS, RUNS = 8, 3
Make = Callable[..., Record]


@pytest.fixture(scope="module")
def store() -> Iterator[Database]:
    with database() as made:
        yield made


@pytest.fixture
def server(store: Database, tmp_path: Path) -> Iterator[Server]:
    made = Server(store, tmp_path)
    assert made.start(), made.said
    yield made
    made.stop()


def write(uri: str, folder: Path, experiment: str) -> None:
    """Write a run as training does: as far as the server takes it, and no further."""
    record = read_record(folder)
    assert record.data is not None
    tracker = Tracker(uri, experiment=experiment, warn=lambda _: None, seconds=20.0)
    tracker.start(
        run_name=names.run_name(record.config),
        params=run_params(record.config),
        tags={names.TAG_RUN: folder.name, names.TAG_KEY: record.key},
        dataset=dataset_of(record.config, record.data.digest),
    )
    for step in range(STEPS):
        tracker.log(step, {"train/loss": 1 / (step + 1)})
    tracker.finish(status=record.status, metrics=record.metrics, files=run_files(folder, record), model=None)


def written(server: Server, folders: list[Path], experiment: str, meanwhile: Callable[[], None]) -> float:
    """Let eight processes write the runs; return how many a second they wrote."""
    began = time.monotonic()

    def work(own: list[Path]) -> None:
        for folder in own:
            write(server.uri, folder, experiment)

    pids = [forked(lambda own=folders[number::WRITERS]: work(own)) for number in range(WRITERS)]  # type: ignore[misc]
    meanwhile()
    assert not [pid for pid in pids if failed(pid)]
    return len(folders) / (time.monotonic() - began)


@pytest.mark.parametrize("restarts", [False, True], ids=["well", "restarted"])
def test_eight_writers_lose_nothing(restarts: bool, server: Server, tmp_path: Path, make_record: Make) -> None:
    load_mlflow()
    experiment = "restarted" if restarts else "well"
    folders = [tmp_path / f"{experiment}-{number}" for number in range(WRITERS * RUNS)]
    for folder in folders:
        recorded(folder, make_record, server.uri)

    def restart() -> None:
        time.sleep(2)
        server.stop()
        server.store.stop()
        time.sleep(1)
        server.store.start()
        assert server.start(), server.said

    rate = written(server, folders, experiment, restart if restarts else lambda: None)
    first = sync(folders, uri=server.uri, experiment=experiment)
    assert first.broken == ()
    print(f"{experiment}: {rate:.1f} runs a second, {first.present} of {len(folders)} whole before a replay")
    assert sync(folders, uri=server.uri, experiment=experiment).present == len(folders)
    points = server.store.ask(
        "select count(*), count(distinct (m.run_uuid, m.key, m.step)) from metrics m "
        "join runs r on r.run_uuid = m.run_uuid join experiments e on e.experiment_id = r.experiment_id "
        f"where e.name = '{experiment}' and r.status = 'FINISHED' and r.lifecycle_stage = 'active' "
        "and m.key = 'train/loss' and m.step < 40"
    )
    assert points == [(len(folders) * STEPS, len(folders) * STEPS)]


def test_a_schema_that_is_too_old_is_named_with_the_command(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(head,)] = server.store.ask("select version_num from alembic_version")
    server.stop()
    server.store.ask("update alembic_version set version_num = '451aebb31d03'")
    try:
        assert not server.start()
        assert "mlflow db upgrade" in server.said
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        with pytest.raises(TrackingError, match="mlflow db upgrade") as told:
            sync_nothing(server.store.uri)
        assert PASSWORD not in str(told.value)
    finally:
        server.store.ask(f"update alembic_version set version_num = '{head}'")


def sync_nothing(uri: str) -> None:
    from mlflow import MlflowClient

    attempt(absolute_uri(uri), lambda: MlflowClient(tracking_uri=uri).search_experiments(), seconds=60)


def test_the_password_stays_in_the_environment(server: Server, tmp_path: Path) -> None:
    from tests.faults.forks import finish

    words = ["backbone=tiny", "train.limit_steps=2", "data.per_class=8", "labels=2", "tracking.experiment=secret"]
    words += ["tracking.wait_seconds=60", f"tracking.uri={server.store.uri}"]
    finish(tmp_path, *words, first=lambda: os.environ.update(PGPASSWORD=PASSWORD))
    spelled = server.store.uri.replace("team@", "team:${oc.env:TEAM_PASSWORD}@")
    finish(tmp_path, *words[:-1], f"tracking.uri='{spelled}'", first=lambda: os.environ.update(TEAM_PASSWORD=PASSWORD))
    for uri, name in ((server.store.uri, "PGPASSWORD"), (spelled, "TEAM_PASSWORD")):
        given = dict.fromkeys([name], PASSWORD)
        swept = [*words[:-1], f"tracking.uri='{uri}'", "seed=0,1", f"hydra.sweeper.name={name}"]
        shown = finish(tmp_path, "-m", *swept, first=lambda given=given: os.environ.update(given)).shown
        best = re.search(r"^best    python -m tlexp (.*\\\n.*|.*)$", shown, re.MULTILINE)
        assert best is not None
        assert "@127.0.0.1" in best[1]
        pasted = shlex.split(best[1].replace("\\\n", ""))
        finish(tmp_path, *pasted, first=lambda given=given: os.environ.update(given))
    [(runs,)] = server.store.ask(
        "select count(*) from runs r join experiments e on e.experiment_id = r.experiment_id "
        "where r.status = 'FINISHED' and e.name = 'secret'"
    )
    assert runs == 2 + 2 * 4, "alone; and a sweep's runs, its own, and the best of it again"
    found = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert found == []
    tables = server.store.ask("select table_name from information_schema.tables where table_schema = 'public'")
    for (table,) in tables:
        [(holds,)] = server.store.ask(f"select count(*) from {table} t where t::text like '%{PASSWORD}%'")
        assert holds == 0, table
