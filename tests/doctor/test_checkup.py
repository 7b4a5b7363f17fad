import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.composed import load
from tests.doctor.conftest import a_kinship
from tlexp.config.data import DataConfig, DataSource
from tlexp.data import Images, Source
from tlexp.doctor import checkup
from tlexp.doctor.checkup import Checkup, check_up, default_folder, source_name
from tlexp.doctor.features import BACKBONE, expected_by, seen_by_lite0
from tlexp.doctor.gallery import Gallery
from tlexp.doctor.kinship import Kinship
from tlexp.errors import ConfigError, DataError
from tlexp.experiment.images import open_images
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
def test_files_that_runs_are_told_to_skip_are_listed_and_settled(photos: Path) -> None:
    (photos / "train" / "cat" / "broken.jpg").write_bytes(b"no image")
    assert not found(photos).well
    checked = found(photos, "data.on_bad=skip")
    assert checked.well
    [line] = [line for line in checked.told().splitlines() if line.startswith("unreadable files")]
    assert line.split("  ")[-1] == "left out, as data.on_bad=skip says"
    assert (photos.parent / "out" / "bad-images.txt").read_text().startswith("train/cat/broken.jpg: ")
    assert "A run leaves them out, as data.on_bad=skip says." in (photos.parent / "out" / "index.html").read_text()


@pytest.mark.usefixtures("seen", "unlike")
def test_a_folder_of_everything_is_told_and_left_alone(photos: Path) -> None:
    for split in ("train", "test"):
        (photos / split / "dog").rename(photos / split / "_todo")
    checked = found(photos)
    assert checked.well
    [line] = [line for line in checked.told().splitlines() if line.startswith("class ")]
    assert line.startswith("class     _todo may be no class, by its name; ")
    told = line.removeprefix("class     ")
    assert told in checked.values()["notes"]
    assert f"{told}." in (photos.parent / "out" / "index.html").read_text()


def opened_as_advised(checked: Checkup, root: Path, *words: str) -> Source:
    """Return what a run sees with the words that were advised."""
    config = load([f"data.root={root}", "data=folder", "backbone=lite0", *advised(checked), *words]).config
    return open_images(config, expected_by(seen_by_lite0(config)), Listener())


def advised(checked: Checkup) -> list[str]:
    [finding] = [each for each in checked.findings if each.key == "near_copies_across_splits"]
    return finding.advice.split()


@pytest.mark.usefixtures("seen")
def test_what_is_advised_holds_for_runs_and_for_another_look(photos: Path) -> None:
    Image.open(photos / "train" / "dog" / "2.jpg").resize((50, 40)).save(photos / "test" / "dog" / "near.jpg")
    first = found(photos)
    table = (photos.parent / "out" / "groups.csv").read_text()
    assert "near_copies_across_splits" in keys(first)
    again = found(photos, *advised(first))
    assert again.well, "the run that is asked about learns from no such image"
    assert again.diagnosis.counts["train"] == {"cat": 8, "dog": 7}
    assert not any("leaks.csv" in note for note in again.diagnosis.source.notes)
    assert (photos.parent / "out" / "groups.csv").read_text() == table
    assert "train/dog/2.jpg" not in opened_as_advised(again, photos).pool.names


@pytest.mark.usefixtures("seen", "unlike")
def test_given_groups_are_joined_with_those_that_are_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "find_kinship", lambda gallery, _: a_kinship(len(gallery), (0, 1)))
    diagnosis = found(photos, "data.group=folder:1", "data.on_leak=list").diagnosis
    assert len(set(diagnosis.groups.tolist())) == 2
    rows = dict(line.rsplit(",", 1) for line in (photos.parent / "out" / "groups.csv").read_text().splitlines()[1:])
    assert len(set(rows.values())) == 2
    assert diagnosis.judgement is None, "each class is one group"


@pytest.mark.usefixtures("seen", "unlike")
@pytest.mark.parametrize(("on_leak", "learned"), [("refuse", 16), ("list", 16), ("move", 8)])
def test_groups_on_both_sides_hide_no_image(photos: Path, on_leak: str, learned: int) -> None:
    gallery = found(photos, r"data.group='pattern:\d'", f"data.on_leak={on_leak}").diagnosis.gallery
    assert (len(gallery), int(gallery.learned.sum())) == (24, learned)


@pytest.mark.usefixtures("seen", "unlike")
def test_the_shifted_set_and_the_one_of_neither_are_looked_at_too(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(photos / "test", tmp_path / "shifted")
    for number, path in enumerate(sorted((tmp_path / "shifted").rglob("*.jpg"))):
        Image.open(path).rotate(90 + number).save(path)
    for number, name in enumerate(["others/0", "others/1", "others/2", "others/3", "others/4", "shifted/neither/0"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.effect_noise((40, 40), 20 + number).save(tmp_path / f"{name}.png")
    words = (f"data.shifted={tmp_path / 'shifted'}", f"data.neither={tmp_path / 'others'}")

    def kinship(gallery: Gallery, _: Listener) -> Kinship:
        return a_kinship(len(gallery), tuple(map(gallery.names.index, ("train/cat/0.jpg", "shifted:dog/3.jpg"))))

    monkeypatch.setattr(checkup, "find_kinship", kinship)
    checked = found(photos, *words)
    assert {"near_copies_across_splits"} <= keys(checked)
    assert checked.diagnosis.counts["shifted"] == {"cat": 4, "dog": 4, "neither": 1}
    rows = dict(line.rsplit(",", 1) for line in (photos.parent / "out" / "groups.csv").read_text().splitlines()[1:])
    assert len(rows) == 24 + 9 + 5
    assert rows["train/cat/0.jpg"] == rows["shifted:dog/3.jpg"]
    source = opened_as_advised(checked, photos, *words)
    assert "train/cat/0.jpg" not in source.pool.names


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
def test_photographs_are_looked_at_with_all_their_pixels(photos: Path) -> None:
    for path in photos.rglob("*.jpg"):
        with Image.open(path) as image:
            image.resize((1200, 1100)).save(path)
    sizes = found(photos, "data.decoder=fast").diagnosis.gallery.sizes
    assert sizes.tolist() == [[1200, 1100]] * 24


@pytest.mark.usefixtures("seen", "unlike")
@pytest.mark.parametrize("left", [0, 1])
def test_too_few_images_are_an_error_of_the_source(photos: Path, left: int) -> None:
    for path in [*photos.rglob("*.jpg")][left:]:
        path.unlink()
    with pytest.raises(DataError):
        found(photos)


@pytest.mark.usefixtures("seen")
def test_images_that_lie_nowhere_get_no_advice_that_a_run_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "find_kinship", lambda gallery, _: a_kinship(len(gallery), (0, len(gallery) - 1)))
    words = ("data.per_class=3", "data.test_per_class=2", "data.num_classes=2", "data.size=32", "backbone=lite0")
    checked = check_up(load([*words]).config, tmp_path / "out", Listener())
    assert "near_copies_across_splits" in keys(checked)
    assert "data.group" not in checked.told() + (tmp_path / "out" / "index.html").read_text()


@pytest.mark.usefixtures("seen")
def test_one_label_per_class_has_no_suspects(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in photos.rglob("*.jpg"):
        if path.name != "0.jpg":
            path.unlink()
    monkeypatch.setattr(checkup, "find_kinship", lambda *_: a_kinship(4, (0, 2), (1, 3)))
    checked = found(photos)
    assert checked.diagnosis.judgement is None
    assert "not looked for" in checked.told()


@pytest.mark.usefixtures("seen", "unlike")
@pytest.mark.parametrize("name", ["index.html", "groups.csv", "bad-images.txt"])
def test_files_of_somebody_else_are_not_written_over(photos: Path, name: str) -> None:
    folder = photos.parent / "out"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(ConfigError, match=rf"--folder=.*out holds {name} and no doctor.json .*--folder=findings"):
        found(photos)
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "mine"
    (folder / name).unlink()
    assert found(photos).well
    assert found(photos).well, "its own files are renewed"


@pytest.mark.usefixtures("seen", "unlike")
def test_a_folder_of_a_look_that_broke_off_is_taken_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("tlexp.doctor.checkup.build_page", lambda *_: "page")
        patch.setattr("tlexp.doctor.checkup.publish", lambda path, data: path.write_bytes(b"half") and full())
        with pytest.raises(OSError, match="disk is full"):
            found(photos)
    assert found(photos).well


def folder_of(source: DataSource = DataSource.folder, **settings: str) -> str:
    folder = default_folder(dataclasses.replace(DataConfig(source=source), **settings))
    assert folder.parent == Path("outputs")
    return folder.name


def test_the_folder_has_a_stable_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of(root="photos/") == folder_of(root="./x/../photos") == "doctor-photos"
    assert folder_of(root=str(tmp_path / "photos")) == "doctor-photos", "however it is typed"
    assert folder_of(root="/a/photos") == "doctor-photos-5a9fbd"
    assert folder_of(root="/") == "doctor-folder-8a5eda"
    assert re.fullmatch("doctor-train-[0-9a-f]{6}", folder_of(train="x/train", test="x/test"))
    assert folder_of(DataSource.shapes) == "doctor-shapes"
    assert folder_of(DataSource.timm, name="torch/cifar10") == "doctor-torch-cifar10"
    assert source_name(DataConfig(source=DataSource.timm, name="torch/cifar10", root="datasets")) == "torch/cifar10"


def test_each_place_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    roots = ("photos", "/a/photos", "/b/photos", "写真", "фото", "a b", "a-b", "Größe", "Gr-e")
    names = {folder_of(root=root) for root in roots}
    assert len(names) == len(roots)
    assert all(re.fullmatch("[A-Za-z0-9._-]+", name) for name in names)
    roots = ("datasets", "/else/datasets")
    assert len({folder_of(DataSource.timm, name="torch/cifar10", root=root) for root in roots}) == 2
