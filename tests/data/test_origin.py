from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.data.conftest import an_origin
from tlexp.config.data import SHAPES, DataConfig, DataSource
from tlexp.data import IN_MEMORY
from tlexp.errors import DataError


@pytest.fixture(params=list(DataSource))
def source(request, write, opened):
    if request.param.example is None:
        return opened(kind=request.param)
    root = write(*(f"{name}/{i}.png" for name in "abc" for i in range(7)))
    if request.param is DataSource.csv:
        root = table_of(root)
    return opened(root, kind=request.param)


def table_of(root: Path) -> Path:
    """Write a table of a tree of classes, in an order of its own, and return its path."""
    table = root / "labels.csv"
    files = sorted(root.glob("*/*.png"), key=lambda path: path.name, reverse=True)
    table.write_text("path,label\n" + "".join(f"{path.relative_to(root)},{path.parent.name}\n" for path in files))
    return table


class TestContract:
    """What every source keeps to."""

    def test_labels_and_names_fit(self, source) -> None:
        for images in (source.pool, source.held_out):
            assert images.labels.dtype == np.int64
            assert images.labels.shape == (len(images.names),)
            assert set(images.labels.tolist()) == set(range(len(source.classes)))
            assert all(name.isprintable() for name in images.names)

    def test_splits_share_no_image(self, source) -> None:
        names = [*source.pool.names, *source.held_out.names]
        assert len(set(names)) == len(names)

    def test_images_are_rgb_and_the_same_each_time(self, source) -> None:
        for images in (source.pool, source.held_out):
            first, again = images.read(1), images.read(1)
            assert first.mode == "RGB"
            assert first.tobytes() == again.tobytes()

    def test_digest(self, source) -> None:
        assert len(source.digest) == 64
        int(source.digest, 16)


def test_every_source_in_memory_has_its_function() -> None:
    assert {source for source in DataSource if source.in_memory} == set(IN_MEMORY), (
        "IN_MEMORY in data/in_memory.py and `in_memory` in config/data.py name the same sources"
    )


def test_digits_are_scikit_learns(opened) -> None:
    source = opened(kind=DataSource.digits)
    images, target = load_digits(return_X_y=True)
    assert source.classes == tuple("0123456789")
    assert len(source.pool.labels) + len(source.held_out.labels) == len(target)
    assert 0.19 < len(source.held_out.labels) / len(target) < 0.21
    digests = source.digest, source.pool.digest(0).hex()
    assert digests == (  # records and caches of earlier runs hold them
        "8d681482dd6d193cd473cc839cf8189bdf0d0bbe81eb8345a69a3f17f7634cb2",
        "0e5c79d6f25fcbd21f8425f8e44a9781981f80ffdd9be48745701c56495ce00f",
    )
    for split in (source.pool, source.held_out):
        for i in (0, 50, 200):
            place = int(split.names[i].split("/")[1])
            assert split.labels[i] == target[place]
            pixels = np.asarray(split.read(i)).reshape(64, 3).astype(float)
            assert np.abs(pixels - images[place][:, None] * 255 / 16).max() <= 0.5
    assert opened(kind=DataSource.digits).digest == source.digest
    assert opened(kind=DataSource.digits, source_seed=1).digest != source.digest


def test_classes_are_known_without_reading_an_image(write, opened) -> None:
    root = write("a/1.png", "b/1.png")
    (root / "b" / "1.png").write_text("no image")

    def classes(kind: DataSource, root: Path | None = None) -> tuple[str, ...]:
        return an_origin(kind, root).class_names(classes=None, at_least=2)

    assert classes(DataSource.folder, root) == ("a", "b")
    assert classes(DataSource.timm, root) == ("a", "b")
    assert classes(DataSource.csv, table_of(root)) == ("a", "b")
    assert classes(DataSource.shapes) == SHAPES[:3]
    assert classes(DataSource.digits) == opened(kind=DataSource.digits).classes
    for missing in (root / "nowhere", root / "a"):
        with pytest.raises(DataError) as cheap:
            classes(DataSource.folder, missing)
        with pytest.raises(DataError) as whole:
            opened(missing)
        assert str(cheap.value) == str(whole.value)


@pytest.mark.parametrize("kind", [kind for kind in DataSource if kind.example])
def test_files_need_a_root(kind: DataSource) -> None:
    problems = DataConfig(source=kind).problems()
    assert problems == [f"data.root is missing: data={kind} needs it, e.g. {kind.example}"]


def test_every_source_says_where_its_splits_come_from(source) -> None:
    assert source.pool_from
    assert source.held_out_from != ""


def test_a_fifth_that_was_split_off_comes_from_nowhere_else(write, opened) -> None:
    root = write(*(f"{name}/{i}.png" for name in "abc" for i in range(7)))
    told = {kind: opened(root, kind=kind) for kind in (DataSource.folder, DataSource.timm)}
    told[DataSource.csv] = opened(table_of(root), kind=DataSource.csv)
    told |= {kind: opened(kind=kind) for kind in (DataSource.digits, DataSource.shapes)}
    assert {kind: (source.pool_from, source.held_out_from) for kind, source in told.items()} == {
        DataSource.folder: (f"{root}/", None),
        DataSource.timm: ("split train", None),
        DataSource.csv: ("labels.csv", None),
        DataSource.digits: ("data=digits", None),
        DataSource.shapes: ("shapes rendered here", "others rendered here"),
    }
