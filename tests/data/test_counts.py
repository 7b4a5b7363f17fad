from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import an_origin
from tlexp.config.data import DataSource
from tlexp.config.group import OnLeak, parse_group
from tlexp.config.labels import parse_labels
from tlexp.data import Counts
from tlexp.data.counts import count_listed
from tlexp.data.files import Listing
from tlexp.data.group_table import GroupTable
from tlexp.data.groups import Grouper
from tlexp.errors import DataError


def counted(kind, root=None, **changes):
    return an_origin(kind, root, **changes).counts(classes=None, at_least=2)


def per_class(images, classes) -> tuple[int, ...]:
    return tuple(np.bincount(images.labels, minlength=len(classes)).tolist())


def split_table(root: Path) -> Path:
    """Write a table of root/class or root/split/class, and return its path."""
    rows = [
        (path.relative_to(root), path.parent.name, path.parts[-3] if path.parts[-3] == "test" else "train")
        for path in sorted(root.rglob("*.png"))
    ]
    table = root / "labels.csv"
    table.write_text("path,label,split\n" + "".join(f"{path},{label},{split}\n" for path, label, split in rows))
    return table


@pytest.mark.parametrize("kind", [kind for kind in DataSource if kind is not DataSource.timm])
@pytest.mark.parametrize("splits", [False, True])
def test_what_is_counted_is_what_opening_gives(kind: DataSource, splits: bool, write, opened) -> None:
    root = None
    if kind.example:
        images = [(name, i) for name in "abc" for i in range(8 + ord(name) % 7)]
        root = write(*(f"{('train/', 'test/')[i % 2] if splits else ''}{name}/{i}.png" for name, i in images))
    if kind is DataSource.csv:
        root = split_table(root)
    source, counts = opened(root, kind=kind), counted(kind, root)
    assert counts.classes == source.classes
    assert counts.pool == per_class(source.pool, source.classes)
    assert counts.held_out == per_class(source.held_out, source.classes)


def test_nothing_is_counted_where_reading_would_leave_something_out(write, tmp_path) -> None:
    root = write("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert counted(DataSource.folder, root).pool == (1, 1)
    (root / "b" / "3.png").symlink_to(tmp_path / "elsewhere.png")
    assert counted(DataSource.folder, root) is None
    assert count_listed(["a"], Listing(files=(), refused=()), Listing(files=(), refused=(("x", "y"),))) is None


def test_one_image_cannot_be_on_both_sides(write) -> None:
    root = write("a/1.png", "a/2.png", "b/1.png")
    with pytest.raises(
        DataError, match=r"^b: fewer than 2 images \(exact copies count as one\), so none can be held out"
    ):
        counted(DataSource.folder, root)


def test_a_budget_that_a_class_cannot_fill_says_where_its_images_are() -> None:
    counts = Counts(classes=("n0", "n1", "n2"), pool=(8, 160, 1), held_out=(2, 40, 1), split_off=True)
    counts.require(parse_labels("1"))
    counts.require(parse_labels("all"))
    with pytest.raises(DataError) as error:
        counts.require(parse_labels("100"))
    assert str(error.value) == (
        "labels=100: n0 has 10 images, of which a fifth is held out for testing: 8 are left, but each class needs 100 "
        "images in the training pool; so it is with n2 (1); use labels=1, labels=all, or more images"
    )
    given = Counts(classes=("n0", "n1"), pool=(8, 160), held_out=(2, 40), split_off=False)
    with pytest.raises(DataError, match=r"in the training pool, but these have fewer: n0 \(8\); use labels=8 or less"):
        given.require(parse_labels("100"))


def test_one_more_class_is_split_as_the_others_are() -> None:
    counts = Counts(classes=("a", "b"), pool=(6, 6), held_out=(6, 6), split_off=False).with_class("neither", 9)
    assert counts == Counts(
        classes=("a", "b", "neither"), pool=(6, 6, 4), held_out=(6, 6, 5), split_off=False, estimated=1
    )
    counts.require(parse_labels("6"))  # copies in the test split would leave more of the class in the pool
    with pytest.raises(DataError, match=r"fewer: a \(6\), b \(6\); use"):
        counts.require(parse_labels("7"))


def grouped(root: Path, rows: dict[str, str]) -> Counts:
    """Count a folder with groups by a table."""
    table = GroupTable(where="data.group=g.csv", of=rows, header="path", whole=True)
    grouper = Grouper(rule=parse_group("g.csv"), on_leak=OnLeak.refuse, table=table, folders={"": root})
    return an_origin(DataSource.folder, root).counts(classes=None, at_least=2, grouper=grouper)


def test_groups_are_counted_on_both_sides(write) -> None:
    names = [f"{kind}/{number}.png" for kind in "ab" for number in range(20)]
    root = write(*names)
    counts = grouped(root, {name: f"{int(name[2:-4]) // 2}" for name in names})
    assert counts.groups == (8, 2)
    assert (counts.pool, counts.held_out, counts.estimated) == ((16, 16), (4, 4), 2)
    counts.require(parse_labels("50"))  # which is asked of what reading leaves
    splits = write(*(f"splits/{split}/{name}" for split in ("train", "test") for name in names)) / "splits"
    given = grouped(splits, {f"{split}/{name}": f"{split}{name[2]}" for split in ("train", "test") for name in names})
    assert (given.pool, given.held_out, given.groups) == ((20, 20), (20, 20), (10, 10))
    assert counts.leaked == given.leaked == 0
    leaking = grouped(splits, {f"{split}/{name}": name[2:-4] for split in ("train", "test") for name in names})
    assert (leaking.groups, leaking.leaked) == ((20, 20), 20)
