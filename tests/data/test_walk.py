import os
from pathlib import Path

import pytest

from tlexp.data.walk import Naming, Walk, leads_out, loose_images, subfolders, visible_entries
from tlexp.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "cat/notes.txt", "cat/deep/2.JPG", "loose.heic", ".hidden.png", "__MACOSX/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_images_have_names_below_the_root_with_the_prefix(tree: Path) -> None:
    walk = Walk(Naming(root=tree, setting="data.test", prefix="test/"), follow_links=False)
    walk.visit(tree / "cat", 3)
    listing = walk.listing()
    assert [(file.name, file.label) for file in listing.files] == [("test/cat/1.png", 3), ("test/cat/deep/2.JPG", 3)]
    assert listing.others == ("test/cat/notes.txt",)


def test_folders_are_shown_below_their_setting(tree: Path) -> None:
    naming = Naming(root=tree, setting="data.train")
    assert naming.shown(tree) == f"data.train={tree}"
    assert naming.shown(tree / "cat") == f"data.train={tree}, folder cat"


def test_hidden_files_and_litter_are_not_seen(tree: Path) -> None:
    assert [entry.name for entry in visible_entries(tree)] == ["cat", "loose.heic"]
    assert list(subfolders(tree)) == ["cat"]
    assert loose_images(tree) == ["loose.heic"]


def test_a_link_leads_out_by_where_it_ends(tree: Path) -> None:
    (tree / "inside").symlink_to(tree / "cat")
    (tree / "outside").symlink_to(tree.parent)
    assert not leads_out(tree / "inside", tree)
    assert leads_out(tree / "outside", tree)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(tree: Path) -> None:
    (tree / "cat").chmod(0)
    with pytest.raises(DataError, match="cat cannot be read: Permission denied"):
        visible_entries(tree / "cat")
