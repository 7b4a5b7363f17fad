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


def test_copies_in_the_shifted_set_are_not_learned_from(source: Source, root: Path) -> None:
    pool, held_out = source.pool.names[0], source.held_out.names[0]
    for place, name in (("cat/1", pool), ("cat/2", pool), ("cat/3", held_out), ("cat/4", source.held_out.names[-1])):
        shutil.copy(root / "photos" / name, root / "drawn" / f"{place}.png")
    found = add_shifted(source, root / "drawn", some=False, reading=reading())
    assert [(copy.name, copy.same_as, copy.split, str(copy.kind)) for copy in found.copies] == [
        (pool, "shifted:cat/1.png", "train", "in data.shifted"),
        (source.held_out.names[-1], "shifted:cat/4.png", "test", "under two classes"),
        ("shifted:cat/2.png", "shifted:cat/1.png", "shifted", "counts once"),
        ("shifted:cat/4.png", source.held_out.names[-1], "shifted", "under two classes"),
    ]
    assert tuple(found.pool.names) == source.pool.names[1:]
    assert tuple(found.held_out.names) == source.held_out.names[:-1]
    assert len(found.shifted.names) == 8 + 2
    assert found.notes == (f"1 images of data.shifted are also in the test split, e.g. shifted:cat/3.png = {held_out}",)
    (root / "drawn" / "cat" / "1.png").unlink()
    (root / "drawn" / "cat" / "2.png").unlink()
    assert add_shifted(source, root / "drawn", some=False, reading=reading()).digest != found.digest


def test_a_class_of_the_shifted_set_needs_an_image(source: Source, root: Path) -> None:
    shutil.rmtree(root / "drawn" / "dog")
    (root / "drawn" / "dog").mkdir()
    shutil.copy(root / "drawn" / "cat" / "deep" / "0.png", root / "drawn" / "dog" / "0.png")
    with pytest.raises(DataError, match=r"data.shifted=.*no image of class dog is left in the split shifted.* 1 are"):
        add_shifted(source, root / "drawn", some=False, reading=reading())


def test_bad_images_are_named(source: Source, root: Path) -> None:
    (root / "drawn" / "cat" / "bad.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 9 images cannot be used:\n  shifted:cat/bad.png: not an image"):
        add_shifted(source, root / "drawn", some=False, reading=reading())
    shifted = add_shifted(source, root / "drawn", some=False, reading=reading(OnBad.skip))
    assert [name for name, _ in shifted.skipped] == ["shifted:cat/bad.png"]
