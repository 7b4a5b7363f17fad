from pathlib import Path

import pytest

from tlexp.errors import BadImagesError, DataError
from tlexp.experiment.images import listing_bad_images

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
