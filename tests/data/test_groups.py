"""What names the groups of images, and what is said of tables and names that do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.composed import composed
from tlexp.compose.origin import grouper_of, origin_of
from tlexp.compose.words import quoted_values
from tlexp.config.data import DataConfig, OnBad
from tlexp.data import Decoding, Reading, Source
from tlexp.data.copies import Copy, CopyKind
from tlexp.data.groups import Groups, OnLeak, below_class
from tlexp.errors import DataError

NAMES = [f"{kind}/p{patient}_{number}.png" for kind in ("cat", "dog") for patient in range(6) for number in range(3)]
Opened = Callable[..., Source]


def patient(name: str) -> str:
    return name.rpartition("/")[2].partition("_")[0]


def settings(*words: str) -> DataConfig:
    return composed(*words).config.data


@pytest.fixture
def photos(write) -> Path:
    return write(*NAMES)


@pytest.fixture
def grouped(photos: Path) -> Opened:
    """Open a source as a run does, with the given words."""

    def open_grouped(*words: str, on_bad: OnBad = OnBad.refuse) -> Source:
        plain = [] if words and words[0].startswith("data=") else ["data=folder", f"data.root={photos}"]
        data = settings(*plain, *words)
        reading = Reading(
            on_bad=on_bad,
            follow_links=False,
            decoding=Decoding(max_pixels=10**6),
            progress=lambda done, total: None,
            grouper=grouper_of(data),
        )
        return origin_of(data, image_size=16).open(
            classes=data.classes, at_least=2, source_seed=data.source_seed, reading=reading
        )

    return open_grouped


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., str]:
    """Write a table of groups and return the word that names it."""

    def written(rows: object, head: str = "path,group", name: str = "groups.csv") -> str:
        lines = [head, *(f"{name},{group}" for name, group in (rows.items() if isinstance(rows, dict) else rows))]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return f"data.group={tmp_path / name}"

    return written


def sides(source: Source) -> tuple[set[str], set[str]]:
    return tuple({source.groups.of[name] for name in split.names} for split in (source.pool, source.held_out))


def check_parted(source: Source) -> None:
    pool, held_out = sides(source)
    assert pool
    assert held_out
    assert not pool & held_out
    assert set(source.pool.labels.tolist()) == set(source.held_out.labels.tolist()) == {0, 1}


def test_four_ways_to_state_groups_give_the_same_source(grouped: Opened, photos: Path, table) -> None:
    rows = {name: patient(name) for name in NAMES}
    by_table = grouped(table(rows))
    check_parted(by_table)
    assert sides(by_table)[0] | sides(by_table)[1] == {f"p{number}" for number in range(6)}
    by_pattern = grouped(r"data.group='pattern:^(.*?)_\d+'")
    (photos / "labels.csv").write_text(
        "label,patient,path\n" + "".join(f"{name[:3]},{patient(name)},{name}\n" for name in NAMES)
    )
    by_column = grouped("data=csv", f"data.root={photos / 'labels.csv'}", "data.group=column:patient")
    (photos / "labels.csv").unlink()
    assert by_table.digest == by_pattern.digest == by_column.digest
    assert by_table.pool.names == by_column.pool.names
    assert by_table.digest != grouped().digest
    assert grouped(table({name: name for name in NAMES})).digest != by_table.digest


def test_folders_above_an_image_name_its_group(write, grouped: Opened, tmp_path: Path) -> None:
    root = write(
        *(f"deep/{kind}/p{p}/d{d}/{kind}{i}.png" for kind in "ab" for p in range(4) for d in "xy" for i in range(2))
    )
    words = ["data=folder", f"data.train={root / 'deep'}"]
    source = grouped(*words, "data.group=folder:2")
    check_parted(source)
    assert sides(source)[0] | sides(source)[1] == {"p0", "p1", "p2", "p3"}  # a patient under two classes is one group
    assert sum(map(len, sides(grouped(*words, r"data.group='pattern:^p\d/d.'")))) == 8
    with pytest.raises(DataError, match=r"one group holds all images of class a \(16 images\), b"):
        grouped(*words, "data.group=folder:3")
    with pytest.raises(DataError) as error:
        grouped(*words, "data.group=folder:4")
    assert str(error.value) == (
        f"data.group=folder:4 gives no group to 32 of the 32 images of data.train={root / 'deep'}: "
        + ", ".join(f"a/p{p}/d{d}/a{i}.png" for p in range(3) for d in "xy" for i in range(2))[: 10 * 16 - 2]
        + " and 22 more; put each image into a folder of its group, or write a table of path,group"
    )


@pytest.mark.parametrize(
    ("name", "kind", "tree", "below"),
    [
        ("train/cat/1.jpg", "cat", False, "1.jpg"),
        ("train/train/p1/1.jpg", "train", False, "p1/1.jpg"),
        ("/abs/photos/1.jpg", "cat", False, "1.jpg"),
        ("sea/deep/1.jpg", "neither", True, "sea/deep/1.jpg"),
        ("photos/p1/2.jpg", "cat", False, "2.jpg"),
        ("cat", "cat", False, "cat"),
    ],
)
def test_an_expression_sees_what_a_name_has_below_its_class(name: str, kind: str, tree: bool, below: str) -> None:
    assert below_class(name, kind, tree=tree) == below


def test_an_expression_that_finds_nothing_names_the_images(grouped: Opened, photos: Path, write) -> None:
    with pytest.raises(
        DataError, match=r"gives no group to 6 of the 36 images of data.root=.*: cat/p0_0.png, cat/p0_1"
    ):
        grouped("data.group='pattern:^p[1-9]'")
    with pytest.raises(
        DataError, match=r"gives no group to 36 of .* the expression has to find something in what a name"
    ):
        grouped("data.group='pattern:^p(x?)'")  # finds nothing to go by
    folders = "/".join("x" * 100 for _ in range(3))
    write(f"cat/{folders}/p1_9.png")
    with pytest.raises(DataError, match=r"gives no group to 1 of .*at most 255 characters; mend it"):
        grouped("data.group='pattern:p[0-9]'")


def test_names_of_another_form_may_be_groups_of_their_own(grouped: Opened, write) -> None:
    write("cat/first.png", "dog/second.png")
    words = r"data.group=pattern:^(p\d)_"
    with pytest.raises(DataError) as error:
        grouped(*quoted_values([words]))
    assert str(error.value).endswith(
        ": cat/first.png, dog/second.png; the expression has to find something in what a name has below its class, of "
        f"at most 255 characters; mend it, give '{words}|(.+)', by which names of another form are groups of their "
        "own, or write a table of path,group"
    )
    source = grouped(*quoted_values([f"{words}|(.+)"]))
    assert set().union(*sides(source)) == {"first.png", "second.png", *(f"p{number}" for number in range(6))}


@pytest.mark.parametrize("pattern", ["^q", "^p[1-9](x?)", "^p[1-9]" + "|x" * 95])
def test_no_expression_is_offered_that_would_not_do(pattern: str, grouped: Opened) -> None:
    with pytest.raises(DataError, match="mend it, or write a table"):
        grouped(*quoted_values([f"data.group=pattern:{pattern}"]))


def test_a_table_that_misses_images_names_them(grouped: Opened, table, photos: Path) -> None:
    rows = {name: patient(name) for name in NAMES}
    short = {name: group for name, group in rows.items() if group != "p1"}
    with pytest.raises(DataError) as error:
        grouped(table(short))
    assert str(error.value) == (
        f"{table(short)} misses 6 of the 36 images of data.root={photos}: cat/p1_0.png, cat/p1_1.png, cat/p1_2.png, "
        "dog/p1_0.png, dog/p1_1.png, dog/p1_2.png; give each a row with its group, one of its own where it stands for "
        "itself"
    )
    first, *rest = rows.items()
    with pytest.raises(
        DataError, match=r"misses 1 .*; cat/p0_0.png stands in its first line, which is its header; give"
    ):
        grouped(table(rest, head=",".join(first)))
    with pytest.raises(DataError, match=r"misses 36 of .*\(the table names e\.g\. train/cat/p0_0\.png\)"):
        grouped(table({f"train/{name}": group for name, group in rows.items()}))


def test_a_table_that_names_others_is_refused_unless_they_lie_there(
    grouped: Opened, table, photos: Path, write
) -> None:
    rows = {name: patient(name) for name in NAMES}
    with pytest.raises(DataError) as error:
        grouped(table(rows | {"cat/p9_0.png": "p9", "emu/1.png": "p0"}))
    assert str(error.value).startswith(
        f"{table({})} names 2 images that data.root={photos} does not have: cat/p9_0.png, "
    )
    assert "emu/1.png; mend those names or remove their rows (the run names its images as cat/p0_0.png)" in str(
        error.value
    )
    write("emu/1.png", "emu/2.png")
    check_parted(grouped("data.classes=[cat,dog]", table(rows | {"emu/1.png": "p0", "neither:x.png": "p7"})))


def test_blanks_around_a_name_are_part_of_it_where_there_is_such_an_image(
    write, grouped: Opened, table, tmp_path: Path
) -> None:
    names = [f"{kind}/p{p}_{i}.png" for kind in (" cat", "dog", " emu") for p in range(4) for i in range(2)]
    words = [
        "data=folder",
        f"data.root={write(*(f'odd/{name}' for name in names)) / 'odd'}",
        "data.classes=[' cat',dog]",
    ]
    rows = {
        name if "cat" in name else f"  {name.strip()} ": f" {patient(name)} " for name in names if "emu" not in name
    }
    source = grouped(*words, table(rows | {" emu/p0_0.png": "p0"}))
    assert source.groups.of[" cat/p1_0.png"] == source.groups.of["dog/p1_1.png"] == "p1"
    check_parted(source)
    with pytest.raises(DataError, match=r"groups.csv: dog/p1_0.png is of group p1 and of p2; remove one of the rows"):
        grouped(*words, table(rows | {"dog/p1_0.png": "p2"}))
    with pytest.raises(DataError, match=r"names 1 images that .*: cow/1.png; mend"):
        grouped(*words, table(rows | {" cow/1.png": "p2"}))


def test_unreadable_images_may_stand_in_a_table(grouped: Opened, table, photos: Path) -> None:
    (photos / "cat" / "p9_0.png").write_text("no image")
    (photos / "cat" / "p9_1.png").symlink_to("/nowhere.png")
    rows = {name: patient(name) for name in (*NAMES, "cat/p9_0.png", "cat/p9_1.png")}
    source = grouped(table(rows), on_bad=OnBad.skip)
    assert len(source.skipped) == 2
    check_parted(source)


def test_a_column_is_named_and_whole(grouped: Opened, photos: Path) -> None:
    words = ["data=csv", f"data.root={photos / 'labels.csv'}"]

    def refused(head: str, *rows: str, column: str = "patient") -> str:
        (photos / "labels.csv").write_text("\n".join((head, *rows)) + "\n")
        with pytest.raises(DataError) as error:
            grouped(*words, f"data.group=column:{column}")
        return str(error.value)

    rows = [f"{name},{name[:3]},{patient(name)}" for name in NAMES]
    told = refused("path,label,patient", *rows, column="patients")
    assert told == (
        f"data.group=column:patients: data.root={photos / 'labels.csv'} has no column patients (did you mean patient?)"
        "; its columns are path, label, patient"
    )
    assert "more than once" in refused("path,label,patient,patient", *(f"{row},x" for row in rows))
    assert "line 3: patient is empty" in refused("path,label,patient", rows[0], "cat/p0_1.png,cat,", *rows[2:])
    assert "has the group x, in line 2 it has p0" in refused("path,label,patient", *rows, "cat/p0_0.png,cat,x")


def test_groups_are_numbered_by_their_sorted_names_in_a_split() -> None:
    groups = Groups(stated="data.group=x", of={"1": "b", "2": "a", "3": "c", "4": "b"}, on_leak=OnLeak.refuse)
    assert groups.codes(["1", "2", "3", "4"]).tolist() == [1, 0, 2, 1]
    assert groups.codes(["3", "1"]).tolist() == [1, 0]
    assert groups.codes([]).dtype == np.int64
    assert groups.count(["1", "4"]) == 1


def test_groups_that_share_images_are_one_under_the_first_of_their_names() -> None:
    def same(name: str, other: str) -> Copy:
        return Copy(name=name, same_as=other, split="train", kind=CopyKind.repeated, label=0, digest="")

    groups = Groups(stated="data.group=x", of={"1": "b", "2": "a", "3": "c", "4": "d"}, on_leak=OnLeak.refuse)
    assert groups.joined([same("1", "1")]) is groups
    one = groups.joined([same("3", "1")])
    assert one.of == {"1": "b", "2": "a", "3": "b", "4": "d"}
    assert one.more({"5": "c", "6": "e"}).of == one.of | {"5": "b", "6": "e"}
    all_one = one.joined([same("4", "3"), same("2", "4")])
    assert set(all_one.of.values()) == set(all_one.one_with.values()) == {"a"}
    chain = Groups(stated="", of={str(n): f"{n:05}" for n in range(10_000)}, on_leak=OnLeak.refuse)
    assert set(chain.joined(same(str(n), str(n - 1)) for n in range(9999, 0, -1)).of.values()) == {"00000"}


def test_a_source_knows_the_groups_of_each_split(grouped: Opened) -> None:
    source = grouped("data.group='pattern:^[^_]+'")
    codes = source.group_codes(source.pool)
    names = sorted(sides(source)[0])
    assert [names[code] for code in codes.tolist()] == [patient(name) for name in source.pool.names]
    assert grouped().group_codes(source.pool) is None


def test_copies_are_left_out_before_groups_are_counted(grouped: Opened, photos: Path, tmp_path: Path) -> None:
    for number in range(3):  # one patient is nothing but copies of another
        (photos / "cat" / f"p9_{number}.png").write_bytes((photos / "cat" / f"p0_{number}.png").read_bytes())
    source = grouped("data.group='pattern:^[^_]+'")
    assert len(source.copies) == 3
    assert "p9" not in sides(source)[0] | sides(source)[1]
