"""Whole runs on images of the user's own: the way in which they are named changes nothing, and extras change little."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.experiment.conftest import Spy
from tlexp.data import Source
from tlexp.errors import ConfigError, DataError
from tlexp.experiment import images as images_module
from tlexp.experiment.export import export
from tlexp.experiment.run import Outcome
from tlexp.models.export import read_card
from tlexp.models.prior import PriorShift
from tlexp.tracking.names import SCORES
from tlexp.train import Listener

Start = Callable[..., Outcome]
WORDS = ["data=folder", "labels=5", "head=logreg"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two classes that differ in brightness, and folders of others and of shifted images."""
    rng = np.random.default_rng(0)
    levels = {"photos/cat": 90, "photos/dog": 150, "others/sea": 20, "drawn/cat": 110, "drawn/dog": 170}
    for place, level in levels.items():
        (tmp_path / place).mkdir(parents=True)
        for number in range(15):
            pixels = rng.normal(level, 60, (20, 24, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    return tmp_path / "photos"


def table_of(root: Path) -> Path:
    """Write a table of a folder's images beside it, and return its path."""
    table = root.parent / "labels.csv"
    files = sorted(root.glob("*/*.png"), reverse=True)
    table.write_text(
        "path,label\n" + "".join(f"{path.relative_to(root.parent)},{path.parent.name}\n" for path in files)
    )
    return table


def probabilities(folder: Path, name: str = "predictions.npz") -> Any:
    with np.load(folder / name) as file:
        return file["probability"]


def scores(outcome: Outcome) -> dict[str, float]:
    return {name: value for name, value in outcome.record.metrics.items() if not name.startswith("cost/")}


def test_a_run_on_a_table_or_through_timm_is_the_run_on_the_folder(start: Start, photos: Path, tmp_path: Path) -> None:
    folder = start(*WORDS, f"data.root={photos}", name="folder")
    ways = {
        "table": ["data=csv", f"data.root={table_of(photos)}"],
        "timm": ["data=timm", f"data.root={photos}"],
        "torchvision": ["data=timm", "data.name=torch/image_folder", f"data.root={photos}"],
    }
    for name, words in ways.items():
        other = start(*WORDS[1:], *words, name=name)
        assert scores(other) == scores(folder)
        assert other.record.data.counts == folder.record.data.counts
        assert np.array_equal(probabilities(tmp_path / name), probabilities(tmp_path / "folder"))
        assert other.record.train.cache.misses == 0, "features are found by content, whoever reads the images"


def test_a_shifted_set_is_read_once_after_all_choices_and_told_beside_the_test(
    start: Start, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = start(*WORDS, f"data.root={photos}", name="plain")
    spies: list[Spy] = []
    done: list[str] = []
    added = images_module.add_shifted

    def spied(*args: Any, **kwargs: Any) -> Source:
        source = added(*args, **kwargs)
        assert source.shifted is not None
        spies.append(Spy(source.shifted, lambda: bool(done)))
        object.__setattr__(source, "shifted", spies[0])
        return source

    class Final(Listener):
        def phase(self, title: str, steps: int) -> None:
            self.title = title

        def ended(self) -> None:
            done.extend([self.title] if self.title == "final" else [])

    monkeypatch.setattr(images_module, "add_shifted", spied)
    words = [*WORDS, f"data.root={photos}", f"data.shifted={tmp_path / 'drawn'}", "cache=off"]
    outcome = start(*words, name="shifted", listener=Final())
    assert sorted(spies[0].read_indices) == list(range(30))
    told = scores(outcome)
    assert {name for name in told if name not in scores(plain)} == {f"shifted/{score}" for score in SCORES}
    assert {name: told[name] for name in scores(plain)} == scores(plain)
    assert np.array_equal(probabilities(tmp_path / "shifted"), probabilities(tmp_path / "plain"))
    predicted = probabilities(tmp_path / "shifted", "predictions-shifted.npz")
    with np.load(tmp_path / "shifted" / "predictions-shifted.npz") as file:
        assert (predicted.argmax(1) == file["label"]).mean() == pytest.approx(told["shifted/accuracy"])
    assert told["shifted/nll"] != told["test/nll"]
    record = json.loads((tmp_path / "shifted" / "record.json").read_text())
    assert record["data"]["counts"]["shifted"] == {"cat": 15, "dog": 15}
    assert {"predictions.npz", "predictions-shifted.npz"} <= set(record["files"])
    evaluation = json.loads((tmp_path / "shifted" / "evaluation.json").read_text())
    assert evaluation["shifted"]["support"] == [15, 15]
    assert list(outcome.splits) == ["train", "val", "test", "shifted"]
    assert "shifted" not in plain.record.data.counts


def test_copies_are_told_counted_out_and_listed(start: Start, photos: Path, tmp_path: Path) -> None:
    plain = start(*WORDS, f"data.root={photos}", name="plain")
    assert not (tmp_path / "plain" / "copies.csv").exists()
    for path in sorted(photos.glob("*/*.png")):
        shutil.copy(path, path.with_name(f"{path.stem}x.png"))
    record = start(*WORDS, f"data.root={photos}").record
    assert "30 exact copies count once, e.g. cat/0x.png = cat/0.png; copies.csv lists them" in record.notes
    lines = (tmp_path / "run" / "copies.csv").read_text().splitlines()
    assert lines[:2] == ["name,same_as,split,why", "cat/0x.png,cat/0.png,train,counts once"]
    assert len(lines) == 31
    assert "copies.csv" in record.files
    assert record.data == plain.record.data
    assert np.array_equal(probabilities(tmp_path / "run"), probabilities(tmp_path / "plain"))


def test_neither_is_one_more_class_of_the_run(start: Start, photos: Path, tmp_path: Path) -> None:
    outcome = start(*WORDS, f"data.root={photos}", f"data.neither={tmp_path / 'others'}")
    counts = outcome.record.data.counts
    assert outcome.record.data.classes == ("cat", "dog", "neither")
    assert [set(counts[split].values()) for split in ("train", "val", "test")] == [{5}, {0}, {3}]
    assert probabilities(tmp_path / "run").shape == (9, 3)
    with pytest.raises(DataError, match=r"data.shifted=.*missing neither"):
        start(
            *WORDS,
            f"data.root={photos}",
            f"data.neither={tmp_path / 'others'}",
            f"data.shifted={tmp_path / 'drawn'}",
            name="shifted",
        )


def test_a_detector_of_one_class_is_told_apart_from_neither(start: Start, photos: Path, tmp_path: Path) -> None:
    words = [*WORDS, f"data.root={photos}", f"data.neither={tmp_path / 'others'}", "data.classes=[dog]"]
    assert start(*words).record.data.classes == ("dog", "neither")


@pytest.fixture
def unequal(photos: Path) -> Path:
    """The photographs with a third of the dogs: twelve cats and four dogs to learn from, three and one to test on."""
    for number in range(10):
        shutil.move(photos / "dog" / f"{number}.png", photos.parent / f"kept-{number}.png")
    return photos


@pytest.mark.parametrize("head", ["linear", "logreg", "ridge", "linear freeze=none train.limit_steps=8"])
def test_class_weights_reach_every_loss_of_a_run(start: Start, unequal: Path, tmp_path: Path, head: str) -> None:
    words = ["data=folder", f"data.root={unequal}", "labels=all", "train.limit_steps=20", *f"head={head}".split()]
    plain = start(*words, name="plain")
    weighed = start(*words, "train.class_weights=balanced", name="weighed")
    assert plain.record.train.class_weights is None
    assert plain.record.key != weighed.record.key
    assert weighed.record.train.class_weights == {"cat": 16 / 24, "dog": 16 / 8}
    rare = [probabilities(tmp_path / name)[:, 1].mean() for name in ("plain", "weighed")]
    assert rare[1] > rare[0] + 0.01
    assert weighed.record.metrics["val/loss"] != weighed.record.metrics["val/nll"]
    assert plain.record.metrics["val/loss"] == plain.record.metrics["val/nll"]


def test_a_head_starts_from_a_probe_of_the_same_weights(start: Start, unequal: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={unequal}", "labels=all", "train.class_weights=balanced"]
    start(*words, "head=logreg", name="solved")
    start(*words, "head.init=probe", "optim.lr=1e-12", "train.steps=1", name="started")
    solved, started = (probabilities(tmp_path / name) for name in ("solved", "started"))
    assert np.allclose(solved, started, atol=1e-5)


@pytest.mark.parametrize("words", ["head=linear", "head=nearest_mean", "head=knn", "train.class_weights=balanced"])
def test_predictions_are_for_the_frequencies_where_the_network_will_be_used(
    start: Start, unequal: Path, tmp_path: Path, words: str
) -> None:
    given = ["data=folder", f"data.root={unequal}", f"data.shifted={tmp_path / 'drawn'}", "labels=all", words]
    plain = start(*given, "train.limit_steps=20", name="plain")
    moved = start(*given, "train.limit_steps=20", "data.prior={dog:0.9,cat:0.1}", name="moved")
    counted = words in ("head=linear", "head=knn")
    learned = np.array([0.75, 0.25]) if counted else np.array([0.5, 0.5])
    for name in ("predictions.npz", "predictions-shifted.npz"):
        before = probabilities(tmp_path / "plain", name).astype(float)
        wanted = before * np.array([0.1, 0.9]) / learned
        after = probabilities(tmp_path / "moved", name)
        np.testing.assert_allclose(after, wanted / wanted.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
    assert moved.record.train.prior.wanted == {"cat": 0.1, "dog": 0.9}
    assert moved.record.train.prior.trained == pytest.approx(dict(zip(("cat", "dog"), learned, strict=True)))
    assert plain.record.train.prior is None
    assert plain.record.key != moved.record.key
    for name in ("train/nll", "val/nll"):
        assert plain.record.metrics[name] == moved.record.metrics[name]
    assert plain.record.metrics["test/nll"] != moved.record.metrics["test/nll"]
    with np.load(tmp_path / "moved" / "predictions.npz") as file:
        hits = file["probability"].argmax(1) == file["label"]
    assert moved.record.metrics["test/accuracy"] == pytest.approx(hits.mean())
    assert sum(note.startswith("data.prior: predictions of held-out images") for note in moved.record.notes) == 1


def test_an_export_says_what_its_predictions_were_corrected_to(start: Start, photos: Path, tmp_path: Path) -> None:
    start(*WORDS, f"data.root={photos}", "data.prior={cat:0.75,dog:0.25}", "train.save_weights=true")
    export(tmp_path / "run", tmp_path / "out", half=False)
    assert read_card(tmp_path / "out" / "model.json").card.prior == PriorShift(wanted=(0.75, 0.25), trained=(0.5, 0.5))
    assert (
        "| class frequencies | the weights learned cat 0.5, dog 0.5; the test's predictions are corrected to cat 0.75, "
        "dog 0.25: add log(wanted / trained) of model.json's prior to the divided logits |"
    ) in (tmp_path / "out" / "README.md").read_text()


def test_shares_go_by_the_names_of_folders_whatever_people_call_them(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.csv").write_text("dog,A hound\ncat,A tiger\n")
    words = [*WORDS, f"data.root={photos}", f"data.class_names={tmp_path / 'names.csv'}"]
    outcome = start(*words, "data.prior={dog:0.9,cat:0.1}")
    assert outcome.record.train.prior.wanted == {"A tiger": 0.1, "A hound": 0.9}
    with pytest.raises(ConfigError, match=r"data\.prior names hound, and there is no such class"):
        start(*words, "data.prior={hound:0.9,cat:0.1}", name="refused")
