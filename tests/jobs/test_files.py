import json
import re
from pathlib import Path

import pytest

from tlexp.errors import ConfigError
from tlexp.jobs.files import JobFile, read_about, read_job


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"schema": 2}, "has another schema than 1: type the command with another name for it"),
        ({"schema": 1, "fixed": []}, "cannot be read (it.fixed is [], not dict): remove it"),
        ({"schema": 1, "fixed": {}}, "cannot be read (it lacks swept): remove it and type the command again"),
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
