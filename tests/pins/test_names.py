"""The names and types in every file that programs read: of a run, of a plan, of a study."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pins.conftest import Runs, names_of, stored_values
from tests.studies.conftest import leave_undrawn, leave_unmeasured
from tlexp import cli

FINISHED = {
    "frozen": "head=logreg labels=4",
    "trained": "freeze=none labels=4 train.limit_steps=3",
    "phases": "freeze=gradual freeze.phases=3",
    "probe": "freeze=none head.init=probe freeze.norm=keep labels=4 train.limit_steps=3",
    "tuned": "tune.trials=3",
    "cut": "freeze=depth freeze.depth=2 cache=off",
    "views": "train.save_weights=false augment=light cache.views=2",
}
PLANS = {
    "depth": ["backbone=tiny", "freeze=depth", "freeze.depth=2"],
    "phases": ["backbone=resnet18", "freeze=gradual"],
}
STUDY = [
    "data.per_class=12", "data.test_per_class=10", "data.num_classes=2", "train.limit_steps=2", "tracking=off",
    "study=freeze_vs_labels", "backbone=tiny", "backbone.image_size=32",
    "study.labels=[2]", "study.seeds=2", "study.depths=[all]", "study.controls=false",
    "study.name=s", "tune.trials=1",
]  # fmt: skip


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tlexp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def without_surroundings(record: dict[str, Any]) -> dict[str, Any]:
    """Return names of a record, and of what differs from machine to machine only those on top."""
    return {**names_of(record), "environment": list(record["environment"])}


@pytest.mark.parametrize("name", FINISHED)
def test_a_run_leaves_the_names_that_it_left(name: str, runs: Runs) -> None:
    folder = runs.folder(FINISHED[name])
    found: dict[str, Any] = {
        "files": files_of(folder),
        "record.json": without_surroundings(read(folder / "record.json")),
    }
    for part in ("evaluation.json", "model.json"):
        if (folder / part).is_file():
            found[part] = names_of(read(folder / part))
    if (folder / "candidates.csv").is_file():
        found["candidates.csv"] = (folder / "candidates.csv").read_text().splitlines()[0]
    if (folder / "metrics.jsonl").is_file():
        found["metrics.jsonl"] = names_of(
            [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        )
    with np.load(folder / "predictions.npz") as file:
        found["predictions.npz"] = {key: [str(file[key].dtype), file[key].ndim] for key in file.files}
    assert found == stored_values(f"names/{name}.json", found)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_has_the_names_that_it_had(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, "plan", *PLANS[name], "--json")
    found = json.loads(capsys.readouterr().out)
    assert names_of(found) == stored_values(f"names/plan-{name}.json", names_of(found))


def test_a_study_leaves_the_names_that_it_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    leave_undrawn(monkeypatch)
    leave_unmeasured(monkeypatch)
    command(monkeypatch, *STUDY)
    folder = tmp_path / "multirun" / "s"
    about = read(folder / "study.json")
    found = {
        "study.json": {
            **names_of(about),
            "study": {**names_of(about["study"]), "replicates": names_of([*about["study"]["replicates"].values()])},
        },
        "replicates": about["study"]["replicates"],
        "column.json": names_of(read(next(folder.glob("columns/*/*/column.json")))),
        "column": sorted({path.name for path in folder.glob("columns/*/*/*")}),
        "run": sorted({path.name for path in folder.glob("runs/*/*/*")}),
        "job.json": names_of(read(next(folder.glob("runs/*/*/job.json")))),
        "folder": sorted(path.name for path in folder.iterdir()),
    }
    assert found == stored_values("names/study.json", found)
