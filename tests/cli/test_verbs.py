import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.conftest import Start
from tlexp.data import Images
from tlexp.doctor.gallery import Gallery
from tlexp.doctor.kinship import Kinship
from tlexp.tracking.sync import SyncReport

Run = Callable[..., int]


def test_plan_prints_json_and_nothing_else(tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert tlexp("plan", "--json", "backbone=vgg16", "freeze=last", "tracking=off") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["schema"] == 3, "another set of keys has another number"
    assert list(plan) == [
        "schema", "backbone", "policy", "depth", "frozen", "units", "backbone_parameters", "backbone_operations",
        "head_parameters", "trainable_parameters", "total_parameters", "phases", "images",
    ]  # fmt: skip
    assert list(plan["units"][0]) == [
        "index", "name", "parameters", "operations", "trainable_parameters", "trainable", "norm", "shape",
    ]  # fmt: skip
    assert plan["images"]["labels"] == "20"
    assert list(plan["images"]) == ["pool", "held_out", "labels", "drawn"]
    assert list(plan["phases"][0]) == ["share", "depth", "trainable_parameters"]
    assert plan["total_parameters"] == plan["backbone_parameters"] + plan["head_parameters"]
    assert plan["trainable_parameters"] < plan["total_parameters"]
    assert list(tmp_path.iterdir()) == []


def test_plan_for_people(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("plan", "backbone=tiny", "freeze=depth", "freeze.depth=layer1") == 0
    shown = capsys.readouterr().out
    assert "2 of 5 units wholly frozen" in shown
    assert tlexp("plan", "backbone=tiny", "freeze=depth", "freeze.depth=9") == 2
    assert "freeze.depth=9 is out of range" in capsys.readouterr().err


def test_the_card_of_an_export_has_the_command_as_it_is_typed(tlexp: Run, start: Start, tmp_path: Path) -> None:
    start("head=logreg", "labels=4", f"cache.dir='{tmp_path}/für später'")
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / ".hydra" / "hydra.yaml").write_text(
        "hydra: {job: {config_name: config}, runtime: {config_sources: [{path: my conf, provider: command-line}]}}"
    )
    assert tlexp("export", "run", "out") == 0
    [command] = re.findall(r"\| command \| `(.*)` \|", (tmp_path / "out" / "README.md").read_text())
    own = ["--config-dir", "my conf", "head=logreg", "labels=4", f"cache.dir={tmp_path}/für später"]
    assert shlex.split(command) == ["python", "-m", "tlexp", *own]


def test_plan_counts_the_images(tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for kind, count in (("cat", 10), ("dog", 20), ("elk", 5)):
        (tmp_path / "my photos" / kind).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "my photos" / kind / f"{number}.jpg").touch()
    words = ["data=folder", "data.root=my photos", "labels=0.5"]
    assert tlexp("plan", *words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "labels=0.5 draws 14 of 28 images of 3 classes (the smallest has 4); 7 others are held out for "
        "testing; reading leaves out copies"
    )
    assert tlexp("plan", "--json", *words) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["images"] == {
        "pool": {"cat": 8, "dog": 16, "elk": 4},
        "held_out": {"cat": 2, "dog": 4, "elk": 1},
        "labels": "0.5",
        "drawn": 14,
    }
    assert plan["head_parameters"] % 3 == 0


def test_sync_names_what_it_closed(
    tlexp: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = ((Path("r\x1b"), ("a", "b")),)

    def synced(*_: object, **__: object) -> SyncReport:
        broken = ((Path("a\nb"), "\x1b[2Jits server said so"),)
        closed = ("ab", "c\nd")
        elsewhere = ((4, "4 runs ask for another store"),)
        counts = {"written": 1, "present": 2, "untracked": 3, "shown": 5}
        return SyncReport(store="s", **counts, closed=closed, broken=broken, elsewhere=elsewhere, left_out=left)

    monkeypatch.setattr("tlexp.tracking.sync.sync", synced)
    assert tlexp("sync") == 3
    shown = capsys.readouterr()
    assert shown.err == "  a\\nb: \\x1b[2Jits server said so\n  4 runs ask for another store\n"
    assert shown.out.splitlines() == [
        "s: runs written: 1, there already: 2, made with tracking=off: 3, not written: 5, closed: 2, "
        "sweeps and studies shown: 5",
        "  ab: left open by a dead process, and has no record here; closed as KILLED",
        "  c\\nd: left open by a dead process, and has no record here; closed as KILLED",
        "  r\\x1b: written without a, b, which record.json does not vouch for",
    ]


def test_cache_lists_verifies_and_removes(tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = ["backbone=tiny", "data.per_class=8", "data.test_per_class=2", "labels=4", "train.limit_steps=1"]
    assert tlexp(*small, "tracking=off", f"cache.dir={tmp_path / 'kept'}") == 0
    capsys.readouterr()

    def said(*words: str, status: int = 0) -> str:
        assert tlexp("cache", *words, "--dir", str(tmp_path / "kept")) == status
        return capsys.readouterr().out

    assert "test_resnet, pooled, 64 px" in said()
    assert "0 bad" in said("verify")
    entry = next((tmp_path / "kept").rglob("*.safetensors"))
    entry.write_bytes(entry.read_bytes()[:-1])
    assert entry.name in said("verify", status=3)
    assert "files removed" in said("prune", "--max-bytes=0")
    assert said() == f"{tmp_path / 'kept'}: empty\n"
    assert "0 files removed" in said("clear")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            "cache prune",
            "tlexp cache: --max-bytes=BYTES belongs to prune, e.g. tlexp cache prune --max-bytes=1000000000",
        ),
        ("cache --max-bytes=1", "tlexp cache: --max-bytes=BYTES belongs to prune"),
        ("cache prune --max-bytes=-1", "tlexp cache: --max-bytes=BYTES belongs to prune"),
        ("cache purge", "tlexp cache: purge is none of list, verify, prune, clear (did you mean prune?)"),
        ("cache --halp", "tlexp cache: --halp does not belong here (did you mean --help?)"),
        ("report", "tlexp report: the following arguments are required: study"),
        ("sync --uri", "tlexp sync: argument --uri: expected one argument"),
    ],
)
def test_verbs_refuse_half_a_wish_in_one_line(
    words: str, text: str, tlexp: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tlexp(*words.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {text}")
    assert told.endswith(f"; see tlexp {words.split()[0]} --help\n")
    assert len(told.splitlines()) == 1


def test_verbs_still_help(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("cache", "--help") == 0
    assert "list|verify|prune|clear" in capsys.readouterr().out


def alone(gallery: Gallery) -> Kinship:
    """Return that no image shows what another one shows."""
    every = np.arange(len(gallery))
    return Kinship(pairs=(), copies=every, groups=every)


def test_doctor_finds_what_is_wrong_and_says_so(
    tlexp: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def extract(config: object, images: Images, *_: object, **__: object) -> Tensor:
        for place in range(len(images.labels)):
            images.read(place)
        return torch.from_numpy(images.labels)[:, None] + torch.arange(len(images.labels))[:, None] / 1e3

    monkeypatch.setattr("tlexp.doctor.checkup.extract_features", extract)
    monkeypatch.setattr("tlexp.doctor.checkup.find_kinship", lambda gallery, _: alone(gallery))
    words = [
        "doctor",
        "data.per_class=3",
        "data.test_per_class=2",
        "data.num_classes=2",
        "data.size=32",
        "labels=99",
        "data.seed=3",
    ]
    assert tlexp(*words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("shapes: 2 classes (circle 5, square 5); 6 images to learn from, 4 to test")
    images = "data.per_class=3 data.test_per_class=2 data.num_classes=2 data.size=32"
    quick, backbones = (re.split("  +", line) for line in shown.splitlines()[-2:])
    assert quick == ["next", f"python -m tlexp study=quick {images}", "a first answer: heads alone, no layer trained"]
    assert backbones == ["next", f"python -m tlexp study=backbones {images}", "which network; takes hours"]
    assert (tmp_path / "outputs" / "doctor-shapes" / "index.html").is_file()
    assert tlexp(*words, "--json", "--folder=here") == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["files"][0] == "here/index.html"
    folder = tmp_path / "photos"
    for number, name in enumerate(["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 10 + number).save(folder / f"{name}.png")
    (folder / "a" / "4.png").write_bytes(b"no image")
    monkeypatch.setattr("tlexp.api.console._SECONDS", 0)
    assert tlexp("doctor", "data=folder", "data.root=photos", "--folder", "here") == 3
    last = capsys.readouterr()
    assert "unreadable files" in last.out
    assert "\nnext" not in last.out, "first they are to be mended"
    assert re.search(r"^images: \d+ of \d read$", last.err, re.MULTILINE)
    assert (tmp_path / "here" / "bad-images.txt").is_file()
    for number, name in enumerate(["c/1", "c/2", "c/3", "mixed/1", "mixed/2", "mixed/3"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 20 + number).save(folder / f"{name}.png")
    whole = tmp_path / "my photos"
    whole.mkdir()
    (folder / "mixed").rename(whole / "mixed")
    folder.rename(whole / "sorted")
    meant = "data=folder data.on_bad=skip 'data.root=my photos/sorted'"
    words = (
        "doctor",
        "data=folder",
        "data.root=my photos",
        "data.on_bad=skip",
        "data.classes=[mixed,sorted]",
        "labels=99",
    )
    tlexp(*words, "--folder", "here")
    below, *here = (re.split("  +", line)[1:] for line in capsys.readouterr().out.splitlines()[-3:])
    assert below == [f"python -m tlexp doctor {meant}", "where the classes are those in sorted"]
    assert ["data.root=my photos'" in line for line, _ in here] == [True, True], "where sorted is one itself"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("data=folder data.root=nowhere", "data.root=nowhere"),
        ("--folder", "--folder takes one value, once: --folder=PATH"),
        ("--jsom", "--jsom is no flag (did you mean --json?)"),
        ("labels=5,20", "labels=5,20"),
    ],
)
def test_doctor_refuses_what_a_run_does(
    words: str, text: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp("doctor", *words.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {text}")
    assert list(tmp_path.iterdir()) == []
