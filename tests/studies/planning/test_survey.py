import re
import shutil
from pathlib import Path

import pytest

from tests.studies.conftest import ONE, QUICK, Finished, Study


def test_the_survey_counts_what_is_there_and_what_is_left(
    study: Study, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished(*QUICK), tmp_path, dirs_exist_ok=True)
    assert study("study=quick", "study.controls=false", "--dry-run") == 0
    shown = capsys.readouterr().out
    for name in ("logreg", "ridge", "nearest_mean", "knn"):
        assert re.search(rf"^{name} .* 2,4 +4 +2 +solved +\d+ s$", shown, re.M)
    assert "study multirun/s: 2 data seeds (draws of labels), 16 runs, 8 to do, about" in shown
    assert study("study.controls=false", "study.name=other", "tune.trials=3", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^freeze-0 .* 2,4 +4 +0 +3 +\d+ s$", shown, re.M)


def test_the_survey_says_the_rounds(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study.seeds=null", "study.labels=[2]", "--dry-run"]
    assert study(*words, "study.scratch_labels=[2]") == 0
    shown = capsys.readouterr().out
    found = dict(re.findall(r"^(\S+) .* 2 +(\d+) +0 ", shown, re.M))
    assert found == dict.fromkeys(("freeze-0", "scratch", "scratch-long", "random", "pixels"), "3") | dict.fromkeys(
        ("freeze-5", "ridge", "nearest_mean", "knn"), "30"
    )
    controls = {name for name in found if re.search(rf"^{name} +control: ", shown, re.M)}
    assert controls == found.keys() - {"freeze-0", "freeze-5"}
    assert "3 data seeds (draws of labels), up to 30 while a budget is open, 135 runs, 135 to do, about" in shown
    assert re.search(r"^further rounds: up to 162 runs, about \d+ (s|min) in all$", shown, re.M)
    assert study("study=quick", *words, "study.controls=false") == 0
    shown = capsys.readouterr().out
    assert "30 data seeds (draws of labels), 120 runs" in shown
    assert "further rounds" not in shown


def test_few_test_images_are_warned_of_before_the_study_begins(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "only 8 test images: intervals will be about +- 0.35; more held-out images help most"
    assert study(*ONE, "data.test_per_class=4", "--dry-run") == 0
    assert warning in capsys.readouterr().out
    assert study(*ONE, "data.test_per_class=4") == 0
    assert warning in capsys.readouterr().out
    assert study(*ONE, "data.test_per_class=60", "study.name=many", "--dry-run") == 0
    assert "test images" not in capsys.readouterr().out


def test_few_seeds_are_warned_of_before_the_study_begins(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    for seeds, warned in ((2, True), (3, False)):
        assert study(*ONE, f"study.seeds={seeds}", f"study.name=of{seeds}", "--dry-run") == 0
        told = "with 2 data seeds hardly anything can be told apart, or from guessing; take study.seeds=5 or more"
        assert (told in capsys.readouterr().out) == warned
