"""What the replicates of a column share is made as each of them would make it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.composed import load
from tlexp.config import config_key
from tlexp.experiment.session import Session
from tlexp.jobs.folder import SweepFolder
from tlexp.paths import publish_json
from tlexp.studies import column
from tlexp.studies.planning.planned_column import replicate
from tlexp.tracking import names
from tlexp.train import Listener


@pytest.mark.parametrize("asked", [True, False])
def test_what_is_shared_is_made_by_deterministic_kernels_where_each_run_is(
    asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept under keys that say so."""
    seen: list[tuple[str, bool]] = []
    for name in ("fill_cuts", "solve_together"):
        told = lambda *_, name=name, **__: seen.append((name, torch.are_deterministic_algorithms_enabled()))  # noqa: E731
        monkeypatch.setattr(column, name, told)
    words = ["backbone=tiny", "freeze=all", "head=logreg", "labels=5", f"train.deterministic={asked}".lower()]
    loaded = load([*words, "study=quick", "study.column=c"])
    key = config_key(replicate(loaded.config, "5", 0))
    about = {"columns": [{"name": "c", "depth": 5, "solved": True}], "replicates": {key: ["c", "5", 0]}}
    monkeypatch.setattr(SweepFolder, "about", lambda _: {"study": about})
    folder = tmp_path / "columns" / "c" / "1"
    folder.mkdir(parents=True)
    publish_json(folder / names.JOB_FILE, {"runs": [key]}, indent=None)
    behind: list[bool] = []

    def run(*_: object, session: Session, **__: object) -> None:
        behind.append(session.backlog is not None)

    column.run_column(loaded, folder=folder, overrides=[], run=run, listener=Listener())
    assert behind == [True]
    assert seen == [("fill_cuts", asked), ("solve_together", asked)]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("depths", "entrants", "expected"),
    [
        ((0, 3, 5), [], [([0, 1, 2], [0, 3, 5]), ([0, 1, 2, 3, 4], [5])]),
        ((5,), [], [([0, 1, 2, 3, 4], [5])]),
        ((0, 3, 5), [{"name": "n", "columns": ["freeze-5", "freeze-0", "freeze-3"]}], [([0, 1, 2, 3, 4], [5])]),
    ],
    ids=["others wait", "no other depth", "a screen"],
)
def test_a_solved_column_lets_its_pass_fill_what_others_ask_of_the_first_round(
    depths: tuple[int, ...],
    entrants: list[dict[str, Any]],
    expected: list[tuple[list[int], list[int]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the cheapest, so it goes first; without this the images would pass once more for the next column."""
    seen: list[tuple[list[int], list[int]]] = []
    told = lambda configs, depths, *_, **__: seen.append(([each.seed for each in configs], [*depths]))  # noqa: E731
    monkeypatch.setattr(column, "fill_cuts", told)
    config = load(["backbone=tiny", "freeze=all", "head=logreg", "labels=5"]).config
    columns = [{"name": f"freeze-{depth}", "depth": depth, "solved": depth == 5} for depth in depths]
    study = {"columns": columns, "entrants": entrants, "seeds": [*range(5)], "looks": [3, 5]}
    configs = [replicate(config, "5", seed) for seed in range(5)]
    column._fill(study, "freeze-5", configs, Session(several=True), Listener())
    assert seen == expected


def test_heads_of_a_screen_are_solved_apart_from_those_of_the_finals_and_runs_come_as_the_job_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is left out after the screen would else have been solved for seeds that nobody asks for."""
    solved: list[list[int]] = []
    ran: list[int] = []
    monkeypatch.setattr(column, "fill_cuts", lambda *_, **__: None)
    monkeypatch.setattr(column, "solve_together", lambda configs, *_, **__: solved.append([c.seed for c in configs]))
    words = ["backbone=tiny", "freeze=all", "head=logreg", "labels=5", "study=backbones", "study.column=c"]
    loaded = load(words)
    keys = {seed: config_key(replicate(loaded.config, "5", seed)) for seed in range(5)}
    about: dict[str, Any] = {
        "columns": [{"name": "c", "depth": 5, "solved": True}],
        "entrants": [{"name": "n", "columns": ["c", "other"]}],
        "replicates": {key: ["c", "5", seed] for seed, key in keys.items()},
        "seeds": [*keys],
    }
    monkeypatch.setattr(SweepFolder, "about", lambda _: {"study": about})

    def job(name: str, *seeds: int) -> None:
        solved.clear()
        ran.clear()
        folder = tmp_path / name / "columns" / "c" / "1"
        folder.mkdir(parents=True)
        publish_json(folder / names.JOB_FILE, {"runs": [keys[seed] for seed in seeds]}, indent=None)
        run = lambda config, **_: ran.append(config.seed)  # noqa: E731
        column.run_column(loaded, folder=folder, overrides=[], run=run, listener=Listener())

    job("early", 1)
    assert solved == [[0, 1, 2, 3, 4]], "as in a study that does not say what its screen sees"
    about["probe_seeds"] = 2
    job("screen", 1, 0)
    assert (solved, ran) == ([[0, 1]], [1, 0])
    job("finals", 3, 2)
    assert (solved, ran) == ([[2, 3, 4]], [3, 2])
    about["entrants"][0]["columns"] = ["other", "c"]
    job("trained", 0)
    assert solved == [[0, 1, 2, 3, 4]]
