import shutil
from pathlib import Path

import numpy as np
import pytest

from tlexp.config.data import DataSource, OnBad
from tlexp.config.labels import parse_labels
from tlexp.data import Decoding, Reading, Source, add_neither, draw_budget
from tlexp.errors import DataError

TREE = tuple(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(20))
SPLITS = (*(f"train/{name}" for name in TREE), *(f"test/{name}" for name in TREE[::2]))


def reading(on_bad: OnBad = OnBad.refuse) -> Reading:
    return Reading(
        on_bad=on_bad, follow_links=False, decoding=Decoding(max_pixels=10**6), progress=lambda done, total: None
    )


@pytest.fixture
def others(write, tmp_path: Path) -> Path:
    """30 images at three depths."""
    root = write(*(f"others/{place}{i}.png" for place in ("", "street/", "sea/deep/") for i in range(10)))
    return Path(shutil.move(root / "others", tmp_path / "others"))


def sources(write, opened) -> dict[str, Source]:
    return {"tree": opened(write(*(f"tree/{name}" for name in TREE)) / "tree"), "shapes": opened(per_class=9)}


@pytest.mark.parametrize("kind", ["tree", "shapes"])
def test_neither_is_one_more_class_and_the_others_stay(kind: str, write, opened, others: Path) -> None:
    plain = sources(write, opened)[kind]
    source = add_neither(plain, others, source_seed=0, reading=reading())
    assert source.classes == (*plain.classes, "neither")
    assert source.digest != plain.digest
    label = len(plain.classes)
    for images, before in ((source.pool, plain.pool), (source.held_out, plain.held_out)):
        count = len(before.labels)
        assert images.names[:count] == tuple(before.names)
        assert images.labels[:count].tolist() == before.labels.tolist()
        assert set(images.labels[count:].tolist()) == {label}
        assert images.labels.dtype == np.int64
        assert [images.digest(i) for i in range(count)] == [before.digest(i) for i in range(count)]
        assert images.read(0).tobytes() == before.read(0).tobytes()
        last = others / images.names[-1].removeprefix("neither:")
        assert (
            images.read(len(images.names) - 1).tobytes()
            == images.parts[1].read(len(images.names) - count - 1).tobytes()
        )
        assert last.is_file()
    names = [*source.pool.names, *source.held_out.names]
    assert len(set(names)) == len(names) == len(plain.pool.names) + len(plain.held_out.names) + 30
    share = len(plain.held_out.labels) / (len(plain.held_out.labels) + len(plain.pool.labels))
    assert (source.held_out.labels == label).sum() == round(share * 30)
    with pytest.raises(IndexError):
        source.pool.read(len(source.pool.labels))


def test_budgets_take_as_many_of_neither_and_the_same_of_the_others(write, opened, others: Path) -> None:
    plain = sources(write, opened)["tree"]
    source = add_neither(plain, others, source_seed=0, reading=reading())
    for seed in range(3):
        drawn, before = (
            draw_budget(each.pool.labels, parse_labels("7"), seed=seed, classes=each.classes)
            for each in (source, plain)
        )
        assert np.bincount(source.pool.labels[drawn]).tolist() == [7, 7, 7]
        assert drawn[:14].tolist() == before.tolist()


def test_the_share_follows_the_source_and_its_seed_draws_it(write, opened, others: Path) -> None:
    root = write(*SPLITS)
    source = add_neither(opened(root), others, source_seed=0, reading=reading())
    assert np.bincount(source.held_out.labels).tolist() == [10, 10, 10]
    held_out = {
        add_neither(opened(root), others, source_seed=seed, reading=reading()).held_out.names[-10:] for seed in range(5)
    }
    assert len(held_out) == 5


def test_one_class_and_neither_are_enough(write, opened, others: Path) -> None:
    root = write(*(f"cat/{i}.png" for i in range(10)))
    with pytest.raises(DataError, match="one class only"):
        opened(root)
    assert add_neither(opened(root, at_least=1), others, source_seed=0, reading=reading()).classes == ("cat", "neither")
    table = root / "labels.csv"
    table.write_text("path,label\n" + "".join(f"cat/{i}.png,cat\n" for i in range(10)))
    assert opened(table, kind=DataSource.csv, at_least=1).classes == ("cat",)


def test_neither_needs_a_name_a_folder_and_images_of_its_own(write, opened, others: Path, tmp_path: Path) -> None:
    def refused(source: Source, folder: Path) -> str:
        with pytest.raises(DataError) as error:
            add_neither(source, folder, source_seed=0, reading=reading())
        return str(error.value)

    tree = sources(write, opened)["tree"]
    assert "data.neither=" in refused(tree, tmp_path / "none")
    assert "none does not exist; it needs a folder of images" in refused(tree, tmp_path / "none")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert "holds no image, at any depth" in refused(tree, tmp_path / "empty")
    named = opened(write(*(f"named/{name}/{i}.png" for name in ("a", "neither") for i in range(5))) / "named")
    assert refused(named, others).endswith(
        "there is a class neither already; rename that one, or leave out data.neither"
    )
    message = refused(tree, tmp_path / "photos")
    assert "data.neither=" in message
    assert "no image of class cat is left in the split train" in message
    assert "e.g. cat/0.png = neither:tree/cat/0.png (under two classes); remove the copies" in message


def test_bad_images_of_neither_are_named_or_skipped(write, opened, others: Path) -> None:
    tree = sources(write, opened)["tree"]
    (others / "sea" / "bad.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 31 images cannot be used:\n  neither:sea/bad.png: not an image"):
        add_neither(tree, others, source_seed=0, reading=reading())
    source = add_neither(tree, others, source_seed=0, reading=reading(OnBad.skip))
    assert [name for name, _ in source.skipped] == ["neither:sea/bad.png"]


def test_copies_within_neither_count_once(write, opened, others: Path) -> None:
    source = opened(write(*(f"tree/{name}" for name in TREE)) / "tree")
    before = add_neither(source, others, source_seed=0, reading=reading())
    for copy in range(30):
        shutil.copy(others / "0.png", others / f"copy{copy}.png")
    found = add_neither(source, others, source_seed=0, reading=reading())
    assert {(copy.same_as, copy.split, str(copy.kind)) for copy in found.copies} == {
        ("neither:0.png", "neither", "counts once")
    }
    assert (len(found.copies), found.digest) == (30, before.digest)
    assert (found.pool.names, found.held_out.names) == (before.pool.names, before.held_out.names)


def test_what_is_of_a_class_and_of_neither_is_left_out_on_both_sides(write, opened, others: Path) -> None:
    tree = write(*(f"tree/{name}" for name in TREE)) / "tree"
    shutil.copy(tree / "cat" / "3.png", tree / "dog" / "torn.png")
    source = opened(tree)
    pool, held_out = source.pool.names[0], source.held_out.names[0]
    for number, name in enumerate((pool, held_out, "cat/3.png")):
        shutil.copy(tree / name, others / f"copy{number}.png")
    found = add_neither(source, others, source_seed=0, reading=reading())
    assert {copy.name: copy.same_as for copy in found.copies} == {
        "cat/3.png": "dog/torn.png",
        "dog/torn.png": "cat/3.png",
        pool: "neither:copy0.png",
        "neither:copy0.png": pool,
        held_out: "neither:copy1.png",
        "neither:copy1.png": held_out,
        "neither:copy2.png": "dog/torn.png",
    }
    assert {str(copy.kind) for copy in found.copies} == {"under two classes"}
    names = {*found.pool.names, *found.held_out.names}
    assert len(names) == 39 - 2 + 30
    assert not names & {copy.name for copy in found.copies}
    (others / "copy1.png").unlink()
    assert add_neither(source, others, source_seed=0, reading=reading()).digest != found.digest


def test_images_of_several_parts_are_found_without_counting_them_again(write, opened, others: Path) -> None:
    source = add_neither(opened(per_class=9), others, source_seed=0, reading=reading())
    parts, pool = source.pool.parts, source.pool
    assert [pool.digest(i) for i in range(len(pool.names))] == [
        part.digest(i) for part in parts for i in range(len(part.names))
    ]
