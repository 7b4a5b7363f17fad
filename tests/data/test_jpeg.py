import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.faults.pictures import encoded, photo
from tlexp.data.jpeg import load_jpeg, read_markers
from tlexp.errors import DataError

WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "own tables": {"optimize": True},
    "best": {"quality": 100, "subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
}
PICTURES = {
    "photo": photo(0, (200, 150)),
    "odd": photo(1, (61, 97)),
    "grey bottom": photo(2, (200, 150), bottom=128),
    "white": Image.new("RGB", (320, 240), "white"),
    "grey": photo(3, (200, 150)).convert("L"),
    "CMYK": photo(4).convert("CMYK"),
}


def loaded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        load_jpeg(image, content)
        return np.asarray(image)


def cut(content: bytes, share: float) -> bytes:
    """Return a file of which so much of the data is left, with a proper end."""
    start = content.index(b"\xff\xda")
    return content[: int(start + share * (len(content) - start))] + b"\xff\xd9"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("picture", PICTURES)
def test_a_whole_file_decodes_to_the_same_bits(picture: str, way: str) -> None:
    content = encoded(PICTURES[picture], "JPEG", **WAYS[way])
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(loaded(content), np.asarray(image))
        assert np.array_equal(loaded(content + b"\x00" * 99 + content), np.asarray(image)), "what follows is not read"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.9])
def test_a_file_that_was_cut_is_refused_whatever_it_ends_in(picture: str, way: str, share: float) -> None:
    content = cut(encoded(PICTURES[picture], "JPEG", **WAYS[way]), share)
    for ending in (content, content[:-2], content[:-2] + bytes(4000)):
        with pytest.raises((DataError, OSError)):
            loaded(ending)


def test_pillow_alone_sees_nothing_in_a_file_that_was_cut() -> None:
    content = cut(encoded(PICTURES["photo"], "JPEG"), 0.5)
    with Image.open(io.BytesIO(content)) as image:
        assert np.ptp(np.asarray(image)[-1], axis=0).max() == 0, "its last row is grey"


def test_a_file_without_an_end_marker_is_whole() -> None:
    content = encoded(PICTURES["photo"], "JPEG")
    assert np.array_equal(loaded(content[:-2]), loaded(content))
    assert np.array_equal(loaded(content[:-2] + bytes(4000)), loaded(content))


def test_more_rows_than_data_are_refused() -> None:
    content = bytearray(encoded(PICTURES["photo"], "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 2] = (300).to_bytes(2, "big")
    with pytest.raises(DataError, match="its data end before the picture does"):
        loaded(bytes(content))


def test_scans_that_are_missing_are_seen_in_the_markers() -> None:
    content = encoded(PICTURES["photo"], "JPEG", progressive=True)
    data = read_markers(content)
    assert data is not None
    assert (data.frame, data.refines_all, data.one_scan) == (0xC2, True, False)
    assert [scan.lost for scan in data.scans] == [0] * len(data.scans)
    without_last = content[: content.rindex(b"\xff\xda")] + b"\xff\xd9"
    data = read_markers(without_last)
    assert data is not None
    assert not data.refines_all
    with pytest.raises(DataError):
        loaded(without_last)


def test_what_has_no_scan_is_left_to_the_decoder() -> None:
    assert read_markers(b"\xff\xd8\xff\xd9") is None
    assert read_markers(b"") is None


@pytest.mark.parametrize("short", [20, 34, 60])
def test_a_small_file_short_of_a_unit_is_refused(short: int) -> None:
    content = encoded(photo(0, (32, 32)), "JPEG", quality=30, subsampling=2)
    with pytest.raises(DataError, match="its data end before the picture does"):
        loaded(content[: -2 - short] + content[-2:])


@pytest.mark.parametrize("place", range(1, 9))
def test_a_scan_that_was_cut_is_refused_whichever_it_is(place: int) -> None:
    content = encoded(PICTURES["photo"], "JPEG", progressive=True)
    data = read_markers(content)
    assert data is not None
    end = data.scans[place].end
    begin = content.rindex(b"\xff\xda", 0, end)
    with pytest.raises(DataError, match="its data end before the picture does"):
        loaded(content[: (begin + end) // 2] + content[end:])


@pytest.mark.parametrize("way", ["restarts", "progressive with restarts"])
@pytest.mark.parametrize("picture", PICTURES)
def test_an_interval_that_was_dropped_is_missed(picture: str, way: str) -> None:
    content = encoded(PICTURES[picture], "JPEG", **WAYS[way])
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)]
    first, second = marks[len(marks) // 2 : len(marks) // 2 + 2]
    with pytest.raises(DataError, match="restart markers are missing"):
        loaded(content[:first] + content[second:])
