import os
import re
from pathlib import Path

import numpy as np
import pytest

from tlexp.config.data import DataSource, OnBad
from tlexp.config.labels import parse_labels
from tlexp.data import Source, draw_budget
from tlexp.errors import DataError

TREE = tuple(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(10))
SPLITS = tuple(f"{split}/{name}" for split in ("train", "test") for name in TREE)


@pytest.fixture
def table(write):
    """Write images and a table of lines, below its header; return the table's path."""

    def written(*lines: str, header: str = "path,label", images: tuple[str, ...] = TREE) -> Path:
        path = write(*images) / "labels.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return written


def rows(images: tuple[str, ...] = TREE) -> list[str]:
    """Return a row for each image, in no order."""
    return [f"{name},{name.split('/')[-2]}" for name in np.random.default_rng(0).permutation(images)]


def refused(opened, path: Path, **changes: object) -> str:
    with pytest.raises(DataError) as error:
        opened(path, kind=DataSource.csv, **changes)
    return str(error.value)


def content(source: Source) -> list[list[tuple[str, int, bytes]]]:
    return [
        [
            (name, int(label), images.digest(i))
            for i, (name, label) in enumerate(zip(images.names, images.labels, strict=True))
        ]
        for images in (source.pool, source.held_out)
    ]


@pytest.mark.parametrize("images", [TREE, SPLITS], ids=["tree", "splits"])
def test_a_table_of_a_folder_is_the_folder(images: tuple[str, ...], table, opened) -> None:
    if images == SPLITS:
        lines = [f"{row},{row.split('/')[0]}" for row in rows(images)]
        path = table(*lines, header="path,label,split", images=images)
    else:
        path = table(*rows(images), images=images)
    source = opened(path, kind=DataSource.csv)
    path.rename(path.with_suffix(".txt").parent.parent / "labels.csv")
    folder = opened(path.parent)
    assert content(source) == content(folder)
    assert (source.classes, source.digest, source.notes) == (folder.classes, folder.digest, folder.notes)
    for budget in ("3", "0.5", "all"):
        drawn = [
            draw_budget(each.pool.labels, parse_labels(budget), seed=1, classes=each.classes).tolist()
            for each in (source, folder)
        ]
        assert drawn[0] == drawn[1]


def test_paths_are_relative_to_the_table_or_absolute(table, opened, tmp_path: Path) -> None:
    path = table(*rows())
    plain = opened(path, kind=DataSource.csv)
    spelled = [f"./{row}" if i % 2 else f"{path.parent}/{row}" for i, row in enumerate(rows())]
    assert content(opened(table(*spelled), kind=DataSource.csv)) == content(plain)
    moved = tmp_path / "elsewhere" / "labels.csv"
    moved.parent.mkdir()
    moved.write_text("\n".join(["path,label", *(f"{path.parent}/{row}" for row in rows())]))
    source = opened(moved, kind=DataSource.csv)
    assert all(name.startswith(str(path.parent)) for name in source.pool.names)
    assert [each[1:] for each in content(source)[0]] == [each[1:] for each in content(plain)[0]]


@pytest.mark.parametrize("held_out", ["test", "val", "validation", "Test"])
def test_splits_follow_the_protocol(held_out: str, table, opened) -> None:
    lines = [f"{row},{held_out if row[4] in '01' else 'train'}" for row in rows()]
    source = opened(table(*lines, header="path,label,split"), kind=DataSource.csv)
    assert {name[4] for name in source.held_out.names} == set("01")
    assert len(source.pool.names) == 16
    assert source.notes == ()


def test_val_beside_test_is_not_used_and_train_alone_holds_out_a_fifth(table, opened) -> None:
    parts = dict.fromkeys("23456789", "train") | {"0": "test", "1": "val"}
    lines = [f"{row},{parts[row[4]]}" for row in rows()]
    source = opened(table(*lines, header="path,label,split"), kind=DataSource.csv)
    assert {name[4] for name in source.held_out.names} == {"0"}
    assert not any(name[4] in "01" for name in source.pool.names)
    assert source.notes == ("val beside test is not used: test is held out as the test split",)
    alone = opened(table(*(f"{row},train" for row in rows()), header="path,label,split"), kind=DataSource.csv)
    assert content(alone) == content(opened(table(*rows()), kind=DataSource.csv))


def test_columns_have_other_names_and_others_are_ignored(table, opened) -> None:
    plain = opened(table(*rows()), kind=DataSource.csv)
    lines = [f"7,{row.split(',')[1]},{row.split(',')[0]}" for row in rows()]
    path = table(*lines, header="\ufeffid, kind ,file")
    assert content(opened(path, kind=DataSource.csv, columns=["file", "kind"])) == content(plain)
    message = refused(opened, path, columns=["fil", "kind", "split"])
    assert f"data.root={path} has no column fil (did you mean file?), split; it has id, kind, file; " in message
    assert "data.columns=[path,label]" in message
    assert "has no column path, label; it has a, b" in refused(opened, table("1,2", header="a,b"))
    assert "has the column label more than once" in refused(opened, table("1,2,3", header="path,label,label"))


def test_missing_and_unreadable_images_are_all_named_or_skipped(table, opened) -> None:
    path = table(*rows(), "cat/none.png,cat", "dog/bad.png,dog", "dog,dog", "dog/pipe.png,dog")
    (path.parent / "dog" / "bad.png").write_text("no image")
    os.mkfifo(path.parent / "dog" / "pipe.png")
    message = refused(opened, path)
    assert message.startswith(f"data.root={path}: 4 of 24 images cannot be used:\n  cat/none.png: no such file\n")
    assert "  dog: not a regular file\n  dog/bad.png: not an image of a supported format\n" in message
    assert "  dog/pipe.png: not a regular file\n" in message
    assert message.endswith("data.on_bad=skip")
    source = opened(path, kind=DataSource.csv, on_bad=OnBad.skip)
    assert [name for name, _ in source.skipped] == ["cat/none.png", "dog", "dog/bad.png", "dog/pipe.png"]
    assert content(source) == content(opened(table(*rows()), kind=DataSource.csv))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cat/0.png,,train", "line 22: label is empty"),
        (",cat,train", "line 22: path is empty"),
        ("cat/0.png,cat,", "line 22: split is empty"),
        ("cat/0.png,cat,tset", "line 22: split tset is none of train, test, evaluation, val"),
        ("cat/0.png,cat", "line 22: 2 cells, the header has 3 (a comma inside a cell needs quotes around it)"),
        ("cat/0.png,cat,train,x", "line 22: 4 cells, the header has 3"),
        ("cat/../cat/0.png,dog,train", "line 22: cat/0.png has the label dog, in line "),
        ("cat/0.png,cat,test", "line 22: cat/0.png has the split test, in line "),
    ],
)
def test_rows_that_cannot_be_used_are_named(line: str, problem: str, table, opened) -> None:
    path = table(*(f"{row},train" for row in rows()), line, header="path,label,split")
    message = refused(opened, path)
    assert f"data.root={path}: 1 row cannot be used:\n  {problem}" in message
    assert message.endswith("Mend or remove them")


def test_many_bad_rows_are_counted(table, opened) -> None:
    message = refused(opened, table(*rows(), *("cat/0.png," for _ in range(25))))
    assert "25 rows cannot be used" in message
    assert message.count("label is empty") == 20
    assert "  ... and 5 more\n" in message


def test_repeated_rows_count_once(table, opened) -> None:
    source = opened(table(*rows(), *rows()[:3]), kind=DataSource.csv)
    assert source.notes == ("3 rows of labels.csv are there twice and count once",)
    assert content(source) == content(opened(table(*rows()), kind=DataSource.csv))


def test_cells_may_be_quoted_and_padded(table, opened) -> None:
    images = tuple(f"{name}/a,{i}.png" for name in ("cat", "dog") for i in range(5))
    path = table(*(f'"{name}", {name[:3]} ' for name in images), images=images)
    source = opened(path, kind=DataSource.csv)
    assert source.classes == ("cat", "dog")
    assert len(source.pool.names) + len(source.held_out.names) == 10


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read: the file is empty; data=csv needs a table, "),
        (b"path,label\n", "has no rows below its header"),
        (b"path,label\n\xff\xfe,a\n", "is no CSV file in UTF-8"),
        (b'path,label\n"a,b\n', "is no CSV file in UTF-8"),
        (b"path,label,split\ncat/0.png,cat,test\n", "no row has the split train"),
        (b"path,label\ncat/0.png,cat\n", "one class only (cat), at least two are needed"),
        (
            b"path,label,split\ncat/0.png,cat,train\ndog/0.png,dog,train\ncat/1.png,cow,test\n",
            "split test, has other classes than split train: missing cat, dog; extra cow; both need the same labels",
        ),
        (b"path,label\ncat/0.png,Cat\ndog/0.png,cat\n", "classes Cat and cat differ only in case"),
    ],
)
def test_tables_that_cannot_be_used(content: bytes, problem: str, table, opened) -> None:
    path = table()
    path.write_bytes(content)
    assert problem in refused(opened, path)


def test_a_missing_table_and_a_folder_are_refused(table, opened) -> None:
    path = table()
    missing = refused(opened, path.with_name("none.csv"))
    assert re.search(r"none.csv cannot be read: No such file or directory; data=csv needs a table, a header", missing)
    assert "cannot be read: Is a directory" in refused(opened, path.parent)


def test_splits_are_known_in_every_common_spelling(table, opened) -> None:
    told = {"train": "Training", "test": "testing"}
    lines = [f"{row},{told['train' if number % 3 else 'test']}" for number, row in enumerate(rows())]
    plain = [f"{row},{'train' if number % 3 else 'test'}" for number, row in enumerate(rows())]
    source = opened(table(*lines, header="path,label,split"), kind=DataSource.csv)
    assert (source.pool_from, source.held_out_from) == ("split training", "split testing")
    assert source.digest == opened(table(*plain, header="path,label,split"), kind=DataSource.csv).digest


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (("test", "holdout"), "holdout and test both mean the test split"),
        (("dev", "val"), "dev and val both mean the val split"),
        (("training", "test"), "train and training both mean the train split"),
    ],
)
def test_two_splits_of_one_meaning_are_not_one(others: tuple[str, str], told: str, table, opened) -> None:
    parts = dict.fromkeys("23456789", "train") | dict(zip("01", others, strict=True))
    path = table(*(f"{row},{parts[row[4]]}" for row in rows()), header="path,label,split")
    assert f"data.root={path}: {told}; give their rows one name, or remove" in refused(opened, path)


@pytest.mark.parametrize("way", ["file", "folder", "elsewhere"])
def test_links_out_of_the_folder_are_followed_on_request_alone(way: str, table, opened, tmp_path: Path) -> None:
    path = table(*rows())
    secret = tmp_path / "away" / "secret.png"
    secret.parent.mkdir()
    (path.parent / "cat/0.png").rename(secret)
    if way == "file":
        (path.parent / "cat/0.png").symlink_to(secret)
        link, root = "cat/0.png", path.parent
    elif way == "folder":
        (path.parent / "more").symlink_to(secret.parent)
        link, root = "more/secret.png", path.parent
    else:
        root = tmp_path / "named"
        root.mkdir()
        (root / "a.png").symlink_to(secret)
        link = str(root / "a.png")
    path.write_text(path.read_text().replace("cat/0.png", link))
    refusal = f"  {link}: a link out of {root}, which data.follow_links=true follows"
    assert refusal in refused(opened, path)
    assert len(opened(path, kind=DataSource.csv, follow_links=True).held_out.names) == 4


def test_links_within_the_folder_and_folders_that_are_links_elsewhere_are_followed(table, opened, tmp_path) -> None:
    path = table(*rows())
    (path.parent / "cat/0.png").rename(path.parent / "cat/first.png")
    (path.parent / "cat/0.png").symlink_to("first.png")
    (tmp_path / "disk").symlink_to(path.parent)
    text = path.read_text().replace("dog/1.png", str(tmp_path / "disk" / "dog/1.png"))
    path.write_text(text)
    source = opened(path, kind=DataSource.csv)
    assert len(source.pool.names) + len(source.held_out.names) == 20
