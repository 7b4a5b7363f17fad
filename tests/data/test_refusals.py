import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.data.refusals import better, did_you_mean, flat, nested, no_class, unused

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Make empty files, for no image is opened."""

    def touched(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return touched


def test_better_folders_are_those_of_the_first_level_that_has_any(touch: Touch) -> None:
    root = touch(*(f"x/{part}/{name}/1.png" for part in ("one", "two", "two/more") for name in "ab"), "notes/1.txt")
    assert better(root / "x" / "two") == [root / "x" / "two" / "more"]
    shutil.rmtree(root / "x" / "two" / "more")
    assert better(root) == [root / "x" / "one", root / "x" / "two"]
    assert better(root / "notes") == []


def test_a_folder_with_training_images_is_better_whatever_lies_beside_them(touch: Touch) -> None:
    root = touch(*(f"set/{part}/{name}/1.png" for part in ("Training", "extra") for name in "ab"))
    assert better(root) == [root / "set"]


def test_masks_beside_images_are_no_classes(touch: Touch) -> None:
    assert better(touch("set/images/1.png", "set/masks/1.png")) == []
    assert [name for name in ("Images", "boxes", "Labels", "val", "cat", "listing", "unmasked") if no_class(name)] == [
        "Images",
        "boxes",
        "Labels",
        "val",
    ]


def test_three_folders_are_offered_and_the_others_counted() -> None:
    found = [Path(name) for name in "abcd"]
    assert did_you_mean("data.root", []) == ""
    assert did_you_mean("data.root", found[:2]) == "did you mean data.root=a or data.root=b?"
    assert did_you_mean("data.root", found).endswith("data.root=c or another of 4?")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg"], "cat, dog"),
        (["Abyssinian_1.jpg", "Abyssinian_2.jpg", "great_pyrenees_1.jpg", "great_pyrenees_2.jpg"], "great_pyrenees"),
        (["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"], None),
        (["one.jpg", "two.jpg", "three.jpg"], None),
        (["a1.jpg", "b2.jpg", "c3.jpg"], None),
    ],
)
def test_beginnings_that_many_names_share_may_be_classes(names: list[str], told: str | None) -> None:
    message = flat("data.root=x", Path("x"), names)
    assert (told is not None) == ("if those are the classes" in message)
    assert told is None or told in message


def test_a_split_is_entered_where_it_holds_itself_alone(touch: Touch) -> None:
    root = touch("seg_train/seg_train/a/1.png", "train/train/1.png", "test/test/a/1.png", "test/other/1.png")
    assert nested(root / "seg_train") == root / "seg_train" / "seg_train"
    assert nested(root / "train") == root / "train", "the class is called so"
    assert nested(root / "test") == root / "test"


def test_a_folder_that_is_not_used_is_told_with_an_example(touch: Touch) -> None:
    root = touch("pred/deep/2.png", "pred/1.jpg", "pred/notes.txt", "pred/.hidden.png", "docs/a.txt")
    assert unused(root / "pred") == "pred (2 images, e.g. pred/1.jpg)"
    assert unused(root / "docs") == "docs (0 images)"


def test_the_folder_above_that_of_a_class_is_offered(touch: Touch) -> None:
    root = touch("cat/1.png", "dog/1.png", "dog/day/1.png")
    told = flat("data.root=x", root / "cat", ["1.png"], setting="data.root")
    assert told == f"data.root=x: no class folders, but 1 image in it, e.g. 1.png; did you mean data.root={root}?"
    assert "did you mean" not in flat("data.test=x", root / "cat", ["1.png"])
    assert "did you mean" not in flat("data.root=x", root / "dog" / "day", ["1.png"], setting="data.root")
