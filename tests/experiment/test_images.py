import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.composed import load
from tlexp.config import Preprocessing
from tlexp.data.index import index_path
from tlexp.errors import BadImagesError, ConfigError, DataError
from tlexp.experiment.images import count_classes, draw_labels, listing_bad_images, open_images, per_class
from tlexp.secrets import keep_secret
from tlexp.train import Listener

LINES = [f"a/{number:02}.jpg: not an image of a supported format" for number in range(25)]


def fail() -> None:
    raise BadImagesError("data.root=photos: 25 of 30 images cannot be used:", LINES, "Mend them")


def test_all_bad_images_stand_in_a_file_that_the_error_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadImagesError) as error, listing_bad_images(tmp_path / "outputs" / "1"):
        fail()
    assert str(error.value).endswith("  ... and 5 more\nMend them. All are listed in outputs/1/bad-images.txt")
    assert (tmp_path / "outputs/1/bad-images.txt").read_text().splitlines() == LINES


def test_a_list_of_an_earlier_attempt_goes_and_other_errors_write_none(tmp_path: Path) -> None:
    path = tmp_path / "bad-images.txt"
    path.touch()
    with listing_bad_images(tmp_path):
        pass
    assert not path.exists()
    with pytest.raises(DataError, match="flat"), listing_bad_images(tmp_path):
        raise DataError("flat")
    assert not path.exists()


def test_the_error_stays_where_no_list_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadImagesError) as error, listing_bad_images(tmp_path / "file" / "folder"):
        fail()
    assert str(error.value).endswith("\nMend them")


def test_classes_that_look_like_credentials_stay_apart() -> None:
    counts = per_class(["dog", "password=a", "password=b"], np.array([0, 1, 1, 2]))
    assert counts == {"dog": 1, "password=a": 2, "password=b": 1}


def test_no_class_is_called_as_a_secret() -> None:
    config = load(["data.classes=[circle,square]"]).config
    expected = Preprocessing(image_size=16, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0)
    assert count_classes(config, expected) == 2
    keep_secret("square", shown="${oc.env:KLASSE}")
    for opening in (lambda: count_classes(config, expected), lambda: open_images(config, expected, Listener())):
        with pytest.raises(ConfigError, match=r"class \$\{oc\.env:KLASSE\}: everybody sees this name"):
            opening()


@pytest.mark.parametrize(("words", "kept"), [([], True), (["cache=off"], False), (["cache.max_bytes=0"], False)])
def test_checks_are_kept_where_anything_is(words: list[str], kept: bool, cache: Path, tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), number).save(path)
    config = load(["data=folder", f"data.root={tmp_path / 'photos'}", *words]).config
    expected = Preprocessing(image_size=8, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tlexp.data.index.RACY", 0)
        open_images(config, expected, Listener())
    assert index_path(cache).exists() is kept
    if kept:
        before = index_path(cache).stat().st_mtime_ns
        open_images(config, expected, Listener())
        assert index_path(cache).stat().st_mtime_ns == before
        config.data.recheck = True
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tlexp.data.index.RACY", 0)
            open_images(config, expected, Listener())
        assert index_path(cache).stat().st_mtime_ns > before


def test_the_rest_is_tested_on_where_a_fifth_was_split_off_and_a_given_test_split_stays() -> None:
    config = load(["data=digits", "data.evaluate=rest", "labels=10"]).config
    expected = Preprocessing(image_size=8, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0)
    source = open_images(config, expected, Listener())
    budget = draw_labels(config, source)
    assert 0.45 * len(source.pool.labels) < len(budget.rest) <= len(source.pool.labels) / 2
    assert not set(budget.rest.tolist()) & set(budget.positions.tolist())
    assert not len(draw_labels(load(["data=digits", "labels=10"]).config, source).rest)
    given = dataclasses.replace(source, held_out_from="test/")
    with pytest.raises(DataError, match=r"evaluate=rest: the test images are test/, and a test split that is giv"):
        draw_labels(config, given)


def test_the_rest_beside_groups_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"evaluate=rest beside data\.group=folder:1: a budget has images of all"):
        load(["data=folder", "data.root=photos", "data.group=folder:1", "data.evaluate=rest"])
