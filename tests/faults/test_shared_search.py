"""One search and several commands at once: no settings twice, and what a killed command was at runs again."""

import contextlib
import csv
import importlib
import json
import os
import shutil
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.forks import Fork, await_checkpoints, begin, finish, kill_group
from tlexp.config import Config
from tlexp.data import Source
from tlexp.experiment.images import Budget
from tlexp.tracking import read_record
from tlexp.tracking.environment import write_identity

pytestmark = pytest.mark.timeout(900)
WORDS = [
    "-m", "backbone=tiny", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "labels=2", "tracking=off", "hydra.sweeper.name=s",
]  # fmt: skip
SEARCH = ["optim.lr=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.sampler=random"]
SHORT = [*WORDS, *SEARCH, "train.limit_steps=2"]
STORED = ["hydra.sweeper.storage=sqlite:///search.db"]
RUNS = "multirun/s/runs/*/*"


def records(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.glob(f"{RUNS}/record.json"))}


def table(folder: Path) -> bytes:
    return (folder / "multirun/s/results.csv").read_bytes()


def commands(folder: Path) -> set[int]:
    """Return the processes that did runs."""
    return {json.loads(path.read_text())["pid"] for path in folder.glob(f"{RUNS}/process.json")}


def states(folder: Path) -> Counter[str]:
    with contextlib.closing(sqlite3.connect(folder / "search.db")) as database:
        return Counter(state for (state,) in database.execute("select state from trials"))


def ended(*forks: Fork, status: int = 0) -> None:
    for fork in forks:
        assert fork.ended() == status, fork.errors


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of a command that has the search for itself."""
    folder = tmp_path_factory.mktemp("alone")
    finish(folder, *SHORT, *STORED, "hydra.sweeper.n_trials=4", "seed=0,1")
    return table(folder)


def test_two_commands_share_a_search_and_no_settings_are_tried_twice(alone: bytes, tmp_path: Path) -> None:
    words = [*SHORT, *STORED, "hydra.sweeper.n_trials=4", "seed=0,1"]
    ended(*[begin(tmp_path, *words) for _ in range(2)])
    assert len(commands(tmp_path)) == 2
    there = records(tmp_path)
    assert len({path.parents[1] for path in there}) == len(there) == 8
    assert states(tmp_path) == {"COMPLETE": 4}
    assert table(tmp_path) == alone  # what `random` proposes does not depend on how many ask
    finish(tmp_path, *words)
    assert (records(tmp_path), table(tmp_path)) == (there, alone)
    assert not list(tmp_path.glob("multirun/s/.commands/*"))


def test_what_a_killed_command_was_at_runs_again_from_its_checkpoint(tmp_path: Path) -> None:
    words = [*WORDS, *SEARCH, *STORED, "hydra.sweeper.n_trials=2", "train.steps=40", "train.checkpoint_seconds=0.2"]
    words += ["freeze=none"]
    killed = begin(tmp_path, *words)
    [at] = await_checkpoints(tmp_path / RUNS, killed)
    os.kill(killed.pid, signal.SIGSTOP)  # else it might be done by the time that the other one is at work
    other = begin(tmp_path, *words)
    await_checkpoints(tmp_path / RUNS, other, runs=2)
    shown = finish(tmp_path, *words, "--dry-run").shown
    assert shown.count(f"running on {os.uname().nodename}\n") == 2
    assert "0 of 2 runs are there, 2 are under way, 0 would run" in shown
    kill_group(killed.pid)
    ended(other)
    tries = Counter(path.parent for path in tmp_path.glob(RUNS))
    assert sorted(tries.values()) == [1, 2]
    assert tries[at.parent] == 2
    assert not (at / "checkpoint").exists()  # the other attempt took it
    assert [read_record(path.parent).status for path in records(tmp_path)] == ["finished"] * 2
    assert states(tmp_path) == {"COMPLETE": 2, "FAIL": 1}


def test_two_commands_do_not_repeat_each_others_failures_but_the_next_typing_does(tmp_path: Path) -> None:
    words = [*WORDS, *STORED, "train.limit_steps=2", "hydra.sweeper.n_trials=3", "freeze=depth"]
    words += ["freeze.depth=1,97,98,99"]
    ended(*[begin(tmp_path, *words) for _ in range(2)], status=3)

    def tries() -> Counter[str]:
        return Counter(
            json.loads(path.read_text())["point"]["freeze.depth"] for path in tmp_path.glob(f"{RUNS}/job.json")
        )

    first = tries()
    assert (len(first), set(first.values())) == (3, {1})
    living = tmp_path / "multirun/s/.commands/abc"
    living.mkdir(parents=True)
    write_identity(living / "process.json")
    ended(begin(tmp_path, *words), status=3)
    assert tries() == first
    shutil.rmtree(living)
    ended(begin(tmp_path, *words), status=3)
    assert tries() == {depth: 1 if depth == "1" else 2 for depth in first}
    with (tmp_path / "multirun/s/results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_a_seed_that_is_added_and_fails_is_tried_once(tmp_path: Path) -> None:
    words = [*WORDS, *STORED, "train.limit_steps=2", "hydra.sweeper.n_trials=1", "freeze=all,none"]
    finish(tmp_path, *words, "seed=0,1")
    ended(begin(tmp_path, *words, "seed=0,1,2", first=lambda: fail_with_seed(2)), status=3)
    seeds = [json.loads(path.read_text())["point"]["seed"] for path in tmp_path.glob(f"{RUNS}/job.json")]
    assert sorted(seeds) == ["0", "1", "2"]


def fail_with_seed(seed: int) -> None:
    """Let runs with a seed break."""
    run = importlib.import_module("tlexp.experiment.run")
    plain = run.draw_labels

    def broken(config: Config, images: Source) -> Budget:
        if config.seed == seed:
            raise KeyError("stem")
        return plain(config, images)

    run.draw_labels = broken


def test_the_records_are_the_truth_and_the_database_may_be_lost(tmp_path: Path) -> None:
    words = [*SHORT, *STORED, "hydra.sweeper.n_trials=2"]
    finish(tmp_path, *words)
    there, before = records(tmp_path), table(tmp_path)
    (tmp_path / "search.db").unlink()
    finish(tmp_path, *words)
    assert (records(tmp_path), table(tmp_path), states(tmp_path)) == (there, before, {"COMPLETE": 2})
    shutil.rmtree(next(iter(there)).parent)
    finish(tmp_path, *words)
    assert len(records(tmp_path)) == 2
    assert table(tmp_path) == before
    finish(tmp_path, *SHORT, "hydra.sweeper.n_trials=2")  # without the database the folder serves as ever
    assert table(tmp_path) == before


def test_a_database_hears_what_was_pruned_and_again_when_it_was_lost(tmp_path: Path) -> None:
    words = [*WORDS, *SEARCH, *STORED, "train.limit_steps=9", "hydra.sweeper.n_trials=6", "seed=0,1"]
    words.append("hydra.sweeper.pruner=hyperband")
    ended(*(begin(tmp_path, *words, first=look_at_small_fits) for _ in range(2)))
    there, before, told = records(tmp_path), table(tmp_path), states(tmp_path)
    assert told.keys() == {"COMPLETE", "PRUNED"}
    assert told.total() == 6
    (tmp_path / "search.db").unlink()
    ended(begin(tmp_path, *words, first=look_at_small_fits))
    assert (records(tmp_path), table(tmp_path), states(tmp_path)) == (there, before, told)


def look_at_small_fits() -> None:
    """Let fits of nine steps and parts of two images be looked at."""
    importlib.import_module("tlexp.sweeps.sweeper").LEAST_STEPS = 2
    pruning = importlib.import_module("tlexp.sweeps.pruning")
    pruning.LEAST_STEPS = pruning.LEAST_IMAGES = 2


@pytest.mark.slow
def test_a_folder_that_was_made_anew_is_another_search(tmp_path: Path) -> None:
    words = [*SHORT, *STORED, "hydra.sweeper.n_trials=2"]
    finish(tmp_path, *words)
    before = table(tmp_path)
    shutil.rmtree(tmp_path / "multirun")
    finish(tmp_path, *words)
    assert table(tmp_path) == before
    assert states(tmp_path) == {"COMPLETE": 4}


@pytest.mark.slow
def test_workers_share_a_search_as_well(tmp_path: Path) -> None:
    words = [*SHORT, *STORED, "hydra.sweeper.n_trials=4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    finish(tmp_path, *words)
    assert len(records(tmp_path)) == 4
    assert len(commands(tmp_path)) == 2


@pytest.mark.slow
def test_a_command_that_works_alone_looks_for_those_that_share(tmp_path: Path) -> None:
    words = [*SHORT, "hydra.sweeper.n_trials=2"]
    finish(tmp_path, *words, *STORED)
    other = tmp_path / "multirun/s/.commands/abc"
    other.mkdir(parents=True)
    shutil.copy(next(tmp_path.glob(f"{RUNS}/process.json")), other)  # of a process that is dead
    finish(tmp_path, *words)
    assert not other.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*SEARCH, "hydra.sweeper.storage=redis://host"], "must be sqlite:///FILE, for commands of one host"),
        (["seed=0,1", *STORED], "every point of this sweep is known beforehand and none is searched for"),
        (
            [*SEARCH, "hydra.sweeper.storage=sqlite:////nowhere/search.db"],
            "sqlite:////nowhere/search.db cannot be used (unable to open database file): check the address",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    command = begin(tmp_path, *WORDS, *words, "hydra.sweeper.n_trials=3")
    ended(command, status=2)
    [line] = [line for line in command.errors.splitlines() if line.startswith("error: ")]
    assert told in " ".join(command.errors.split())
    assert line.startswith("error: hydra.sweeper.storage")
    assert not list(tmp_path.glob("multirun/s/.commands/*"))
