import shutil
from pathlib import Path

import pytest

from tests.data.test_neither import reading
from tlexp.config.data import OnBad
from tlexp.data import Source, add_shifted
from tlexp.errors import DataError

TREE = tuple(f"photos/{name}/{i}.png" for name in ("cat", "dog") for i in range(10))
DRAWN = tuple(f"drawn/{name}/deep/{i}.png" for name in ("cat", "dog") for i in range(4))


@pytest.fixture
def root(write) -> Path:
    return write(*TREE, *DRAWN)


@pytest.fixture
def source(root: Path, opened) -> Source:
    return opened(root / "photos")


def test_a_shifted_set_stands_beside_and_changes_nothing_else(source: Source, root: Path) -> None:
    shifted = add_shifted(source, root / "drawn", some=False, reading=reading())
    assert (shifted.pool, shifted.held_out, shifted.classes) == (source.pool, source.held_out, source.classes)
    assert source.shifted is None
    assert shifted.shifted.names == tuple(f"shifted:{name.removeprefix('drawn/')}" for name in sorted(DRAWN))
    assert shifted.shifted.labels.tolist() == [0] * 4 + [1] * 4
    assert shifted.digest != source.digest
    assert shifted.notes == ()


def test_other_classes_are_refused_by_name(source: Source, root: Path) -> None:
    (root / "drawn" / "dog").rename(root / "drawn" / "dogs")
    with pytest.raises(DataError) as error:
        add_shifted(source, root / "drawn", some=False, reading=reading())
    assert str(error.value) == (
        f"data.shifted={root / 'drawn'} has other classes than the run: missing dog; extra dogs; it needs one folder "
        "for each class of the run; data.classes=[...] keeps those that both have"
    )


def test_classes_that_the_run_leaves_out_may_lie_there_too(root: Path, opened, write) -> None:
    write("photos/emu/1.png", "photos/emu/2.png", "drawn/fox/1.png")
    some = opened(root / "photos", classes=["cat", "dog"])
    assert add_shifted(some, root / "drawn", some=True, reading=reading()).shifted.labels.tolist() == [0] * 4 + [1] * 4
    with pytest.raises(DataError, match="extra fox"):
        add_shifted(some, root / "drawn", some=False, reading=reading())
    with pytest.raises(DataError, match="missing emu"):
        add_shifted(opened(root / "photos"), root / "drawn", some=True, reading=reading())


def test_a_missing_folder_and_an_empty_class_are_refused(source: Source, root: Path) -> None:
    with pytest.raises(DataError, match=r"data.shifted=.*none does not exist; it needs a folder of images"):
        add_shifted(source, root / "none", some=False, reading=reading())
    shutil.rmtree(root / "drawn" / "cat" / "deep")
    with pytest.raises(DataError, match=r"data.shifted=.*drawn: no image in class cat"):
        add_shifted(source, root / "drawn", some=False, reading=reading())


def test_bad_images_and_images_of_the_pool_are_named(source: Source, root: Path) -> None:
    (root / "drawn" / "cat" / "bad.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 9 images cannot be used:\n  shifted:cat/bad.png: not an image"):
        add_shifted(source, root / "drawn", some=False, reading=reading())
    known = source.pool.names[0]
    shutil.copy(root / "photos" / known, root / "drawn" / "cat" / "copy.png")
    shifted = add_shifted(source, root / "drawn", some=False, reading=reading(OnBad.skip))
    assert [line.split(": ")[0] for line in shifted.skipped] == ["shifted:cat/bad.png"]
    assert shifted.notes == (
        f"1 images of data.shifted are also in the training pool, e.g. shifted:cat/copy.png = {known}",
    )
