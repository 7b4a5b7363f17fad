"""Folders of images as people have them: understood rightly or refused in words, never learned as something else."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlexp.data import Source
from tlexp.errors import DataError


def split(folder: str, count: int = 3, classes: Iterable[str] = ("cat", "dog")) -> list[str]:
    """Return the images of a split: so many of each class."""
    return [f"{folder}{name}/{number}.png" for name in classes for number in range(count)]


def counted(source: Source, images) -> dict[str, int]:
    return dict(zip(source.classes, np.bincount(images.labels).tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A layout, what is understood of it, and what is told of the rest."""

    files: list[str]
    pool_from: str = "train/"
    pool: int = 3
    held_out_from: str | None = "test/"
    held_out: int = 2
    classes: tuple[str, ...] = ("cat", "dog")
    notes: tuple[str, ...] = ()


def halves(train: str, test: str, **more) -> Wanted:
    """Return a layout of two trees."""
    return Wanted(files=split(train) + split(test, 2), **{"pool_from": train, "held_out_from": test, **more})


WANTED = {
    "train and test": halves("train/", "test/"),
    "training and validation": halves("training/", "validation/"),
    "Training and Testing": halves("Training/", "Testing/"),
    "TRAIN and TEST": halves("TRAIN/", "TEST/"),
    "train_set and test_set": halves("train_set/", "test_set/"),
    "training_set and test_set": halves("training_set/", "test_set/"),
    "trn and tst": halves("trn/", "tst/"),
    "train and dev": halves("train/", "dev/"),
    "train and valid": halves("train/", "valid/"),
    "train and holdout": halves("train/", "hold-out/"),
    "TrainSet and ValidationSet": halves("TrainSet/", "ValidationSet/"),
    "train2017 and val2017": halves("train2017/", "val2017/"),
    "Training Images and Test Images": halves("Training Images/", "Test Images/"),
    "seg_train in seg_train": halves("seg_train/seg_train/", "seg_test/seg_test/"),
    "training, validation and evaluation": Wanted(
        files=split("training/") + split("validation/", 1) + split("evaluation/", 2),
        pool_from="training/",
        held_out_from="evaluation/",
        notes=("validation beside evaluation is not used: evaluation is held out as the test split",),
    ),
    "images without labels beside them": Wanted(
        files=[*split("seg_train/"), *split("seg_test/", 2), "seg_pred/1.png", "seg_pred/2.png"],
        pool_from="seg_train/",
        held_out_from="seg_test/",
        notes=("folders beside seg_train are not used: seg_pred (2 images, e.g. seg_pred/1.png)",),
    ),
    "the same once more inside": Wanted(
        files=[*split("train/"), *split("test/", 2), *split("chest/train/"), "loose.png"],
        notes=(
            "folders beside train are not used: chest (6 images, e.g. chest/train/cat/0.png)",
            "images beside train are not used: 1, e.g. loose.png",
        ),
    ),
    "one tree": Wanted(files=split("", 10), pool_from="ROOT/", pool=8, held_out_from=None),
    "train alone": Wanted(files=split("train/", 10), pool=8, held_out_from=None),
    "a class called train": Wanted(
        files=split("", 10, ("plane", "train")),
        pool_from="ROOT/",
        pool=8,
        held_out_from=None,
        classes=("plane", "train"),
    ),
    "images one folder below their classes": Wanted(
        files=[f"{name}/images/{number}.png" for name in ("n01", "n02") for number in range(10)],
        pool_from="ROOT/",
        pool=8,
        held_out_from=None,
        classes=("n01", "n02"),
    ),
    "several folders below a class": Wanted(
        files=[*split("", 10)[2:], "cat/kittens/1.png", "cat/lions/1.png"],
        pool_from="ROOT/",
        pool=8,
        held_out_from=None,
        notes=(
            "images lie in folders inside 1 of the class folders, e.g. cat holds kittens, lions; all below a class "
            "folder belongs to its class",
        ),
    ),
    "other files": Wanted(
        files=[*split("train/"), *split("test/", 2), "train/cat/1.txt", "train/dog/2.txt", "test/cat/LICENSE"],
        notes=("3 files are not used: 2 .txt (e.g. train/cat/1.txt), 1 without extension (e.g. test/cat/LICENSE)",),
    ),
}


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Make a folder of images, each with content of its own, of other files, and of empty folders."""

    def built(files: Iterable[str]) -> Path:
        root = tmp_path / "photos"
        for name in files:
            path = root / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if name.endswith(".png"):
                seed = int.from_bytes(name.encode(), "big")
                pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
            elif not name.endswith("/"):
                path.write_text("x")
        return root

    return built


@pytest.mark.parametrize("name", WANTED)
def test_a_usable_layout_is_understood(name: str, build, opened) -> None:
    layout = WANTED[name]
    root = build(layout.files)
    source = opened(root)
    assert source.classes == layout.classes
    assert source.pool_from == layout.pool_from.replace("ROOT", str(root))
    assert source.held_out_from == layout.held_out_from
    parts = [counted(source, images) for images in (source.pool, source.held_out)]
    assert parts == [dict.fromkeys(layout.classes, count) for count in (layout.pool, layout.held_out)]
    assert source.notes == layout.notes


HOPELESS = {
    "test without train": (
        split("test/") + split("val/"),
        "has test, val but no train folder; data.root needs one folder per class",
    ),
    "train beside Train": (
        split("train/") + split("Train/"),
        "Train and train both mean the train split; rename or remove all but one, or name the folders with "
        "data.train=DIR data.test=DIR",
    ),
    "val beside validation": (
        split("train/") + split("val/") + split("validation/"),
        "val and validation both mean the val split; rename or remove all but one",
    ),
    "test among classes": (
        [*split(""), "test/1.png", "test/2.png"],
        "has test beside other folders and no train folder, so it may be a split or a class; data.train=ROOT takes "
        "every folder as a class, 'data.classes=[cat,dog]' leaves it out",
    ),
    "a class called train with folders in it": (
        [*split("train/", 2, ("vid1", "vid2")), *split("", 2, ("boxing", "running"))],
        "has train with folders in it beside images in boxing and no test folder, so it may be a split or a class; "
        "data.train=ROOT/train takes the classes in it, data.train=ROOT every folder as a class",
    ),
    "valid among classes": (
        split("", 3, ("invalid", "valid")),
        "has valid beside other folders and no train folder, so it may be a split or a class; data.train=ROOT",
    ),
    "splits inside the classes": (
        [f"{name}/{part}/{i}.png" for name in ("cat", "dog") for part in ("test", "train") for i in range(2)],
        "its folders cat, dog all hold train, test: move the images to train/cat and so on, or data.train=ROOT takes "
        "all below a folder as one class",
    ),
    "sets beside each other": (
        [file for kind in ("color", "grayscale") for file in split(f"{kind}/")],
        "its folders color, grayscale all hold cat, dog, so it is one folder too high; did you mean "
        "data.root=ROOT/color or data.root=ROOT/grayscale? Else data.train=ROOT takes all below a folder as one class",
    ),
    "sets with splits beside each other": (
        [file for part in ("a", "b") for kind in ("train", "test") for file in split(f"{part}/{kind}/")],
        "its folders a, b all hold train, test, so it is one folder too high; did you mean data.root=ROOT/a or "
        "data.root=ROOT/b?",
    ),
    "a single folder inside": (
        split("archive/train/") + split("archive/test/"),
        "one class only (archive), at least two are needed; did you mean data.root=ROOT/archive?",
    ),
    "the set two folders below": (
        [*split("dtd/images/"), "dtd/labels/train1.txt", "dtd/imdb/imdb.mat"],
        "one class only (dtd), at least two are needed; did you mean data.root=ROOT/dtd/images?",
    ),
    "annotations beside the images": (
        [*split("images/"), "annotations/1.xml"],
        "holds annotations, images, which are no classes by their names; did you mean data.root=ROOT/images?",
    ),
    "no image in a folder beside": (
        [*split("images/"), "imdb/imdb.mat", "labels/train1.txt"],
        "no image in class imdb, labels; did you mean data.root=ROOT/images? Else add images",
    ),
    "flat images beside their masks": (
        ["images/1.png", "images/2.png", "masks/1.png", "masks/2.png"],
        "holds images, masks, which are no classes by their names; make one folder per class",
    ),
    "boxes in splits": (
        ["train/images/1.png", "train/labels/1.txt", "test/images/1.png", "test/labels/1.txt"],
        "folder train holds images, labels, which are no classes by their names; make one folder per class",
    ),
    "flat": (
        ["1.png", "2.png", "3.png"],
        "no class folders, but 3 images in it, e.g. 1.png; make one folder per class (photos/cat, photos/dog), or name "
        "the class of each in a table (data=csv data.root=labels.csv)",
    ),
    "flat with classes in the names": (
        [f"{name}.{number}.png" for name in ("cat", "dog") for number in range(4)],
        "(data=csv data.root=labels.csv); their names begin with cat, dog: if those are the classes, sort them into "
        "such folders",
    ),
    "flat splits": (
        ["train/cat.1.png", "train/cat.2.png", "train/dog.1.png", "train/dog.2.png", "test1/1.png"],
        "folder train: no class folders, but 4 images in it, e.g. cat.1.png; make one folder per class (train/cat, "
        "train/dog), or name the class of each in a table (data=csv data.root=labels.csv); their names begin with cat",
    ),
    "test images without labels": (
        [*split("train/"), "test/1.png", "test/2.png"],
        "folder test: no class folders, but 2 images in it, e.g. 1.png; make one folder per class (test/cat, "
        "test/dog), or name the class of each in a table (data=csv data.root=labels.csv); data.train=ROOT/train "
        "without data.test holds out a fifth instead",
    ),
    "a validation folder with no classes": (
        [*split("train/"), "val/images/1.png"],
        "folder val: one class only (images), at least two are needed; data.root needs one folder per class (root/cat, "
        "root/dog), or root/train and root/test with such folders; data.train=ROOT/train without data.test",
    ),
    "classes that only a machine tells apart": (
        [*split("", 2), "cat\u200b/1.png"],
        "classes cat and cat\\u200b differ only in case, blanks, invisible characters or the coding of letters",
    ),
    "classes in letters of another width": (
        ["cat/1.png", "\uff43\uff41\uff54/1.png"],
        "classes cat and \\uff43\\uff41\\uff54 differ only in case",
    ),
    "nothing": (["notes.txt"], "holds no folder; data.root needs one folder per class"),
    "only empty folders": (["cat/", "dog/"], "no image in class cat, dog; add images or remove the folder"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_a_layout_without_use_is_refused_with_the_way_out(name: str, build, opened) -> None:
    files, sentence = HOPELESS[name]
    root = build(files)
    with pytest.raises(DataError) as error:
        opened(root)
    message = str(error.value)
    assert message.startswith(f"data.root={root}")
    assert sentence.replace("ROOT", str(root)) in message
    assert len(message.replace(str(root), "ROOT")) < 420, "one or two sentences"


def test_stated_classes_may_be_called_as_splits_are(build, opened) -> None:
    root = build(split("", 10, ("cat", "dog", "test")))
    assert opened(root, classes=["cat", "test"]).classes == ("cat", "test")
    assert opened(root, classes=["cat", "dog"]).classes == ("cat", "dog")
    assert opened(train=root).classes == ("cat", "dog", "test")


def test_a_path_that_is_no_folder_is_refused_with_what_is_alike(build, opened) -> None:
    root = build([*split(""), "labels.csv"])

    def refused(path: Path) -> str:
        with pytest.raises(DataError) as error:
            opened(path)
        return str(error.value)

    absent, table, packed = root.with_name("Fotos"), root / "labels.csv", root / "photos.zip"
    packed.touch()
    assert f"data.root={absent} does not exist (did you mean {root}?); data.root needs" in refused(absent)
    assert f"does not exist (did you mean {root}?)" in refused(absent / "train")
    assert f"{table} is not a folder; a table of images is read by data=csv data.root={table}" in refused(table)
    assert "photos.zip is not a folder; unpack it first: data.root needs" in refused(packed)


class TestTrainAndTest:
    """data.train and data.test, two folders anywhere."""

    def test_they_are_the_same_source_wherever_they_lie(self, build, opened, tmp_path: Path) -> None:
        root = build(split("train/") + split("test/", 2))
        whole = opened(root)
        apart = opened(train=root / "train", test=root / "test")
        shutil.copytree(root / "train", tmp_path / "here")
        shutil.copytree(root / "test", tmp_path / "elsewhere" / "there")
        moved = opened(train=tmp_path / "here", test=tmp_path / "elsewhere" / "there")
        assert whole.digest == apart.digest == moved.digest
        assert moved.pool.names == whole.pool.names
        assert (moved.pool_from, moved.held_out_from) == (f"{tmp_path}/here/", f"{tmp_path}/elsewhere/there/")

    def test_train_alone_is_one_tree(self, build, opened) -> None:
        root = build(split("", 10))
        alone = opened(train=root)
        assert alone.digest == opened(root).digest
        assert (alone.pool_from, alone.held_out_from) == (f"{root}/", None)

    def test_what_they_name_is_taken_at_its_word(self, build, opened) -> None:
        for files in (
            split("", 10, ("images", "masks")),
            [f"{a}/{b}/{i}.png" for a in "cd" for b in "xy" for i in "12"],
        ):
            root = build(files)
            with pytest.raises(DataError, match=f"data.train={root} takes all below a folder as one class"):
                opened(root)
            assert opened(train=root).classes == tuple(sorted({name.partition("/")[0] for name in files}))
            shutil.rmtree(root)

    def test_folders_of_splits_and_of_other_classes_are_refused(self, build, opened, tmp_path: Path) -> None:
        root = build(split("train/") + split("test/"))
        with pytest.raises(
            DataError, match=f"holds test, train, which are no classes by their names; did you mean data.root={root}?"
        ):
            opened(train=root)
        shutil.rmtree(root / "test" / "dog")
        (root / "test" / "cow").mkdir()
        with pytest.raises(DataError, match=f"data.test={root}/test has other classes than data.train={root}/train: "):
            opened(train=root / "train", test=root / "test")
        with pytest.raises(DataError, match=r"data.test=.*/tset does not exist .did you mean .*/test.*; it needs one"):
            opened(train=root / "train", test=root / "tset")

    @pytest.mark.parametrize(("train", "test"), [("a", "a"), ("a", "a/cat"), ("a/cat", "a"), ("a", "b")])
    def test_one_folder_for_both_is_refused(self, train: str, test: str, build, opened) -> None:
        root = build(split("a/"))
        (root / "b").symlink_to("a")
        relation = "lie one inside the other" if "cat" in train + test else "are the same folder"
        with pytest.raises(DataError, match=f"{relation}, so that images would be tested that were learned"):
            opened(train=root / train, test=root / test)

    def test_links_out_of_them_are_refused_unless_followed(self, build, opened) -> None:
        root = build(split("a/") + split("b/") + ["c/1.png"])
        (root / "a" / "cat" / "out.png").symlink_to(root / "c" / "1.png")
        with pytest.raises(
            DataError, match=r"train/cat/out.png: a link out of data.train, which data.follow_links=true"
        ):
            opened(train=root / "a", test=root / "b")
        assert len(opened(train=root / "a", test=root / "b", follow_links=True).pool.names) == 7


# --- sets as they are published, where a folder holds some

SETS = os.environ.get("TLEXP_SETS")


def two_splits(path: Path) -> tuple[Path, Path]:
    """Return the two splits of a set."""
    return path / "train", next(path / name for name in ("test", "val") if (path / name).is_dir())


def link(source: Path, target: Path, count: int) -> None:
    """Link the first images of each class, so that a layout of a large set is quickly read."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (target / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:count]:
            shutil.copyfile(image, target / folder.name / image.name)


SPELLED = [
    ("train", "test"),
    ("training", "validation"),
    ("Training", "Testing"),
    ("train_set", "test_set"),
    ("seg_train/seg_train", "seg_test/seg_test"),
    ("trn", "holdout"),
]
REAL = ["hymenoptera", "cats_vs_dogs", "cifar10", "omniglot242"]
FIFTEEN = [(name, *spelled) for place, (name, spelled) in enumerate(itertools.product(REAL, SPELLED)) if place % 8 < 5]
"""Each set and each spelling several times."""


@pytest.mark.skipif(SETS is None, reason="TLEXP_SETS names no folder with sets of images")
@pytest.mark.parametrize(("name", "train", "test"), FIFTEEN)
def test_a_published_set_is_understood_however_its_splits_are_called(
    name: str, train: str, test: str, tmp_path: Path, opened
) -> None:
    kept, tested = two_splits(Path(str(SETS)) / name)
    link(kept, tmp_path / "set" / train, 4)
    link(tested, tmp_path / "set" / test, 2)
    source = opened(tmp_path / "set", max_pixels=10**8)
    assert source.classes == tuple(sorted(path.name for path in kept.iterdir() if path.is_dir()))
    assert (source.pool_from, source.held_out_from) == (f"{train}/", f"{test}/")
    assert set(np.bincount(source.pool.labels).tolist()) == {4}
    assert set(np.bincount(source.held_out.labels).tolist()) == {2}
