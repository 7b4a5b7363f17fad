"""Thumbnails of mistakes while the images are at hand, when one is gone, and when all are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlexp.errors import DataError
from tlexp.studies.analysis.findings import Mistake
from tlexp.studies.report.thumbnails import MOST, keep_thumbnails

MISTAKES = [
    Mistake(image=place, name=f"{place}.png", label=0, predicted=1, confidence=0.9, wrong=2) for place in range(20)
]


class Photos:
    """Twenty images, of which one is gone."""

    labels = np.zeros(20, np.int64)
    names = tuple(f"{place}.png" for place in range(20))

    def read(self, index: int) -> Image.Image:
        if index == 2:
            raise DataError("2.png is missing")
        return Image.new("RGB", (40 + index, 30))

    def digest(self, index: int) -> bytes:
        return bytes(32)


def test_the_first_mistakes_are_shown_but_for_an_image_that_is_gone(tmp_path: Path) -> None:
    found = keep_thumbnails(tmp_path, MISTAKES, Photos())
    assert set(found) == set(range(MOST)) - {2}


def test_what_was_shown_is_shown_again_without_the_images(tmp_path: Path) -> None:
    found = keep_thumbnails(tmp_path, MISTAKES, Photos())
    assert keep_thumbnails(tmp_path, MISTAKES, None) == found
    assert set(keep_thumbnails(tmp_path, MISTAKES[5:], None)) == set(range(5, MOST))
    assert keep_thumbnails(tmp_path / "other", MISTAKES, None) == {}


def test_thumbnails_of_other_mistakes_are_removed(tmp_path: Path) -> None:
    keep_thumbnails(tmp_path, MISTAKES, Photos())
    keep_thumbnails(tmp_path, MISTAKES[5:7], Photos())
    assert sorted(path.name for path in (tmp_path / "thumbnails").iterdir()) == ["5.jpg", "6.jpg"]


@pytest.mark.parametrize("images", [None, Photos()])
def test_no_mistakes_leave_no_folder(tmp_path: Path, images: Photos | None) -> None:
    assert keep_thumbnails(tmp_path, [], images) == {}
    assert list(tmp_path.iterdir()) == []
