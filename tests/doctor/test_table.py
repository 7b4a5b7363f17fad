import dataclasses
import json
from pathlib import Path

import numpy as np

from tests.doctor.conftest import Examine, a_gallery
from tlexp.doctor.findings import list_findings
from tlexp.doctor.table import as_json, diagnosis_table, title

FILES = [Path("outputs/doctor-photos/index.html"), Path("outputs/doctor-photos/groups.csv")]


def test_one_screen_says_all(examined: Examine) -> None:
    diagnosis = examined(a_gallery([0, 1] * 20, tested=10), (5, 36), skipped=(("a/\x1b[2J.png", "broken"),))
    findings = list_findings(diagnosis, "outputs/doctor-photos/groups.csv")
    lines = diagnosis_table(diagnosis, findings, FILES).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 130
    assert lines[0] == "photos: 2 classes (a 20, b 20); 30 images to learn from, 10 to test (test/)"
    [leak] = [line for line in lines if line.startswith("near copies across splits")]
    assert leak.split("  ")[-1].strip() == "data.group=outputs/doctor-photos/groups.csv data.on_leak=move"
    assert lines[-1] == "page      outputs/doctor-photos/index.html   (groups.csv beside it)"


def test_classes_with_commas_are_told_apart(examined: Examine) -> None:
    gallery = dataclasses.replace(a_gallery([0, 1] * 20, tested=10), classes=("a, b", "c"))
    assert title(examined(gallery)).startswith('photos: 2 classes ("a, b" 20, c 20); ')


def test_json_is_plain_and_says_which_findings_count(examined: Examine) -> None:
    gallery = a_gallery([0, 1] * 20, tested=10)
    values = json.loads(
        json.dumps(as_json(examined(gallery, (5, 36)), list_findings(examined(gallery, (5, 36)), "g"), FILES))
    )
    assert values["schema"] == 1, "another set of keys has another number"
    assert list(values) == [
        "schema", "name", "classes", "counts", "test_from", "notes", "findings", "unreadable", "accuracy", "unjudged",
        "confused", "budgets", "test", "files",
    ]  # fmt: skip
    assert [finding["key"] for finding in values["findings"] if finding["counts"]] == [
        "near_copies_across_splits",
        "near_copies_across_classes",
    ]
    assert values["counts"] == {"train": {"a": 15, "b": 15}, "test": {"a": 5, "b": 5}}
    assert values["budgets"][1] == {"labels": 20, "class": "a", "images": 15, "groups": 15, "left": -5}
    assert np.isclose(values["test"]["accuracy"], 1.0)
