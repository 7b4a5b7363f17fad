import json
import os
from pathlib import Path
from typing import Any

from tlexp.jobs.predecessor import predecessor_note

SETTINGS = {"protocol": 5, "labels": "20", "optim.lr": None}
WORDS = ["labels=20"]


def sweep(path: Path, *, swept: list[str] | None = None, stated: list[str] | None = WORDS, **fixed: Any) -> Path:
    """Leave the study.json of a sweep that differs from the one at hand in some fixed settings."""
    about: dict[str, Any] = {"schema": 1, "fixed": SETTINGS | fixed, "swept": swept or ["seed"]}
    if stated is not None:
        about["stated"] = stated
    path.mkdir(parents=True)
    (path / "study.json").write_text(json.dumps(about))
    os.utime(path / "study.json", (len(list(path.parent.iterdir())),) * 2)
    return path


def note(root: Path) -> str | None:
    about = {"fixed": SETTINGS, "swept": ["seed"], "stated": WORDS}
    return predecessor_note(root / "new", about)


def test_a_changed_protocol_and_a_changed_default_are_told(tmp_path: Path) -> None:
    old = sweep(tmp_path / "old", protocol=4, **{"optim.lr": 0.1})
    assert note(tmp_path) == (
        f"{tmp_path / 'new'} starts anew beside {old}, for runs of different settings are not mixed: "
        "protocol was 4 and is 5, optim.lr was 0.1 and is null"
    )


def test_the_folder_that_differs_least_is_named_of_equals_the_latest(tmp_path: Path) -> None:
    sweep(tmp_path / "a", protocol=3)
    sweep(tmp_path / "b", protocol=4)
    sweep(tmp_path / "c", protocol=4, **{"optim.lr": 0.1})
    assert "protocol was 4 and is 5" in str(note(tmp_path))
    assert str(tmp_path / "b") in str(note(tmp_path))


def test_other_commands_and_the_folder_itself_have_no_note(tmp_path: Path) -> None:
    assert note(tmp_path) is None
    sweep(tmp_path / "typed", labels="5", stated=["labels=5"])
    sweep(tmp_path / "without a word of what was typed", protocol=4, stated=None)
    sweep(tmp_path / "swept", protocol=4, swept=["seed", "freeze"])
    sweep(tmp_path / "equal")
    sweep(tmp_path / "damaged")
    (tmp_path / "damaged" / "study.json").write_text("{")
    sweep(tmp_path / "foreign")
    (tmp_path / "foreign" / "study.json").write_text("[]")
    assert note(tmp_path) is None
    sweep(tmp_path / "old", protocol=4)
    assert note(tmp_path) is not None
    sweep(tmp_path / "new")
    assert note(tmp_path) is None


def test_a_study_is_known_by_its_command(tmp_path: Path) -> None:
    def study(command: str, protocol: int) -> dict[str, Any]:
        budgets = [{"labels": "5", "per_class": 5}]
        columns = [{"name": "c", "title": "c", "role": "depth", "depth": 0}]
        planned = {"seeds": [0], "budgets": budgets, "columns": columns, "skipped": {}, "replicates": {}}
        stated = {"name": "a", "backbone": "b", "margin": 0.1, **planned, "command": command}
        return {"fixed": {"protocol": protocol}, "swept": ["seed"], "study": stated}

    for name, command in (("mine", "tlexp study=quick"), ("other", "tlexp study=heads")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_text(json.dumps({"schema": 1, **study(command, 4)}))
    found = predecessor_note(tmp_path / "new", study("tlexp study=heads", 5))
    assert found is not None
    assert f"starts anew beside {tmp_path / 'other'}," in found
