"""Every ready experiment has a header that says what it is for, and works: one step of it, small."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.studies.conftest import leave_unmeasured
from tlexp import cli
from tlexp.paths import conf_folder, conf_options

STUDIES = ("faster_than_scratch", "more_labels_less_freezing")
SMALL = {
    "shapes": ["labels=2"],
    "photos": ["labels=2"],
    "vgg16_binary": [],
    "frozen_base": ["labels=2", "backbone.weights=null"],
    "cat_detector": ["labels=2", "backbone.weights=null"],
    "pretrain_tiny": [],
    "chain_first": [],
    "chain_second": ["labels=2", "backbone.weights=null"],
}
"""Experiment -> what makes it small, beside one step on small random networks."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of six plain images for training and two for validation."""
    for split, count in (("train", 6), ("val", 2)):
        for number, name in enumerate(("ants", "bees")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for shade in range(count):
                image = Image.new("RGB", (40, 36), (30 * shade, 200 * number, 7 * count))
                image.save(folder / f"{shade}.png")
    return tmp_path / "photos"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Six other images."""
    folder = tmp_path / "others"
    folder.mkdir()
    for shade in range(6):
        Image.new("RGB", (40, 36), (0, 40 * shade, 255)).save(folder / f"{shade}.png")
    return folder


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tlexp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_every_experiment_is_run_here() -> None:
    assert sorted([*SMALL, *STUDIES]) == sorted(conf_options("experiment"))


@pytest.mark.parametrize("name", conf_options("experiment"))
def test_the_header_says_claim_command_and_what_was_measured(name: str) -> None:
    text = (conf_folder() / "experiment" / f"{name}.yaml").read_text()
    header = text[: text.index("\ndefaults:")]
    parts = dict(re.findall(r"^# (\w+): (.+(?:\n#   .+)*)", header, re.M))
    assert list(parts) == ["Claim", "Command", "Expected"]
    assert re.search(rf"python -m tlexp (-m )?experiment={name}\b", parts["Command"])
    assert re.search(r"\d", parts["Expected"])


@pytest.mark.parametrize("name", SMALL)
def test_one_step_works(name: str, photos: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [f"experiment={name}", "backbone.pretrained=false", "backbone.image_size=32", "tracking=off"]
    words += ["train.epochs=null", f"train.limit_steps={2 if name == 'frozen_base' else 1}", *SMALL[name]]
    if "data: folder" in (conf_folder() / "experiment" / f"{name}.yaml").read_text():
        words.append(f"data.root={photos}")
    if name == "cat_detector":
        words.append(f"data.neither={others}")
    assert command(monkeypatch, *dict.fromkeys(words)) == 0
    assert len(list((tmp_path / "outputs").glob("*/record.json"))) == 1


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_what_its_preset_makes_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    leave_unmeasured(monkeypatch)
    assert command(monkeypatch, f"experiment={name}", "study.labels=[2]", "study.scratch_labels=[2]", "--dry-run") == 0
    assert re.search(r"study multirun/depths-shapes-.*\n(.*\n)*freeze-0 ", capsys.readouterr().out)
