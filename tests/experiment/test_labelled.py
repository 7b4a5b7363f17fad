"""Classes of photographs are those that the network knows by their names."""

import shutil
from pathlib import Path

import pytest

from tests.photographs import CLASSES, draw_photos
from tlexp.errors import DataError
from tlexp.experiment.labelled import find_labelled


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos"))


def test_classes_are_matched_by_name_and_others_are_named(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "test" / "dog", tmp_path / "dog")
    shutil.copytree(photos / "test" / "cat", tmp_path / "elk")
    found = find_labelled(tmp_path, CLASSES, follow_links=False)
    assert set(found.labels.values()) == {1}
    assert (len(found.photos), found.unknown) == (5, 5)
    assert found.notes == (
        "5 images are left out, since the network does not know their classes: elk",
        "no images of cat",
    )
    table = tmp_path / "table.csv"
    table.write_text("path,label\ndog/1.jpg,dog\nelk/1.jpg,elk\n")
    named = find_labelled(table, CLASSES, follow_links=False)
    assert (list(named.labels.values()), named.notes) == (
        [1], ("1 image is left out, since the network does not know their classes: elk", "no images of cat"),
    )  # fmt: skip


def test_a_name_that_looks_like_a_class_is_told(tmp_path: Path) -> None:
    for name in ("cat", "x\u2013ray", "\u0441ow"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    first, _ = find_labelled(tmp_path, ["cat", "x-ray", "cow"], follow_links=False).notes
    assert first.endswith(r": x\u2013ray (did you mean x-ray?), \u0441ow (did you mean cow?)")
    with pytest.raises(DataError, match=r"none of its classes \(cat \(did you mean cats\?\), .* apart cats, dogs$"):
        find_labelled(tmp_path, ["cats", "dogs"], follow_links=False)


def test_a_folder_without_an_image_is_one_without_its_class(photos: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog", "papers"):
        (tmp_path / name).mkdir()
    (tmp_path / "papers" / "read me.txt").write_text("of the photographer")
    (tmp_path / "dog" / ".DS_Store").touch()
    with pytest.raises(DataError, match=r"no image lies in the folders of the classes that .* knows \(cat, dog\), nor"):
        find_labelled(tmp_path, CLASSES, follow_links=False)
    shutil.copytree(photos / "test" / "dog", tmp_path / "dog", dirs_exist_ok=True)
    named = find_labelled(tmp_path, CLASSES, follow_links=False)
    assert len(named.photos) == 5
    assert named.notes == ("no images of cat",)


def test_folders_without_a_class_and_without_an_image_are_named(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    with pytest.raises(DataError, match=r"none of its classes \(papers\) is known to the network"):
        find_labelled(tmp_path, CLASSES, follow_links=False)


def test_what_is_no_folder_of_classes_is_refused_with_what_is_wanted(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder of a class .*; did you mean \S+/test\? Else name a folder "):
        find_labelled(photos / "test" / "cat", CLASSES, follow_links=False)
    with pytest.raises(DataError, match=r"no folder of a class .* it; name a folder .* apart \(cat, dog\), or a CSV"):
        find_labelled(tmp_path, CLASSES, follow_links=False)
    with pytest.raises(DataError, match=r"nowhere: no such folder or table; .* tells apart \(cat, dog\), or a CSV"):
        find_labelled(tmp_path / "nowhere", CLASSES, follow_links=False)
