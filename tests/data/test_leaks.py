"""Groups on both sides of splits that are given."""

import csv
import shutil
from pathlib import Path

import pytest

from tests.data.test_groups import grouped, photos, settings, sides, table  # noqa: F401
from tests.data.test_neither import reading
from tlexp.compose.origin import grouper_of
from tlexp.data import Reading, add_neither, add_shifted, leaks_csv
from tlexp.data.leaks import Leak, told_groups
from tlexp.errors import DataError
from tlexp.secrets import keep_secret, masked

TREE = [
    *(f"train/{kind}/p{p}_{i}.png" for kind in ("cat", "dog") for p in range(5) for i in range(3)),
    *(f"test/{kind}/p{p}_{i}.png" for kind in ("cat", "dog") for p in (4, 5, 6) for i in range(10, 12)),
]
PATTERN = "data.group='pattern:^[^_]+'"


@pytest.fixture
def splits(write) -> list[str]:
    """The words for a tree in which patient 4 is on both sides."""
    root = write(*(f"tree/{name}" for name in TREE))
    return ["data=folder", f"data.root={root / 'tree'}", PATTERN]


def with_groups(*words: str) -> Reading:
    plain = reading()
    return Reading(
        on_bad=plain.on_bad,
        follow_links=False,
        decoding=plain.decoding,
        progress=plain.progress,
        grouper=grouper_of(settings(*words)),
    )


def test_a_group_on_both_sides_is_refused_with_counts(splits: list[str], grouped) -> None:  # noqa: F811
    with pytest.raises(DataError) as error:
        grouped(*splits)
    root = splits[1]
    assert str(error.value) == (
        f"{root} with data.group=pattern:^[^_]+: 1 group is both in the training pool and in the test split (p4), with "
        "6 images and 4, e.g. train/cat/p4_0.png and test/cat/p4_10.png; data.on_leak=move takes those images out of "
        "the training pool, data.on_leak=list goes on and lists them in leaks.csv; or divide the splits by group"
    )


def test_leaks_are_listed_or_leave_the_pool_and_never_the_test(splits: list[str], grouped) -> None:  # noqa: F811
    listed, moved = (grouped(*splits, f"data.on_leak={way}") for way in ("list", "move"))
    assert listed.leaks == moved.leaks
    assert [(leak.group, leak.split) for leak in listed.leaks] == [("p4", "test")] * 4 + [("p4", "train")] * 6
    assert len(listed.pool.names) == 30
    assert sides(listed)[0] & sides(listed)[1] == {"p4"}
    assert len(moved.pool.names) == 24
    assert not sides(moved)[0] & sides(moved)[1]
    assert moved.held_out.names == listed.held_out.names
    assert len({listed.digest, moved.digest}) == 2
    notes = [source.notes[-1] for source in (listed, moved)]
    assert notes == [
        f"1 group is both in the training pool and in the test split: 6 training images are {done}, e.g. "
        "train/cat/p4_0.png and test/cat/p4_10.png; leaks.csv lists them"
        for done in ("learned from, so that the test may say too much", "left out of training")
    ]


def test_without_leaks_it_does_not_matter_what_would_happen_with_them(write, grouped) -> None:  # noqa: F811
    clean = [name for name in TREE if not name.startswith("test") or "p4" not in name]
    words = ["data=folder", f"data.root={write(*(f'clean/{name}' for name in clean)) / 'clean'}", PATTERN]
    found = [grouped(*words, f"data.on_leak={way}") for way in ("refuse", "list", "move")]
    assert len({source.digest for source in found}) == 1
    assert {source.leaks for source in found} == {()}


def test_nothing_is_left_of_a_class_whose_groups_are_all_tested(splits: list[str], grouped, table) -> None:  # noqa: F811
    rows = {name: "one" if "/cat/" in name else name for name in TREE}
    with pytest.raises(
        DataError, match=r"data.on_leak=move leaves no training image of class cat, for all of its groups"
    ):
        grouped(*splits[:2], table(rows), "data.on_leak=move")


def test_copies_of_test_images_are_no_leaks(splits: list[str], grouped) -> None:  # noqa: F811
    root = Path(splits[1].partition("=")[2])
    for number in range(3):
        for kind in ("cat", "dog"):
            (root / "train" / kind / f"p4_{number}.png").write_bytes((root / "test" / kind / "p4_10.png").read_bytes())
    assert grouped(*splits).leaks == ()  # they are left out of training as copies


def copied(root: Path, name: str, other: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes((root / other).read_bytes())


def test_a_copy_of_a_training_image_tells_of_its_whole_group(splits: list[str], grouped, write) -> None:  # noqa: F811
    root = Path(splits[1].partition("=")[2])
    for name in root.glob("*/*/p4_*"):
        name.rename(name.with_name(name.name.replace("p4", f"p4{name.parent.parent.name}")))
    assert grouped(*splits).leaks == ()
    copied(root, "test/cat/x7_0.png", "train/cat/p0_0.png")
    copied(root, "train/dog/y_0.png", "train/dog/p1_0.png")  # y is patient 1, of whom nothing is tested
    write("tree/test/cat/x7_1.png")
    with pytest.raises(DataError, match=r"1 group is both in .* and in the test split \(p0\), with 5 images"):
        grouped(*splits)
    listed, moved = (grouped(*splits, f"data.on_leak={way}") for way in ("list", "move"))
    told = "2 groups are one with others, for they share exact copies, e.g. train/cat/p0_0.png = test/cat/x7_0.png"
    assert f"{told}; copies.csv lists them" in listed.notes
    assert [leak.name for leak in listed.leaks if leak.split == "test"] == ["test/cat/x7_0.png", "test/cat/x7_1.png"]
    assert "p0" not in sides(moved)[0]
    assert not sides(moved)[0] & sides(moved)[1]


def test_copies_in_one_split_keep_their_groups_on_one_side(grouped, photos: Path) -> None:  # noqa: F811
    copied(photos, "cat/p0_0.png", "cat/p5_1.png")
    for seed in range(20):
        source = grouped(PATTERN, f"data.source_seed={seed}")
        own = [{name.rpartition("/")[2][:2] for name in split.names} for split in (source.pool, source.held_out)]
        assert not own[0] & own[1]
        assert any({"p0", "p5"} <= side for side in own)


def test_what_lies_under_two_classes_joins_groups_too(splits: list[str], grouped) -> None:  # noqa: F811
    root = Path(splits[1].partition("=")[2])
    copied(root, "test/dog/p6_10.png", "train/cat/p0_0.png")
    leaks = grouped(*splits, "data.on_leak=list").leaks
    assert {leak.group for leak in leaks} == {"p0", "p4"}


def test_copies_in_a_shifted_set_join_groups(write, grouped, photos: Path, tmp_path: Path) -> None:  # noqa: F811
    root = write(*(f"drawn/{kind}/q{p}_9.png" for kind in ("cat", "dog") for p in (0, 7)))
    apart = Path(shutil.move(root / "drawn", tmp_path / "apart"))
    source = grouped(PATTERN)
    name = next(name for name in source.pool.names if name.startswith("cat"))
    (apart / "cat" / "q7_0.png").write_bytes((photos / name).read_bytes())
    words = ["data=folder", f"data.root={photos}", PATTERN, f"data.shifted={apart}"]
    with pytest.raises(DataError, match=rf"in data.shifted \({source.groups.of[name]}\), with 5 images and 3"):
        add_shifted(source, apart, some=False, reading=with_groups(*words))


def test_copies_among_neither_leave_no_group_on_both_sides(write, grouped, photos: Path, tmp_path: Path) -> None:  # noqa: F811
    source = grouped(PATTERN)
    learned, tested = (sorted(side)[0] for side in sides(source))
    root = write(*(f"others/z{p}_{i}.png" for p in range(6) for i in range(2)))
    others = Path(shutil.move(root / "others", tmp_path / "others"))
    for group in (learned, tested):
        (others / f"{group}_77.png").write_bytes((others / "z0_0.png").read_bytes())
    words = ["data=folder", f"data.root={photos}", PATTERN, f"data.neither={others}"]
    with pytest.raises(DataError, match=r"1 group is both in the training pool and in the test split"):
        add_neither(source, others, source_seed=0, reading=with_groups(*words))
    moving = grouped(PATTERN, "data.on_leak=move")
    found = add_neither(moving, others, source_seed=0, reading=with_groups(*words, "data.on_leak=move"))
    assert not sides(found)[0] & sides(found)[1]


def test_a_shifted_set_may_share_no_group_with_the_pool(write, grouped, photos: Path, tmp_path: Path) -> None:  # noqa: F811
    root = write(*(f"drawn/{kind}/p{p}_9.png" for kind in ("cat", "dog") for p in (0, 7)))
    root = Path(shutil.move(root / "drawn", tmp_path / "apart")).parent
    source = grouped(PATTERN)
    words = ["data=folder", f"data.root={photos}", PATTERN, f"data.shifted={root / 'apart'}"]
    leaking = source if "p0" in sides(source)[0] else grouped(PATTERN, "data.source_seed=1")
    assert "p0" in sides(leaking)[0]
    with pytest.raises(
        DataError, match=r"1 group is both in the training pool and in data.shifted \(p0\), with 6 images"
    ):
        add_shifted(leaking, root / "apart", some=False, reading=with_groups(*words))
    moved = grouped(PATTERN, "data.on_leak=move", f"data.source_seed={int(leaking is not source)}")
    found = add_shifted(moved, root / "apart", some=False, reading=with_groups(*words, "data.on_leak=move"))
    assert len(found.pool.names) == len(leaking.pool.names) - 6
    assert found.group_codes(found.shifted).tolist() == [0, 1, 0, 1]
    assert {leak.split for leak in found.leaks} == {"train", "shifted"}
    assert found.digest != moved.digest


def test_neither_goes_where_its_groups_are(write, grouped, photos: Path, tmp_path: Path) -> None:  # noqa: F811
    root = write(*(f"others/p{p}_{i}.png" for p in range(12) for i in range(20, 22)))
    root = Path(shutil.move(root / "others", tmp_path / "others")).parent
    words = ["data=folder", f"data.root={photos}", PATTERN, f"data.neither={root / 'others'}"]
    for seed in range(10):
        source = grouped(PATTERN, f"data.source_seed={seed}")
        before = sides(source)
        found = add_neither(source, root / "others", source_seed=seed, reading=with_groups(*words))
        pool, held_out = sides(found)
        assert not pool & held_out
        assert before[0] <= pool
        assert before[1] <= held_out
        assert set(found.held_out.labels.tolist()) == set(found.pool.labels.tolist()) == {0, 1, 2}
        assert sum(found.held_out.labels == 2) in (4, 6)
    assert found.digest != source.digest


def test_all_leaks_stand_in_a_table_without_secrets(splits: list[str], grouped, tmp_path: Path) -> None:  # noqa: F811
    leaks = grouped(*splits, "data.on_leak=list").leaks
    keep_secret("Jane Doe", shown="***")
    rows = list(
        csv.reader(leaks_csv((*leaks, Leak(group="Jane Doe", split="train", name="a/1.png"))).decode().splitlines())
    )
    assert rows[:2] == [["group", "split", "name"], ["p4", "test", "test/cat/p4_10.png"]]
    assert rows[-1] == ["***", "train", "a/1.png"]
    assert len(rows) == 12


def test_a_group_called_as_a_known_secret_is_masked_and_any_other_stays(splits: list[str], grouped, table) -> None:  # noqa: F811
    rows = {name: "ghp_" + "x1" * 18 if "p4" in name else name for name in TREE}
    with pytest.raises(DataError) as error:
        grouped(*splits[:2], table(rows))
    assert f"(ghp_{'x1' * 18})" in masked(str(error.value))
    keep_secret("ghp_" + "x1" * 18, shown="***")
    assert "in the test split (***), with 6 images" in masked(str(error.value))
    keep_secret("long" * 20)
    assert told_groups(["long" * 20]) == "***"  # before it is cut, after which nobody would know it


def test_long_names_of_groups_are_cut() -> None:
    assert told_groups([f"{letter}" * 60 for letter in "abcdefg"]).endswith(f"{'e' * 40}... and 2 more")
