import gc
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import Unreadable
from tests.faults.pictures import photo
from tlexp.config.data import OnBad
from tlexp.data.images import describe
from tlexp.errors import BadImagesError, DataError

SPLITS = tuple(f"{split}/{name}/{i}.png" for split in ("train", "test") for name in "ab" for i in range(3))
TREE = tuple(f"{name}/{i}.png" for name in "ab" for i in range(10))


def refused(opened, root: Path, **changes: object) -> str:
    with pytest.raises(DataError) as error:
        opened(root, **changes)
    return str(error.value)


def test_splits_labels_names_and_pixels_belong_together(write, opened) -> None:
    root = write(*SPLITS)
    source = opened(root)
    assert (source.classes, source.notes, source.skipped) == (("a", "b"), (), ())
    for images, split in ((source.pool, "train"), (source.held_out, "test")):
        assert list(images.names) == [name for name in sorted(SPLITS) if name.startswith(split)]
        for i, name in enumerate(images.names):
            assert source.classes[images.labels[i]] == name.split("/")[1]
            with Image.open(root / name) as image:
                assert np.array_equal(np.asarray(images.read(i)), np.asarray(image))


def test_one_tree_holds_out_a_fifth_by_the_source_seed(write, opened) -> None:
    root = write(*TREE)
    source = opened(root)
    assert sorted([*source.pool.names, *source.held_out.names]) == sorted(TREE)
    assert np.bincount(source.held_out.labels).tolist() == [2, 2]
    held_out = {opened(root, source_seed=seed).held_out.names for seed in range(6)}
    assert len(held_out) > 3
    assert opened(root).held_out.names == source.held_out.names


def test_a_source_knows_the_folder_that_is_meant(write, opened) -> None:
    inside = tuple(f"sorted/{name}/{i}.png" for name in ("cat", "dog", "elk") for i in range(2))
    root = write(*inside, "unsorted/1.png", "unsorted/2.png")
    assert opened(root).meant == root / "sorted"
    assert opened(root / "sorted").meant is None


def test_the_digest_follows_content_names_and_labels_not_the_place(write, opened, tmp_path: Path) -> None:
    root = write(*SPLITS)
    digest = opened(root).digest
    moved = shutil.copytree(root, tmp_path / "moved")
    os.utime(moved / SPLITS[0], (1, 1))
    (moved / "train" / "a" / "notes.txt").write_text("not an image")
    assert opened(moved).digest == digest

    changes = [
        lambda top: Image.new("RGB", (12, 9)).save(top / SPLITS[0]),
        lambda top: (top / SPLITS[0]).rename(top / "train/a/other.png"),
        lambda top: (top / SPLITS[0]).rename(top / "train/b/other.png"),
        lambda top: (top / SPLITS[0]).unlink(),
        lambda top: [(top / split / "a").rename(top / split / "aa") for split in ("train", "test")],
        lambda top: (top / "test").rename(top / "val"),
    ]
    digests = {digest}
    for number, change in enumerate(changes):
        copy = shutil.copytree(root, tmp_path / f"copy{number}")
        change(copy)
        digests.add(opened(copy).digest)
    tree = write(*(f"tree/{name}" for name in TREE)) / "tree"
    digests |= {opened(tree).digest, opened(tree, source_seed=1).digest}
    assert len(digests) == len(changes) + 3


def spoil(root: Path) -> list[str]:
    (root / "train/a/text.jpg").write_text("no image")
    (root / "train/b/zero.png").touch()
    whole = (root / SPLITS[0]).read_bytes()
    (root / "test/b/cut.png").write_bytes(whole[:-60])
    os.mkfifo(root / "train/a/pipe.png")
    return ["test/b/cut.png", "train/a/pipe.png", "train/a/text.jpg", "train/b/zero.png"]


def test_a_decoder_that_gives_other_pixels_gives_the_folder_another_digest_and_no_image(write, opened) -> None:
    root = write(*(f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(5)))
    for place, path in enumerate(sorted(root.rglob("*.jpg"))):
        photo(place, (200, 150)).save(path)
    exact, fast = opened(root), opened(root, least_side=75)
    assert (exact.digest != fast.digest, exact.short_sides, fast.short_sides) == (True, (150,) * 3, (150,) * 3)
    assert [describe(source.held_out) for source in (exact, fast)] == [describe(exact.held_out)] * 2
    assert (exact.held_out.read(0).size, fast.held_out.read(0).size) == ((200, 150), (100, 75))
    assert opened(root, least_side=151).digest == fast.digest, "by the setting, not by what an input needs"


def test_bad_images_are_all_named_at_once(write, opened) -> None:
    root = write(*SPLITS)
    bad = spoil(root)
    message = refused(opened, root)
    assert message.startswith(f"data.root={root}: 4 of 16 images cannot be used:\n  test/b/cut.png: ")
    assert [line.strip().split(":")[0] for line in message.splitlines()[1:-1]] == bad
    assert "  train/a/text.jpg: not an image of a supported format\n" in message
    assert message.endswith("Mend or remove them, or leave them out with data.on_bad=skip")


def test_skipping_leaves_out_the_bad_and_nothing_else(write, opened) -> None:
    root = write(*SPLITS)
    clean = opened(root)
    bad = spoil(root)
    source = opened(root, on_bad=OnBad.skip)
    assert [name for name, _ in source.skipped] == bad
    assert (source.pool.names, source.held_out.names) == (clean.pool.names, clean.held_out.names)
    assert source.digest == clean.digest
    assert opened(root, on_bad=OnBad.skip).skipped == source.skipped


def test_many_bad_images_are_counted(write, opened) -> None:
    root = write(*TREE)
    for i in range(25):
        (root / "a" / f"bad{i:02}.jpg").touch()
    message = refused(opened, root)
    assert "25 of 45 images" in message
    assert "bad19.jpg" in message
    assert "bad20.jpg" not in message
    assert "  ... and 5 more\n" in message
    assert len(opened(root, on_bad=OnBad.skip).skipped) == 25


def test_a_class_that_skipping_empties_is_an_error(write, opened) -> None:
    root = write(*SPLITS)
    for i in range(3):
        (root / f"test/b/{i}.png").write_text("x")
    assert "is left in class b:\n  test/b/0.png: not an image" in refused(opened, root, on_bad=OnBad.skip)


def test_max_pixels_refuses_large_images(write, opened) -> None:
    root = write(*SPLITS)
    assert opened(root, max_pixels=108).skipped == ()
    assert "12 of 12 images" in refused(opened, root, max_pixels=107)


def test_messages_escape_names(write, opened) -> None:
    root = write(*SPLITS)
    (root / "train/a/x\n\x1b[31m.png").write_text("no image")
    assert "train/a/x\\n\\x1b[31m.png: not an image" in refused(opened, root)


def test_copies_across_splits_and_labels_are_left_out(write, opened) -> None:
    root = write(*SPLITS)
    shutil.copy(root / "train/a/0.png", root / "test/a/copy.png")
    shutil.copy(root / "train/b/0.png", root / "train/b/twice.png")
    shutil.copy(root / "train/a/1.png", root / "test/b/2.png")
    source = opened(root)
    assert [(copy.name, copy.same_as, copy.split, str(copy.kind)) for copy in source.copies] == [
        ("test/b/2.png", "train/a/1.png", "test", "under two classes"),
        ("train/a/0.png", "test/a/copy.png", "train", "in the test split"),
        ("train/a/1.png", "test/b/2.png", "train", "under two classes"),
        ("train/b/twice.png", "train/b/0.png", "train", "counts once"),
    ]
    assert source.pool.names == ("train/a/2.png", *(f"train/b/{number}.png" for number in range(3)))
    assert source.held_out.names == (
        *(f"test/a/{name}.png" for name in ("0", "1", "2", "copy")),
        "test/b/0.png",
        "test/b/1.png",
    )
    assert (source.notes, source.skipped) == ((), ())
    for copy in source.copies:
        (root / copy.name).unlink()
    clean = opened(root)
    assert (clean.digest, clean.copies) == (source.digest, ())


def test_a_fifth_is_split_off_what_is_there_once(write, opened) -> None:
    root = write(*TREE)
    before = opened(root)
    for name in TREE:
        shutil.copy(root / name, root / name.replace(".png", "x.png"))
    source = opened(root)
    assert len(source.copies) == 20
    assert (source.pool.names, source.held_out.names) == (before.pool.names, before.held_out.names)
    assert source.digest == before.digest


def test_a_class_of_copies_alone_is_refused(write, opened) -> None:
    root = write(*SPLITS)
    shutil.rmtree(root / "train/b")
    shutil.copytree(root / "test/b", root / "train/b")
    assert refused(opened, root) == (
        f"data.root={root}: no image of class b is left in the split train, for exact copies are one image and 3 are "
        "left out, e.g. train/b/0.png = test/b/0.png (in the test split); remove the copies that are out of place, or "
        "add images of the class"
    )
    tree = write(*(f"tree/{name}" for name in TREE)) / "tree"
    shutil.copytree(tree / "a", tree / "b", dirs_exist_ok=True)
    assert "class a is left in the split train, for exact copies are one image and 10 are" in refused(opened, tree)
    shutil.rmtree(tree / "b")
    (tree / "b").mkdir()
    for name in ("1.png", "2.png"):
        Image.new("RGB", (9, 9)).save(tree / "b" / name)
    assert refused(opened, tree).startswith("b: fewer than 2 images (exact copies count as one), so none can be held")


def test_conversions_and_other_files_are_noted(write, opened) -> None:
    root = write(*SPLITS)
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(root / "train/a/deep.png")
    Image.new("RGBA", (4, 4), (9, 9, 9, 9)).save(root / "train/a/clear.png")
    (root / "train/b/list.csv").touch()
    assert opened(root).notes == (
        "1 file is not used: 1 .csv (e.g. train/b/list.csv)",
        "1 images have 16 bits, of which the upper 8 are kept, e.g. train/a/deep.png",
        "1 images have transparent parts, which are put on white, e.g. train/a/clear.png",
    )


def test_a_file_that_changes_during_the_run_is_noticed(write, opened) -> None:
    root = write(*SPLITS)
    source = opened(root)
    shutil.copy(root / "train/a/1.png", root / "train/a/0.png")
    with pytest.raises(DataError, match=r"train/a/0.png was changed while the run used it"):
        source.pool.read(0)
    (root / "train/a/1.png").unlink()
    with pytest.raises(DataError, match=r"train/a/1.png could be read when the run began, now not: No such file"):
        source.pool.read(1)


def test_progress_reaches_the_end_and_may_stop_the_reading(write, opened) -> None:
    root = write(*(f"{name}/{i}.png" for name in "ab" for i in range(40)))
    seen: list[tuple[int, int]] = []
    opened(root, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (80, 80)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(root, progress=stop)


def test_pixels_are_not_kept(write, opened) -> None:
    root = write(*(f"{name}/{i}.png" for name in "ab" for i in range(40)), size=(33, 44))
    alive: list[int] = []

    def count(done: int, total: int) -> None:
        alive.append(sum(type(thing) is Image.Image and thing.size == (44, 33) for thing in gc.get_objects()))

    opened(root, progress=count)
    assert alive[-1] <= 8  # no more than threads


def test_photographs_of_phones_are_read_or_refused_as_one(write, opened, monkeypatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    root = write(*SPLITS)
    pillow_heif.register_heif_opener()
    for name in ("train/a/IMG_1.HEIC", "test/b/IMG_2.heic"):
        with Image.open(root / "train/a/0.png") as image:
            image.resize((64, 48)).rotate(len(name)).save(root / name, format="HEIF")
    (root / "train/a/jpeg.jpg").write_bytes((root / "train/a/IMG_1.HEIC").read_bytes())
    source = opened(root)
    assert "train/a/IMG_1.HEIC" in source.pool.names
    assert source.pool.read(source.pool.names.index("train/a/IMG_1.HEIC")).size == (64, 48)

    monkeypatch.setattr("tlexp.data.decode._optional", dict)
    message = refused(opened, root)
    assert message == (
        f"data.root={root}: 2 of 15 images are HEIC or AVIF by their names, e.g. train/a/IMG_1.HEIC: HEIC, which "
        "needs pillow-heif: pip install 'tlexp[heif]', or leave them out with data.on_bad=skip"
    )
    assert [list(pair) for pair in opened(root, on_bad=OnBad.skip).skipped] == [
        [name, "HEIC, which needs pillow-heif: pip install 'tlexp[heif]'"]
        for name in ("test/b/IMG_2.heic", "train/a/IMG_1.HEIC", "train/a/jpeg.jpg")
    ]


def test_a_jpeg_that_is_called_heic_needs_no_decoder(write, opened, monkeypatch) -> None:
    root = write(*(f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(5)))
    (root / "cat" / "0.jpg").rename(root / "cat" / "0.heic")
    monkeypatch.setattr("tlexp.data.decode._optional", dict)
    source = opened(root)
    assert "cat/0.heic" in {*source.pool.names, *source.held_out.names}


def test_a_folder_that_cannot_be_read_is_named_with_the_bad_images(write, opened, unreadable: Unreadable) -> None:
    root = write(*SPLITS, "train/a/theirs/1.png")
    (root / "train/b/zero.png").touch()
    unreadable("theirs")
    message = refused(opened, root)
    assert "2 of 14 images cannot be used" in message
    assert "  train/a/theirs: a folder that cannot be read: Permission denied\n  train/b/zero.png: " in message
    source = opened(root, on_bad=OnBad.skip)
    assert [name for name, _ in source.skipped] == ["train/a/theirs", "train/b/zero.png"]
    assert len(source.pool.names) == 6


def test_a_class_folder_that_cannot_be_read_is_named_and_never_an_empty_class(
    write, opened, unreadable: Unreadable
) -> None:
    root = write(*SPLITS)
    (root / "train/a").rename(root / "train/shut")
    (root / "test/a").rename(root / "test/shut")
    unreadable("shut")
    assert "  train/shut: a folder that cannot be read: Permission denied\n" in refused(opened, root)
    assert "no image that can be read is left in class shut" in refused(opened, root, on_bad=OnBad.skip)


def test_what_holds_all_bad_images_names_twenty(write, opened) -> None:
    root = write(*TREE)
    for i in range(25):
        (root / "a" / f"bad{i:02}.jpg").touch()
    with pytest.raises(BadImagesError) as raised:
        opened(root)
    error = raised.value.listed_in("runs/1/bad-images.txt")
    assert [line.partition(":")[0] for line in error.lines] == [f"a/bad{i:02}.jpg" for i in range(25)]
    assert len(error.details) == 22
    assert error.details[-2:] == [
        "  ... and 5 more",
        "Mend or remove them, or leave them out with data.on_bad=skip. All are listed in runs/1/bad-images.txt",
    ]


def test_names_that_people_would_read_wrongly_are_noted(write, opened) -> None:
    root = write(*(f"{name}/{i}.png" for name in ("cat\u200b", "dog", "d\u043eg") for i in range(5)))
    assert opened(root).notes == (
        "the name of class cat\\u200b holds characters that do not show",
        "the name of class d\\u043eg mixes letters that look alike, CYRILLIC and LATIN",
        "classes dog and d\\u043eg look alike, but are classes of their own",
    )
