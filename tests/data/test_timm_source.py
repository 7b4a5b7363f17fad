import importlib.util
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import an_origin
from tlexp.config import Config
from tlexp.config.data import DataSource, OnBad
from tlexp.data import Source
from tlexp.errors import DataError

TREE = tuple(f"{name}/{i}.png" for name in ("10", "9", "cat") for i in range(12))
SPLITS = (*(f"train/{name}" for name in TREE), *(f"val/{name}" for name in TREE[::3]))
BOTH = (*SPLITS, *(f"test/{name}" for name in TREE[::4]))


def content(source: Source) -> list[list[tuple[str, int, bytes]]]:
    return [
        list(zip(images.names, images.labels.tolist(), map(images.digest, range(len(images.names))), strict=True))
        for images in (source.pool, source.held_out)
    ]


@pytest.fixture
def timm(opened):
    """Open a dataset of timm's."""

    def open_timm(**changes) -> Source:
        return opened(kind=DataSource.timm, **changes)

    return open_timm


def refused(timm, **asked: object) -> str:
    with pytest.raises(DataError) as error:
        timm(**asked)
    return str(error.value)


@pytest.mark.parametrize("images", [TREE, SPLITS, BOTH], ids=["tree", "splits", "both"])
@pytest.mark.parametrize("name", ["", "torch/image_folder"])
def test_timm_and_torchvision_give_the_images_of_the_folder(images, name: str, write, opened, timm) -> None:
    root = write(*images)
    folder, source = opened(root), timm(name=name, root=root)
    assert content(source) == content(folder)
    assert (source.classes, source.digest, source.notes) == (folder.classes, folder.digest, folder.notes)
    for index in range(3):
        assert source.pool.read(index).tobytes() == folder.pool.read(index).tobytes()
    some = timm(name=name, root=root, classes=["cat", "10"])
    assert some.digest == opened(root, classes=["cat", "10"]).digest
    assert an_origin(DataSource.timm, root, name=name).class_names(classes=None, at_least=2) == folder.classes


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm keeps tar files open
def test_a_tar_file_has_the_same_content(write, opened, timm, tmp_path: Path) -> None:
    root = write(*TREE)
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(root, arcname="photos")
    source = timm(root=tmp_path / "photos.tar")
    assert source.classes == ("10", "9", "cat")
    known = {(label, digest) for split in content(opened(root)) for _, label, digest in split}
    assert {(label, digest) for split in content(source) for _, label, digest in split} == known


def test_images_are_turned_upright_whoever_reads_them(write, opened, timm) -> None:
    root = write(*TREE)
    for shade, name in enumerate(("9/0.jpg", "cat/0.jpg")):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.arange(600, dtype=np.uint8).reshape(10, 20, 3) % (251 - shade)).save(root / name, exif=exif)
    folder = opened(root)
    place = next(i for i, name in enumerate(folder.pool.names) if name.endswith("jpg"))
    for name in ("", "torch/image_folder"):
        image = timm(name=name, root=root).pool.read(place)
        assert image.size == (10, 20)
        assert image.tobytes() == folder.pool.read(place).tobytes()


def test_an_image_that_cannot_be_read_is_named_and_never_replaced(write, timm) -> None:
    root = write(*TREE)
    (root / "cat" / "5.png").write_text("no image")
    for name in ("", "torch/image_folder"):
        message = refused(timm, name=name, root=root)
        assert "1 of 36 images cannot be used:\n  cat/5.png: not an image of a supported format" in message
        source = timm(name=name, root=root, on_bad=OnBad.skip)
        assert [name for name, _ in source.skipped] == ["cat/5.png"]
        assert len(source.pool.names) + len(source.held_out.names) == 35


def mnist(root: Path, **splits: int) -> Path:
    """Write a dataset in MNIST's format: as many images of each of ten classes."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split, count in splits.items():
        pixels = np.random.default_rng(count).integers(0, 256, (count * 10, 28, 28), dtype=np.uint8)
        pixels[:, :-1] = 7  # the last row alone tells images apart
        labels = np.arange(count * 10, dtype=np.uint8) % 10
        header = np.array([2051, len(pixels), 28, 28], ">i4").tobytes()
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = np.array([2049, len(pixels)], ">i4").tobytes()
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return root


def test_pixels_without_files_are_named_by_themselves(timm, tmp_path: Path) -> None:
    root = mnist(tmp_path, train=7, t10k=3)
    source = timm(name="torch/MNIST", root=root)
    assert source.classes[0] == "0 - zero"
    assert source.pool.names[:2] == ("train/0000000", "train/0000001")
    assert np.bincount(source.pool.labels).tolist() == [7] * 10
    assert np.bincount(source.held_out.labels).tolist() == [3] * 10
    digests = {digest: source.pool.read(i).tobytes() for i, (_, _, digest) in enumerate(content(source)[0])}
    assert len(digests) == len(set(digests.values())) == 70
    assert timm(name="torch/mnist", root=root).digest == source.digest
    swapped = timm(name="torch/mnist", root=root, split="test", test_split="train")
    assert [digest for _, _, digest in content(swapped)[0]] == [digest for _, _, digest in content(source)[1]]
    assert "28 x 28 pixels exceed data.max_pixels=99" in refused(timm, name="torch/mnist", root=root, max_pixels=99)


def test_splits_of_other_classes_are_refused(write, timm) -> None:
    root = write(*SPLITS)
    shutil.rmtree(root / "val" / "cat")
    message = refused(timm, root=root)
    assert "split val has other classes than split train: missing cat; data.classes=[...] keeps" in message
    assert timm(root=root, classes=["10", "9"]).classes == ("10", "9")


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"name": "torch/mnist"}, "data=timm data.name=torch/mnist"),
        ({"name": "torch/nosuch"}, "cannot be opened: Unknown torchvision dataset nosuch (AssertionError)"),
        ({"name": "torch/mnist", "columns": ["a", "b"]}, "(TypeError)"),
        (
            {"root": Path("/nowhere")},
            "/nowhere split train cannot be opened: it lies in no form that timm knows",
        ),
    ],
)
def test_what_timm_cannot_open_is_told_with_its_reason(asked, problem: str, timm, tmp_path: Path) -> None:
    message = refused(timm, **{"root": tmp_path, **asked})
    assert problem in message
    assert "see data.name, data.root, data.split and, where it is to be fetched, data.download" in message


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("hfds/x", "datasets", "hf"), ("tfds/x", "tensorflow_datasets", "tfds"), ("wds/x", "webdataset", "wds")],
)
def test_a_missing_package_is_told_with_the_command(name, module, extra, timm, tmp_path, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == module else found(asked))
    message = f"data.name={name} needs the package {module}: pip install 'tlexp[{extra}]'"
    assert refused(timm, name=name, root=tmp_path) == message


def shard(path: Path, images: list[tuple[bytes, int]]) -> None:
    """Write a tar file of WebDataset's form."""
    with tarfile.open(path, "w") as tar:
        for number, (image, label) in enumerate(images):
            for end, data in (("png", image), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"{number:05d}.{end}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves shards open
def test_webdataset_gives_the_pixels_of_the_folder(write, opened, timm, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    folder = opened(write(*SPLITS))
    splits = {}
    for split in ("train", "val"):
        images = [((tmp_path / "photos" / name).read_bytes(), ["10", "9", "cat"].index(name.split("/")[1]))
                  for name in SPLITS if name.startswith(split)]  # fmt: skip
        shard(tmp_path / f"{split}.tar", images)
        count = len(images)
        splits[split] = {"name": split, "num_samples": count, "filenames": [f"{split}.tar"], "shard_lengths": [count]}
    (tmp_path / "_info.json").write_text(json.dumps({"splits": splits}))
    source = timm(name="wds/mine", root=tmp_path)
    assert source.classes == ("0", "1", "2")
    for ours, theirs in ((source.pool, folder.pool), (source.held_out, folder.held_out)):
        pixels = [{images.read(i).tobytes() for i in range(len(images.names))} for images in (ours, theirs)]
        assert pixels[0] == pixels[1]
        assert np.bincount(ours.labels).tolist() == np.bincount(theirs.labels).tolist()
    assert timm(name="wds/mine", root=tmp_path).digest == source.digest
    shard(tmp_path / "val.tar", [*images, (b"no image", 1)])
    message = refused(timm, name="wds/mine", root=tmp_path)
    assert "val/lost 0: Handling webdataset error" in message
    assert message == refused(timm, name="wds/mine", root=tmp_path)
    assert len(timm(name="wds/mine", root=tmp_path, on_bad=OnBad.skip).skipped) == 1


@pytest.mark.filterwarnings("ignore::Warning")  # of the libraries that it pickles with
def test_hugging_face_gives_the_images_of_the_folder(write, opened, timm, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    root = write(*SPLITS)
    folder = opened(root)
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "9", "10"])})
    (tmp_path / "mine").mkdir()
    for split, images in (("train", folder.pool), ("validation", folder.held_out)):
        rows = {
            "img": [{"bytes": (root / name).read_bytes(), "path": None} for name in images.names],
            "kind": [["cat", "9", "10"].index(folder.classes[label]) for label in images.labels],
        }
        place = tmp_path / "mine" / f"{split}-00000.parquet"
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(place))
    source = timm(name=f"hfds/{tmp_path / 'mine'}", root=tmp_path / "kept", columns=["img", "kind"])
    assert source.classes == folder.classes
    ours, theirs = content(source), content(folder)
    assert [[line[1:] for line in split] for split in ours] == [[line[1:] for line in split] for split in theirs]


def test_settings_of_timm_have_their_rules() -> None:
    def problems(**changes: object) -> str:
        config = Config().data
        for name, value in changes.items():
            setattr(config, name, value)
        return "\n".join([*config.foreign_problems(), *config.problems()])

    timm = {"source": DataSource.timm}
    assert problems(**timm, name="hfds/x") == problems(**timm, name="torch/mnist", root="here") == ""
    assert "data.root is missing: data=timm needs it" in problems(**timm, name="torch/mnist")
    assert "data.name=mnist: must begin with torch/, hfds/" in problems(**timm, name="mnist", root="here")
    assert "data.split=a: must name a split, another" in problems(**timm, name="hfds/x", split="a", test_split="a")
    for change in ({"name": "torch/mnist"}, {"split": "a"}, {"test_split": "a"}, {"download": True}):
        assert "needs data=timm: data=shapes knows none" in problems(**change)


@pytest.mark.parametrize("name", ["", "torch/image_folder"])
def test_a_folder_may_spell_its_splits_in_any_common_way(name: str, write, opened, timm) -> None:
    root = write(*(f"Training/{image}" for image in TREE), *(f"Testing/{image}" for image in TREE[::4]))
    source = timm(name=name, root=root)
    assert source.digest == opened(root).digest
    assert (source.classes, source.held_out_from) == (("10", "9", "cat"), "split Testing")
