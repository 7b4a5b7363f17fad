"""Files that are no pictures any more, or other ones than they look: one report names all, and no good one."""

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import an_origin
from tests.faults.pictures import Good, damaged, encoded, good, misread, photo
from tlexp.config.data import DataSource, OnBad
from tlexp.data import Decoding, Reading
from tlexp.data.decode import decode
from tlexp.errors import BadImagesError, DataError

SETS = os.environ.get("TLEXP_SETS")
ASKED = Decoding(max_pixels=10**8)
EXPECTED = ("have 16 bits, of which", "are CMYK, converted to RGB")
"""What is told of good files too."""


def report(root: Path, on_bad: OnBad = OnBad.refuse) -> tuple[str, ...]:
    """Return the lines of bad images that a folder is refused with, or that are left out."""
    reading = Reading(on_bad=on_bad, follow_links=False, decoding=ASKED, progress=lambda done, count: None)
    origin = an_origin(DataSource.folder, root)
    try:
        return origin.open(classes=None, at_least=2, source_seed=0, reading=reading).skipped_lines
    except BadImagesError as error:
        return error.lines


def silent(root: Path) -> list[str]:
    """Return the kinds of damaged files that one reading of a folder does not name, and good ones that it does."""
    places = {}
    for number, (name, ending, content) in enumerate(damaged()):
        path = root / ("cat", "dog")[number % 2] / f"{number:03}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        places[f"{path.parent.name}/{path.name}"] = name
    for number in range(10):
        path = root / ("cat", "dog")[number % 2] / f"good{number}.png"
        path.write_bytes(encoded(photo(1000 + number), "PNG"))
    named = {line.partition(":")[0] for line in report(root)}
    assert len(places) >= 150
    return [name for place, name in places.items() if place not in named] + sorted(named - places.keys())


def unsaid() -> list[str]:
    """Return the kinds of files that decode to what they do not look like, without a word."""
    return [
        name
        for name, content, told in misread()
        if told not in " ".join(decode(io.BytesIO(content), ASKED).conversions)
    ]


def accused(files: Iterable[Good]) -> list[str]:
    """Return the good files that are refused, warned of or decoded to other pixels than Pillow's."""
    found = []
    for each in files:
        try:
            decoded = decode(io.BytesIO(each.content), ASKED)
        except DataError as error:
            found.append(f"{each.name}: {error}")
            continue
        others = [told for told in decoded.conversions if not told.startswith(EXPECTED)]
        if others or bool(decoded.decoder) != (each.form.form == "HEIF"):
            found.append(f"{each.name}: {others} {decoded.decoder}")
        with Image.open(io.BytesIO(each.content)) as image:
            plain = (np.asarray(image) >> 8).astype(np.uint8) if image.mode == "I;16" else image.convert("RGB")
            same = np.array_equal(np.asarray(decoded.image.convert("L" if image.mode == "I;16" else "RGB")), plain)
        if not same:
            found.append(f"{each.name}: other pixels")
    return found


def test_every_kind_of_damaged_file_is_named_in_one_report(tmp_path: Path) -> None:
    assert silent(tmp_path) == []


def test_every_kind_of_file_that_is_read_in_another_way_is_told_of() -> None:
    assert unsaid() == []
    assert len(list(misread())) >= 30


def test_no_good_file_is_accused() -> None:
    assert accused(good(150)) == []


@pytest.mark.slow
def test_none_of_many_good_files_is_accused() -> None:
    assert accused(good(3000)) == []


@pytest.mark.photos
@pytest.mark.skipif(SETS is None, reason="TLEXP_SETS names no folder with sets of images")
@pytest.mark.parametrize("name", ["hymenoptera", "cats_vs_dogs", "cifar10", "omniglot242"])
def test_no_photograph_is_accused(name: str) -> None:
    files = sorted(path for path in (Path(str(SETS)) / name).rglob("*") if path.suffix in (".jpg", ".jpeg", ".png"))
    step = max(1, len(files) // 300)
    found = []
    for path in files[::step]:
        content = path.read_bytes()
        try:
            decoded = decode(io.BytesIO(content), ASKED)
        except DataError as error:
            found.append(f"{path.name}: {error}")
            continue
        with Image.open(io.BytesIO(content)) as image:
            if not decoded.conversions and not np.array_equal(
                np.asarray(decoded.image), np.asarray(image.convert("RGB"))
            ):
                found.append(f"{path.name}: other pixels")
    assert found == []


def plain_loading(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tlexp.data.decode.load_whole", lambda image, file: image.load() and ())


def first_alone(patch: pytest.MonkeyPatch) -> None:
    from tlexp.data import checked

    real = checked._load_all

    def until_bad(files: Any, reading: Any) -> Any:
        for result in real(files, reading):
            yield result
            if isinstance(result, tuple):
                return

    patch.setattr(checked, "_load_all", until_bad)


def no_profiles(patch: pytest.MonkeyPatch) -> None:
    from tlexp.data.colour import Converted

    patch.setattr("tlexp.data.rgb.to_srgb", lambda image, profile: Converted(image=image))


def no_fewer_bits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tlexp.data.rgb._fewer", lambda peak: None)


def no_ones_ahead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tlexp.data.jpeg._AHEAD", 0)


PLANTED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Callable[[Path], list[str]], str]] = {
    "missing rows are not looked for": (plain_loading, silent, "JPEG: half with an end"),
    "PNG's rows are not counted": (plain_loading, silent, "PNG: half with an end"),
    "reading stops at the first bad file": (first_alone, silent, "noise"),
    "profiles are ignored": (no_profiles, lambda root: unsaid(), "Display P3 in JPEG"),
    "bits are not counted": (no_fewer_bits, lambda root: unsaid(), "12 bits in a PNG of 16"),
    "good files are cut too short": (no_ones_ahead, lambda root: accused(good(3)), "JPEG"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_harness_sees_a_planted_bug(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, harness, victim = PLANTED[bug]
    plant(monkeypatch)
    assert any(victim in found for found in harness(tmp_path))
