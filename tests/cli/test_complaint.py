import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.cli.complaint import complain
from tlexp.errors import ConfigError
from tlexp.paths import publish

Run = Callable[..., int]
SMALL = ["backbone.image_size=32", "data.per_class=4", "data.test_per_class=2", "labels=2", "train.limit_steps=1"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let a disk be full from the n-th file on that is to be safe there."""

    def fill(number: int) -> None:
        calls, real = iter(range(10**6)), os.fsync

        def failing(descriptor: int) -> None:
            if next(calls) >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=4096))

    return fill


def mount_of(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.is_mount())


def test_a_full_disk_names_file_and_bytes_and_tears_nothing(
    full: Callable[[int], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    publish(path, b"before")
    full(0)
    with pytest.raises(OSError, match="No space left") as error:
        publish(path, b"x" * 1234)
    complain(error.value, debug=False)
    assert capsys.readouterr().err == (
        f"error: {path}: no space left on the disk at {mount_of(tmp_path)}: 1,234 bytes needed, 4,096 bytes free; what "
        "was written there before is whole; free some, then type the command again\n"
    )
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("record.json", b"before")]


@pytest.mark.parametrize("number", [0, 4])
def test_a_run_on_a_full_disk_ends_with_two(
    number: int, full: Callable[[int], None], tlexp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full(number)
    assert tlexp(*SMALL, "tracking=off", "cache=off", "train.checkpoint_seconds=0") == 2
    (run,) = (tmp_path / "outputs").iterdir()
    told = capsys.readouterr().err
    assert "Error executing job" not in told
    assert "Traceback" not in told
    line = told.splitlines()[-1]
    assert line.startswith(f"error: {run}/")
    assert f": no space left on the disk at {mount_of(tmp_path)}: " in line
    assert " bytes needed, 4,096 bytes free; " in line
    assert line.endswith(f"; free some, then go on with resume=outputs/{run.name}")
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    complain(PermissionError(errno.EACCES, "Permission denied", "/x"), debug=False)
    assert capsys.readouterr().err == (
        "error: /x: Permission denied; choose a folder that can be written, e.g. hydra.run.dir=PATH\n"
    )


@pytest.mark.parametrize("words", [["labels=2"], ["study=quick", "study.minutes=1"]])
def test_twenty_bad_images_are_shown_a_line_each_and_all_are_in_a_file(
    words: list[str], tlexp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(15):
            (tmp_path / "photos" / name / f"\x1b[31m{number:02}.jpg").touch()
    assert tlexp("data=folder", "data.root=photos", "tracking=off", "cache=off", *words) == 2
    lines = capsys.readouterr().err.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("error: data.root="))
    assert lines[begin].endswith(": 30 of 30 images cannot be used:")
    assert lines[begin + 1] == "  cat/\\x1b[31m00.jpg: the file is empty"
    assert lines[begin + 21] == "  ... and 10 more"
    place = lines[-1].rpartition("All are listed in ")[2]
    assert len(lines) == begin + 23
    named = (tmp_path / place).read_text().splitlines()
    assert [line.partition(":")[0] for line in named] == [
        f"{name}/\\x1b[31m{number:02}.jpg" for name in ("cat", "dog") for number in range(15)
    ]


def test_an_error_of_several_lines_is_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    complain(ConfigError(["no option 'x'\nOptions:\n\ta", "b\x1b[2J"]), debug=False)
    assert capsys.readouterr().err.splitlines() == [
        "error: no option 'x'", "  Options:", "    a", "error: b\\x1b[2J",
    ]  # fmt: skip
