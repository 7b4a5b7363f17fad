import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.conftest import Unreadable
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


def test_a_folder_inside_a_class_that_cannot_be_read_is_one_finding(tree: Path, unreadable: Unreadable) -> None:
    unreadable("deep")
    walk = Walk(Naming(root=tree), follow_links=False)
    walk.visit(tree / "cat", 0)
    listing = walk.listing()
    assert [file.name for file in listing.files] == ["cat/1.png"]
    assert listing.refused == (("cat/deep", "a folder that cannot be read: Permission denied"),)


def as_nobody(work: Callable[[], list[str]]) -> list[str]:
    """Return what a child of another user finds, who cannot read all that root can."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, "\n".join(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    os.waitpid(child, 0)
    return lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.filterwarnings("ignore:This process")  # threads of other tests; the child touches none of their locks
def test_another_user_learns_of_every_folder_that_is_not_theirs() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        root = Path(place)
        root.chmod(0o755)
        for name in ("cat/1.png", "cat/shut/2.png", "cat/listed/in/3.png", "dog/4.png"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        (root / "cat/shut").chmod(0)
        (root / "cat/listed").chmod(0o444)
        (root / "dog").chmod(0)

        def work() -> list[str]:
            walk = Walk(Naming(root=root), follow_links=False)
            for label, name in enumerate(("cat", "dog")):
                walk.visit(root / name, label)
            listing = walk.listing()
            return [*(file.name for file in listing.files), *(f"{name}: {why}" for name, why in listing.refused)]

        assert as_nobody(work) == [
            "cat/1.png",
            "cat/listed/in: a folder that cannot be read: Permission denied",
            "cat/shut: a folder that cannot be read: Permission denied",
            "dog: a folder that cannot be read: Permission denied",
        ]
