import json
import re
from pathlib import Path

import pytest

from tlexp.errors import ConfigError
from tlexp.jobs.files import JobFile, read_about, read_job


def a_study(**changed: object) -> dict[str, object]:
    """Return what a study.json holds, but for some values."""
    study = {
        "name": "s", "backbone": "tiny", "margin": 0.01, "seeds": [0], "budgets": [{"labels": "2", "per_class": 2}],
        "columns": [{"name": "a", "title": "a", "role": "cell", "depth": 0}], "skipped": {}, "replicates": {},
    }  # fmt: skip
    return {"schema": 1, "fixed": {}, "swept": [], "study": study | changed}


def test_early_studies_say_less(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps(a_study()))
    assert read_about(tmp_path) == a_study()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"schema": 2}, "has another schema than 1: type the command with another name for it"),
        ({"schema": 1, "fixed": []}, "cannot be read (it.fixed is [], not dict): remove it"),
        ({"schema": 1, "fixed": {}}, "cannot be read (it lacks swept): remove it and type the command again"),
        (a_study(looks=5), "cannot be read (it.study.looks is 5, not tuple): remove it"),
        (a_study(looks=[]), "cannot be read (it.study has no looks): remove it"),
        (a_study(looks=[[]]), "cannot be read (it.study.looks[0] is [], not int): remove it"),
        (a_study(seeds=[]), "cannot be read (it.study has no seeds): remove it"),
        (a_study(budgets=[]), "cannot be read (it.study has no budgets): remove it"),
        (a_study(stopped="x"), "cannot be read (it.study.stopped is 'x', not int): remove it"),
        (a_study(entrants=[{"name": "a"}]), "cannot be read (it.study.entrants[0] lacks columns, operations): remove"),
    ],
)
def test_a_study_file_that_cannot_be_used_is_named(values: object, reason: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=rf"study\.json {re.escape(reason)}"):
        read_about(tmp_path)


def test_a_job_file_says_what_an_attempt_is_at(tmp_path: Path) -> None:
    assert read_job(tmp_path) is None
    (tmp_path / "job.json").write_text(json.dumps({"key": "ab", "number": 3, "point": {"seed": "0"}}))
    assert read_job(tmp_path) == JobFile(key="ab", number=3, point={"seed": "0"})
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(ConfigError, match=r"job\.json cannot be read .* restore it from a copy, or remove"):
        read_job(tmp_path)
