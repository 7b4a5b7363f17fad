"""Folders of images that would be learned as something else: each is learned right, or what is wrong is named."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import an_origin
from tlexp.config.data import DataSource, OnBad
from tlexp.data import Decoding, Reading, Source
from tlexp.errors import DataError

FOLDER, TIMM = DataSource.folder, DataSource.timm


def images(folder: str, count: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    return [f"{folder}{name}/{number}.png" for name in classes for number in range(count)]


def halves(train: str, test: str, **more: Any) -> "Layout":
    """Return a layout of two trees that can only mean train and test."""
    return Layout(images(train) + images(test, 2), pool=3, held_out=2, **more)


@dataclass(frozen=True)
class Layout:
    """Files, and what people mean by them.

    Attributes:
        files: Of images; what ends in a slash is an empty folder.
        pool: Images of each class to learn from; None where the layout means nothing, and has to be refused.
        held_out: Images of each class to test on.
        classes: What people mean.
        told: Has to stand in a note or in the refusal.
        kind: Who reads it.
        asked: Settings of the source.
    """

    files: list[str]
    pool: int | None = None
    held_out: int | None = None
    classes: tuple[str, ...] = ("cat", "dog")
    told: str = ""
    kind: DataSource = FOLDER
    asked: dict[str, Any] = field(default_factory=dict)


PAIRS = [
    ("train", "test"), ("Train", "Test"), ("Training", "Test"), ("Training", "Testing"), ("training_set", "test_set"),
    ("seg_train", "seg_test"), ("seg_train/seg_train", "seg_test/seg_test"), ("TRAIN", "VAL"), ("trn", "tst"),
    ("train", "holdout"), ("train_images", "validation_images"), ("train2017", "val2017"),
]  # fmt: skip
CYCLE = [f"{name}/{number}.png" for name in ("testA", "testB", "trainA", "trainB") for number in range(5)]
TWINS = ("cat", "Cat"), ("cat", "cat\u200b"), ("cat", "\u2060cat"), ("caf\u00e9", "cafe\u0301"), ("cat", "cat ")
LOOKS = ("cat", "c\u0430t"), ("\u0441\u043e\u0440", "cop"), ("O", "0")
LAYOUTS = {
    **{f"{train} and {test}": halves(f"{train}/", f"{test}/") for train, test in PAIRS},
    **{f"{train} and {test}, by timm": halves(f"{train}/", f"{test}/", kind=TIMM) for train, test in PAIRS[1:6]},
    "train beside Train": Layout(images("train/") + images("Train/"), told="Train and train both mean"),
    "test beside TEST": Layout(images("train/") + images("test/") + images("TEST/"), told="TEST and test both mean"),
    "train beside Train, by timm": Layout(images("train/") + images("Train/"), told="both mean", kind=TIMM),
    "train1 and train2": Layout(images("train1/") + images("train2/") + images("test/"), told="both mean the train"),
    "domains in splits": Layout(CYCLE, told="no classes by their names"),
    "splits named as a tree": Layout(
        images("train/") + images("test/") + images("", 5, ("other",)),
        told="are called as splits are",
        asked={"tree": True},
    ),
    "a fold a folder": Layout(
        [file for fold in "12345" for file in images(f"fold{fold}/")], told="one folder too high"
    ),
    "a class that the test lacks": Layout(
        images("train/", 3, ("ant", "cat", "dog")) + images("test/", 2), told="missing ant"
    ),
    "a class that training lacks": Layout(
        images("train/") + images("test/", 2, ("ant", "cat", "dog")), told="extra ant"
    ),
    "another coding in the test": Layout(
        images("train/", 3, ("caf\u00e9", "tea")) + images("test/", 3, ("cafe\u0301", "tea")),
        told="missing caf\\xe9; extra cafe\\u0301",
    ),
    "an empty class": Layout([*images("", 5), "owl/"], told="no image in class owl"),
    "a hidden folder": Layout([*images("", 5), ".ipynb_checkpoints/1.png"], 4, 1),
    "a hidden folder, by timm": Layout(images("", 5, (".ipynb_checkpoints", "cat", "dog")), told="hidden", kind=TIMM),
    "litter of a file manager": Layout([*images("", 5), "__MACOSX/cat/1.png", "cat/._1.png"], 4, 1),
    "masks beside images": Layout(["images/1.png", "images/2.png", "masks/1.png", "masks/2.png"], told="no classes"),
    "one folder too high": Layout(images("set/train/") + images("set/test/"), told="did you mean"),
    "flat": Layout(["cat.1.png", "cat.2.png", "dog.1.png", "dog.2.png"], told="no class folders"),
    "splits inside classes": Layout(
        [f"{name}/{split}/{i}.png" for name in ("cat", "dog") for split in ("train", "test") for i in range(3)],
        told="all hold train, test",
    ),
    "numbered classes": Layout(images("", 5, ("1", "10", "9")), 4, 1, classes=("1", "10", "9")),
    "a class called train": Layout(images("", 5, ("bus", "train")), 4, 1, classes=("bus", "train")),
    "a class called as a split": Layout(images("", 5, ("cat", "valid")), told="may be a split or a class"),
    "images beside the classes": Layout([*images("", 5), "1.png"], 4, 1, told="1 file is not used: 1 .png"),
    "unlabelled images beside": Layout(
        [*images("train/"), *images("test/", 2), "pred/1.png"], 3, 2, told="pred (1 image"
    ),
    "deeper folders": Layout([*images("", 4), "cat/a/1.png", "cat/b/2.png", "dog/a/1.png", "dog/b/1.png"], told="a, b"),
    **{f"twins {twins!a}": Layout(images("", 5, twins), told="differ only in case, blanks") for twins in TWINS},
    **{f"like {pair!a}": Layout(images("", 5, pair), 4, 1, tuple(sorted(pair)), "look alike") for pair in LOOKS},
    "letters of two alphabets": Layout(
        images("", 5, ("d\u043eg", "owl")), 4, 1, ("d\u043eg", "owl"), "mixes letters that look alike"
    ),
    "a name with a sign without width": Layout(
        images("", 5, ("cat\u200b", "dog")), 4, 1, ("cat\\u200b", "dog"), "characters that do not show"
    ),
    "a blank at the end": Layout(images("", 5, ("cat ", "dog")), 4, 1, ("cat ", "dog"), "begins or ends with a blank"),
}


def build(layout: Layout, root: Path) -> None:
    """Write a layout, each image with content of its own."""
    for number, name in enumerate(layout.files):
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            pixels = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)


def opened(layout: Layout, root: Path) -> Source:
    asked = {"root": root, **layout.asked}
    if asked.pop("tree", False):
        asked = {"root": None, "train": root}
    origin = an_origin(layout.kind, asked.pop("root"), **asked)
    reading = Reading(
        on_bad=OnBad.refuse,
        follow_links=False,
        decoding=Decoding(max_pixels=10**6),
        progress=lambda done, count: None,
    )
    return origin.open(classes=None, at_least=2, source_seed=0, reading=reading)


def fault(layout: Layout, root: Path) -> str | None:
    """Return what is learned wrongly in silence; None where all is right or told."""
    build(layout, root)
    if len(list(root.iterdir())) < len({name.partition("/")[0] for name in layout.files}):
        return None  # this file system merges such names
    try:
        source = opened(layout, root)
    except DataError as error:
        return None if layout.pool is None and layout.told in str(error) else f"refused: {error}"
    told = "\n".join(source.notes)
    if layout.told not in told:
        return f"learned {source.classes} and told {told!r}"
    if layout.pool is None:
        return None if layout.told else f"learned {source.classes}"
    splits = (source.pool, source.held_out)
    counts = [np.bincount(split.labels, minlength=len(source.classes)).tolist() for split in splits]
    wanted = [[count] * len(layout.classes) for count in (layout.pool, layout.held_out)]
    return None if (source.classes, counts) == (layout.classes, wanted) else f"learned {source.classes}, {counts}"


def faults(root: Path) -> dict[str, str]:
    found = {name: fault(layout, root / str(place)) for place, (name, layout) in enumerate(LAYOUTS.items())}
    return {name: what for name, what in found.items() if what is not None}


def test_no_layout_is_learned_wrongly_in_silence(tmp_path: Path) -> None:
    assert len(LAYOUTS) >= 26
    assert faults(tmp_path) == {}


def planted_spellings(patch: pytest.MonkeyPatch) -> None:
    spelled = "tlexp.data.splits._MEANS"
    patch.setattr(spelled, {"train": "train", "test": "test"})


def planted_twins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tlexp.data.classes.alike", lambda names: None)


def planted_names(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tlexp.data.checked.name_notes", lambda classes: iter(()))


def planted_doubles(patch: pytest.MonkeyPatch) -> None:
    for module in ("split_folders", "timm_source"):
        patch.setattr(f"tlexp.data.{module}.require_one_each", lambda *args, **more: None)


PLANTED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "two spellings alone are known": (planted_spellings, "Training and Testing"),
    "twins are not looked for": (planted_twins, "twins ('cat', 'Cat')"),
    "names are not looked at": (planted_names, "letters of two alphabets"),
    "of two splits one is taken": (planted_doubles, "train beside Train"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_harness_sees_a_planted_bug(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, victim = PLANTED[bug]
    plant(monkeypatch)
    assert fault(LAYOUTS[victim], tmp_path) is not None
