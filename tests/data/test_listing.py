import os
from pathlib import Path

import pytest

from tlexp.data.files import Listing
from tlexp.data.listing import deeper_notes, find_layout, find_trees, list_images, meant_root
from tlexp.errors import DataError


def listing(root: Path, *, follow_links: bool = False) -> Listing:
    layout = find_layout(root, follow_links=follow_links)
    return list_images(layout.pool, layout, follow_links=follow_links)


def refused(root: Path) -> str:
    with pytest.raises(DataError) as error:
        listing(root)
    return str(error.value)


def test_split_folders_are_found(write) -> None:
    for held_out in ("test", "val", "validation", "Test"):
        root = write(f"{held_out}-set/train/a/1.png", f"{held_out}-set/train/b/1.png")
        for name in "ab":
            (root / f"{held_out}-set" / held_out / name).mkdir(parents=True)
        layout = find_layout(root / f"{held_out}-set", follow_links=False)
        assert (layout.classes, layout.pool.name, layout.held_out.name) == (("a", "b"), "train", held_out)
        assert layout.notes == ()


def test_val_beside_test_is_not_used_and_noted(write) -> None:
    root = write(*(f"{split}/{name}/1.png" for split in ("train", "val", "test") for name in "ab"), "extra/x.png")
    layout = find_layout(root, follow_links=False)
    assert layout.held_out == (root / "test").resolve()
    assert layout.notes == (
        "val beside test is not used: test is held out as the test split",
        "folders beside train are not used: extra (1 image, e.g. extra/x.png)",
    )


def test_one_tree_and_a_class_called_train(write) -> None:
    root = write("plane/1.png", "train/1.png")
    layout = find_layout(root, follow_links=False)
    assert (layout.classes, layout.held_out) == (("plane", "train"), None)


def test_train_alone_is_one_tree(write) -> None:
    layout = find_layout(write("train/a/1.png", "train/b/1.png"), follow_links=False)
    assert (layout.classes, layout.pool.name, layout.held_out) == (("a", "b"), "train", None)


def test_classes_are_sorted_as_text_and_files_by_name(write) -> None:
    root = write("9/b.png", "10/z.png", "1/c.png", "9/a.png")
    assert find_layout(root, follow_links=False).classes == ("1", "10", "9")
    assert [(file.name, file.label) for file in listing(root).files] == [
        ("1/c.png", 0),
        ("10/z.png", 1),
        ("9/a.png", 2),
        ("9/b.png", 2),
    ]


def test_hidden_files_and_litter_are_ignored_others_counted(write) -> None:
    root = write("a/1.png", "a/._1.png", "a/deep/er/2.JPG", "b/1.png", ".ipynb_checkpoints/1.png", "__MACOSX/a/1.png")
    for name in ("a/Thumbs.db", "a/notes.txt", "b/data.csv", "README.md", "a/.DS_Store"):
        (root / name).write_text("x")
    found = listing(root)
    assert [file.name for file in found.files] == ["a/1.png", "a/deep/er/2.JPG", "b/1.png"]
    assert [file.label for file in found.files] == [0, 0, 1]
    assert found.others == ("README.md", "a/notes.txt", "b/data.csv")


@pytest.mark.parametrize(
    ("train", "test", "difference"),
    [
        ("abc", "bc", "missing a"),
        ("abc", "bcd", "missing a; extra d"),
        ("ab", "abc", "extra c"),
    ],
)
def test_splits_with_other_classes_show_the_difference(write, train: str, test: str, difference: str) -> None:
    root = write(*(f"train/{name}/1.png" for name in train), *(f"test/{name}/1.png" for name in test))
    message = refused(root)
    assert f"folder test has other classes than data.root={root}, folder train: {difference};" in message


def test_unusable_roots_are_refused_with_a_way_out(write, tmp_path: Path) -> None:
    assert "missing does not exist; data.root needs one folder per class" in refused(tmp_path / "missing")
    (tmp_path / "file").write_text("x")
    assert "file is not a folder" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "empty holds no folder" in refused(tmp_path / "empty")
    root = write("only/1.png")
    assert "one class only (only), at least two are needed" in refused(root)
    (root / "void").mkdir()
    told = refused(root)
    assert "no image in class void; add images or remove the folder, or leave it out, 'data.classes=[-NAME]' (" in told


def test_a_test_folder_without_train_is_no_class(write) -> None:
    assert "has test, val but no train folder" in refused(write("test/a/1.png", "val/a/1.png"))


def test_flat_split_folders_are_refused(write) -> None:
    assert "folder train: no class folders" in refused(write("train/1.png", "test/1.png"))


@pytest.mark.parametrize("names", [("Cat", "cat"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_some_systems_merge_are_refused(write, names: tuple[str, str]) -> None:
    root = write(*(f"{name}/1.png" for name in names))
    if len(list(root.iterdir())) == 1:
        pytest.skip("this file system merges them")
    assert "differ only in case, blanks, invisible characters or the coding of letters" in refused(root)


def test_loops_are_visited_once(write) -> None:
    root = write("a/1.png", "a/deep/2.png", "b/1.png")
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "deep" / "up").symlink_to("..")
    (root / "a" / "top").symlink_to(root)
    (root / "a" / "knot").symlink_to("knot")
    assert [file.name for file in listing(root).files] == ["a/1.png", "a/deep/2.png", "b/1.png"]


def test_links_inside_the_root_are_followed(write) -> None:
    root = write("a/1.png", "b/1.png")
    (root / "b" / "2.png").symlink_to(root / "a" / "1.png")
    found = listing(root)
    assert ("b/2.png", 1) in [(file.name, file.label) for file in found.files]
    assert found.refused == ()


def test_links_out_of_the_root_are_refused_unless_followed(write, tmp_path: Path) -> None:
    root = write("a/1.png", "b/1.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "3.png").write_bytes((root / "a" / "1.png").read_bytes())
    (root / "a" / "file.png").symlink_to(outside / "3.png")
    (root / "a" / "folder").symlink_to(outside)
    (root / "c").symlink_to(outside)
    assert [(name, reason) for name, reason in listing(root).refused] == [
        (name, "a link out of data.root, which data.follow_links=true follows")
        for name in ("a/file.png", "a/folder", "c")
    ]
    followed = listing(root, follow_links=True)
    assert followed.refused == ()
    assert [file.name for file in followed.files] == ["a/1.png", "a/file.png", "a/folder/3.png", "b/1.png", "c/3.png"]


def test_a_split_that_leads_out_is_refused(write, tmp_path: Path) -> None:
    root = write("photos/train/a/1.png", "photos/train/b/1.png", "elsewhere/a/1.png", "elsewhere/b/1.png")
    (root / "photos" / "test").symlink_to(root / "elsewhere")
    assert "folder test is a link out of data.root" in refused(root / "photos")
    assert find_layout(root / "photos", follow_links=True).held_out is not None


def test_a_folder_inside_a_split_that_leads_out_is_refused(write, tmp_path: Path) -> None:
    root = write("photos/train/notes.txt.png", "elsewhere/a/1.png", "elsewhere/b/1.png")
    (root / "photos" / "train" / "notes.txt.png").unlink()
    (root / "photos" / "train" / "train").symlink_to(root / "elsewhere")
    assert "folder train/train is a link out of data.root; data.follow_links=true" in refused(root / "photos")
    assert find_layout(root / "photos", follow_links=True).classes == ("a", "b")
    train = root / "photos" / "train"
    with pytest.raises(DataError, match=r"folder train is a link out of data.train; data.follow_links=true"):
        find_trees(train, None, follow_links=False)
    assert find_trees(train, None, follow_links=True).pool == (root / "elsewhere").resolve()


@pytest.mark.parametrize("tested", [False, True])
def test_folders_inside_a_class_are_noted_wherever_the_split_lies(tested: bool, write) -> None:
    root = write(*(f"{name}/1.png" for name in ("a/cat/in", "a/cat/out", "a/dog", "b/cat", "b/dog")))
    layout = find_trees(root / "a", root / "b" if tested else None, follow_links=False)
    found = list_images(layout.pool, layout, follow_links=False)
    (note,) = deeper_notes(layout.pool, layout, found)
    assert "1 of the class folders, e.g. cat holds in, out; all below" in note


def test_a_root_one_folder_too_high_is_noted_with_the_folder_that_is_meant(write) -> None:
    root = write("sorted/cat/1.png", "sorted/dog/1.png", "sorted/elk/1.png", "unsorted/1.png")
    layout = find_layout(root, follow_links=False)
    found = list_images(root, layout, follow_links=False)
    [note] = deeper_notes(root, layout, found)
    assert note.endswith(f"belongs to its class: did you mean data.root={root / 'sorted'}?")
    assert meant_root(layout, found) == root / "sorted"
    (root / "sorted" / "1.png").touch()
    found = list_images(root, layout, follow_links=False)
    [note] = deeper_notes(root, layout, found)
    assert note.endswith("belongs to its class")
    assert meant_root(layout, found) is None


def test_a_class_that_is_left_alone_is_offered_as_the_root_where_it_holds_classes(write) -> None:
    root = write("sorted/cat/1.png", "sorted/dog/1.png", "unsorted/1.png", "more/1.png")
    with pytest.raises(DataError) as error:
        find_layout(root, follow_links=False, classes=["-unsorted", "-more"])
    assert str(error.value).endswith(f"it has more, sorted, unsorted; did you mean data.root={root / 'sorted'}?")
    with pytest.raises(DataError) as error:
        find_layout(root, follow_links=False, classes=["-sorted", "-more"])
    assert str(error.value).endswith("it has more, sorted, unsorted")


def test_pipes_and_dangling_links_are_never_opened(write) -> None:
    root = write("a/1.png", "b/1.png")
    os.mkfifo(root / "a" / "pipe.png")
    (root / "a" / "gone.png").symlink_to("nowhere.png")
    assert [(name, reason) for name, reason in listing(root).refused] == [
        ("a/gone.png", "a link that leads nowhere"),
        ("a/pipe.png", "not a regular file"),
    ]


def test_strange_names_are_escaped(write) -> None:
    root = write("a\nb/1\x1b[31m.png", "b,c/1.png")
    strange = os.fsencode(root / "b,c") + b"/\xff.png"
    os.link(root / "b,c" / "1.png", strange)
    assert find_layout(root, follow_links=False).classes == ("a\\nb", "b,c")
    assert [file.name for file in listing(root).files] == ["a\\nb/1\\x1b[31m.png", "b,c/1.png", "b,c/\\udcff.png"]
