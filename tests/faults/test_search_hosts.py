"""One search on PostgreSQL and four commands on two hosts, of which one is killed; and one that was suspended.

python -m pytest tests/faults/test_search_hosts.py -m slow -n 0 -s   # prints who did how much

The other host is a namespace of its own for names: its processes are of a host that cannot be asked about them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.database import PASSWORD, Database, database, missing
from tests.faults.test_hosts import ELSEWHERE, ROOT
from tests.faults.test_shared_search import RUNS, SEARCH, SHORT, WORDS, records, table

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(1800)]
TRIALS = 16
Type = Callable[..., "Typed"]


@pytest.fixture(scope="module")
def store() -> Iterator[Database]:
    with database() as made:
        yield made


@pytest.fixture
def typed() -> Iterator[Type]:
    """Type a command on a host; none outlives the test."""
    made: list[Typed] = []

    def begin(folder: Path, *words: str, host: Sequence[str] = ()) -> Typed:
        made.append(Typed(folder, *words, host=host))
        return made[-1]

    yield begin
    for each in made:
        each.process.kill()
        each.process.wait()


class Typed:
    """A command that was typed on a host in the shared folder."""

    def __init__(self, folder: Path, *words: str, host: Sequence[str]) -> None:
        self.shown = folder.parent / f"{folder.name}-{time.monotonic_ns()}.txt"
        path = os.pathsep.join([str(ROOT), str(ROOT / "tlexp" / "plugin")])
        with self.shown.open("wb") as shown:
            self.process = subprocess.Popen(
                [*host, sys.executable, "-m", "tlexp", *words],
                cwd=folder, stdout=shown, stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PGPASSWORD": PASSWORD},
            )  # fmt: skip

    def ends(self, status: int = 0) -> str:
        assert self.process.wait() == status, self.shown.read_text()
        return self.shown.read_text()


def processes(folder: Path) -> list[tuple[str, int]]:
    """Return host and number of the process of each attempt that began, in no order."""
    found = [json.loads(path.read_text()) for path in folder.glob(f"{RUNS}/process.json")]
    return [(each["host"], each["pid"]) for each in found]


def await_run_of(command: Typed, folder: Path, ended: int) -> Path:
    """Wait until a command has a run under way and so many have ended; return the attempt's folder."""
    while True:
        for path in folder.glob(f"{RUNS}/process.json"):
            at_work = json.loads(path.read_text())["pid"] == command.process.pid
            if at_work and len(records(folder)) >= ended and not path.with_name("record.json").exists():
                return path.parent
        assert command.process.poll() is None, command.shown.read_text()
        time.sleep(0.01)


def test_four_commands_on_two_hosts_of_which_one_is_killed(store: Database, typed: Type, tmp_path: Path) -> None:
    folder, words = tmp_path / "shared", [*SHORT, f"hydra.sweeper.n_trials={TRIALS}", "seed=0,1"]
    folder.mkdir()
    words = [*words, f"hydra.sweeper.storage={store.uri}"]
    four = [typed(folder, *words, host=host) for host in ([], [], ELSEWHERE, ELSEWHERE)]
    lost = await_run_of(four[3], folder, ended=4)
    four[3].process.kill()
    store.stop()
    store.start()
    said = [each.ends() for each in four[:3]]
    there = records(folder)
    assert len({path.parents[1] for path in there}) == len(there) == 2 * TRIALS
    assert len(list(lost.parent.glob("*"))) == 2
    assert len(set(processes(folder))) == 4
    assert {host for host, _ in processes(folder)} == {os.uname().nodename, "another"}
    ended = Counter(state for (state,) in store.ask("select state::text from trials"))
    assert (ended.keys(), ended["COMPLETE"]) == ({"COMPLETE", "FAIL"}, TRIALS)
    assert ended["FAIL"] <= len(four), "more than the killed command's, and one of each whose database went away"
    print(f"{TRIALS} trials of 2 runs: attempts of each command {sorted(Counter(processes(folder)).values())}")

    alone = tmp_path / "alone"
    alone.mkdir()
    typed(alone, *words[:-1], f"hydra.sweeper.storage=sqlite:///{alone}/search.db").ends()
    assert table(folder) == table(alone)

    before = table(folder)
    plainly = store.uri.replace("team@", f"team:{PASSWORD}@")
    said.append(typed(folder, *words[:-1], f"hydra.sweeper.storage={plainly}").ends())
    assert (records(folder), table(folder)) == (there, before)
    assert not [text for text in said if PASSWORD in text]
    assert [path for path in folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()] == []
    for (name,) in store.ask("select table_name from information_schema.tables where table_schema = 'public'"):
        assert store.ask(f"select count(*) from {name} t where t::text like '%{PASSWORD}%'") == [(0,)], name


def test_a_suspended_command_of_another_host_ends_when_it_wakes_and_nothing_counts_twice(
    store: Database, typed: Type, tmp_path: Path
) -> None:
    folder = tmp_path / "suspended"
    folder.mkdir()
    words = [*WORDS, *SEARCH, "freeze=none", "train.steps=400", "hydra.sweeper.n_trials=2"]
    words.append(f"hydra.sweeper.storage={store.uri}")
    suspended = typed(folder, *words, host=ELSEWHERE)
    await_run_of(suspended, folder, ended=0)
    time.sleep(1)
    suspended.process.send_signal(signal.SIGSTOP)
    try:
        shown = typed(folder, *words, "--dry-run").ends()
        assert "running on another\n" in shown
        assert "0 of 2 runs are there, 1 is under way, 1 would run" in shown
        typed(folder, *words).ends()
    finally:
        suspended.process.send_signal(signal.SIGCONT)
    there = table(folder)
    assert suspended.process.wait(timeout=300) in (3, 143), suspended.shown.read_text()
    typed(folder, *words).ends()
    assert table(folder) == there
    finished = [path for path in records(folder) if json.loads(path.read_bytes())["status"] == "finished"]
    assert len({path.parents[1] for path in finished}) == 2
