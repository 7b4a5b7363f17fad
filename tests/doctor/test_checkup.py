import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.composed import load
from tests.doctor.conftest import a_kinship
from tlexp.config.data import DataConfig, DataSource
from tlexp.data import Images
from tlexp.doctor import checkup
from tlexp.doctor.checkup import Checkup, check_up, default_folder, source_name
from tlexp.doctor.features import BACKBONE
from tlexp.errors import DataError
from tlexp.train import Listener


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take mean colours in place of a network's features."""

    def extract(config: object, images: Images, *_: object, **__: object) -> torch.Tensor:
        pictures = [images.read(place).resize((4, 4)) for place in range(len(images.labels))]
        return torch.tensor([list(picture.tobytes()) for picture in pictures], dtype=torch.float32)

    monkeypatch.setattr(checkup, "extract_features", extract)


@pytest.fixture
def unlike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no image for the near copy of another one, which takes seconds to find out."""
    monkeypatch.setattr(checkup, "find_kinship", lambda gallery, _: a_kinship(len(gallery)))


class Told(Listener):
    """Keeps messages."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def found(root: Path, *words: str, listener: Listener | None = None) -> Checkup:
    config = load([f"data.root={root}", "data=folder", "backbone=lite0", *words]).config
    return check_up(config, root.parent / "out", listener or Listener())


def keys(checked: Checkup) -> set[str]:
    return {finding.key for finding in checked.findings if finding.counts}


@pytest.mark.usefixtures("seen", "unlike")
def test_a_clean_folder_is_well(photos: Path) -> None:
    checked = found(photos)
    assert checked.well
    assert {path.name for path in checked.files} == {
        *("index.html", "groups.csv", "copies.csv", "suspects.csv", "doctor.json"),
    }
    assert all(path.is_file() for path in checked.files)


@pytest.mark.usefixtures("seen")
def test_what_is_planted_is_found_and_gone_when_it_is_mended(photos: Path) -> None:
    (photos / "train" / "cat" / "broken.jpg").write_bytes(b"no image")
    shutil.copy(photos / "train" / "cat" / "0.jpg", photos / "train" / "dog" / "torn.jpg")
    shutil.copy(photos / "train" / "cat" / "1.jpg", photos / "test" / "cat" / "same.jpg")
    Image.open(photos / "train" / "dog" / "2.jpg").resize((50, 40)).save(
        photos / "test" / "dog" / "near.jpg", quality=60
    )
    checked = found(photos)
    assert {"unreadable", "copies_torn", "copies_tested", "near_copies_across_splits"} <= keys(checked)
    folder = photos.parent / "out"
    assert (folder / "bad-images.txt").read_text() == "train/cat/broken.jpg: not an image of a supported format\n"
    rows = dict(line.rsplit(",", 1) for line in (folder / "groups.csv").read_text().splitlines())
    assert rows.pop("path") == "group"
    assert set(rows) == {path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg")}
    assert rows["train/dog/2.jpg"] == rows["test/dog/near.jpg"]
    assert rows["train/cat/0.jpg"] == rows["train/dog/torn.jpg"]
    assert rows["train/cat/1.jpg"] == rows["test/cat/same.jpg"]
    assert len(set(rows.values())) == len(rows) - 3
    for name in ("train/cat/broken.jpg", "train/dog/torn.jpg", "test/cat/same.jpg", "test/dog/near.jpg"):
        (photos / name).unlink()
    assert found(photos).well
    assert not (folder / "bad-images.txt").exists()


@pytest.mark.usefixtures("seen", "unlike")
def test_unreadable_files_keep_their_whole_names(photos: Path) -> None:
    (photos / "train" / "cat" / "a: b, c.jpg").write_bytes(b"no image")
    found(photos)
    assert '"train/cat/a: b, c.jpg",g' in (photos.parent / "out" / "groups.csv").read_text()


@pytest.mark.usefixtures("seen", "unlike")
def test_the_same_images_give_the_same_bytes(photos: Path) -> None:
    def content() -> list[bytes]:
        return [path.read_bytes() for path in found(photos).files]

    assert content() == content()


@pytest.mark.usefixtures("seen", "unlike")
def test_another_backbone_is_told_not_to_be_asked(photos: Path) -> None:
    told = Told()
    found(photos, "backbone=tiny", listener=told)
    assert told.said[0].startswith(f"doctor looks with {BACKBONE}")


@pytest.mark.usefixtures("seen", "unlike")
@pytest.mark.parametrize("left", [0, 1])
def test_too_few_images_are_an_error_of_the_source(photos: Path, left: int) -> None:
    for path in [*photos.rglob("*.jpg")][left:]:
        path.unlink()
    with pytest.raises(DataError):
        found(photos)


@pytest.mark.usefixtures("seen")
def test_one_label_per_class_has_no_suspects(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in photos.rglob("*.jpg"):
        if path.name != "0.jpg":
            path.unlink()
    monkeypatch.setattr(checkup, "find_kinship", lambda *_: a_kinship(4, (0, 2), (1, 3)))
    checked = found(photos)
    assert checked.diagnosis.judgement is None
    assert "not looked for" in checked.told()


def test_the_folder_has_a_stable_name() -> None:
    plain = DataConfig(source=DataSource.folder)
    names = {"photos/": "doctor-photos", "a b/Größe": "doctor-Gr-e", "/": "doctor-folder"}
    for root, name in names.items():
        assert default_folder(dataclasses.replace(plain, root=root)) == Path("outputs") / name
    assert default_folder(dataclasses.replace(plain, train="x/train", test="x/test")).name == "doctor-train"
    assert default_folder(DataConfig()).name == "doctor-shapes"
    assert source_name(dataclasses.replace(plain, source=DataSource.timm, name="torch/cifar10")) == "torch/cifar10"
