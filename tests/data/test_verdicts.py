"""Files are read once, and their checks end in the same whether they are known or not."""

import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.pictures import damaged, encoded, misread, photo
from tlexp.config.data import OnBad
from tlexp.data import Decoding, Index, Source, files, index, verdicts
from tlexp.data.decode import Decoded
from tlexp.data.files import ImageFile
from tlexp.errors import BadImagesError, DataError

Open = Callable[..., Source]
Write = Callable[..., Path]
NAMES = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(20)]


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were just made count as old."""
    monkeypatch.setattr(index, "RACY", 0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    read: list[str] = []
    real = ImageFile.load

    def load(self: ImageFile, asked: Decoding) -> tuple[str, Decoded]:
        read.append(self.name)
        return real(self, asked)

    monkeypatch.setattr(ImageFile, "load", load)
    return read


def read_by(opened: Open, reads: list[str], root: Path, **words: Any) -> list[str]:
    """Open a folder and return which files that read."""
    reads.clear()
    opened(root, **words)
    return sorted(reads)


def test_a_known_file_is_not_read_again_but_a_changed_one_is(
    write: Write, opened: Open, reads: list[str], tmp_path: Path
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")
    assert read_by(opened, reads, root, index=known) == sorted(NAMES)
    assert read_by(opened, reads, root, index=Index(tmp_path / "cache")) == []
    before = (root / "cat/3.png").stat()
    content = bytearray((root / "cat/3.png").read_bytes())
    shutil.copyfile(root / "cat/4.png", tmp_path / "other.png")
    (root / "cat/3.png").write_bytes(content.replace(content[-30:-20], b"0123456789"))
    os.utime(root / "cat/3.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "dog/3.png").write_bytes((root / "dog/3.png").read_bytes())
    (tmp_path / "other.png").replace(root / "dog/4.png")
    write("dog/new.png")
    assert (root / "cat/3.png").stat().st_size == before.st_size
    with pytest.raises(BadImagesError, match=r"cat/3.png: "):
        read_by(opened, reads, root, index=known)
    assert sorted(reads) == ["cat/3.png", "dog/3.png", "dog/4.png", "dog/new.png"]


@pytest.mark.parametrize("change", [{"max_pixels": 10**5}, {"bits": 12}])
def test_a_check_with_other_settings_is_another_one(
    change: dict[str, int], write: Write, opened: Open, reads: list[str], tmp_path: Path
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")
    opened(root, index=known)
    assert len(read_by(opened, reads, root, index=known, **change)) == 40
    assert read_by(opened, reads, root, index=known) == []


def test_another_decoder_makes_all_checks_anew(
    write: Write, opened: Open, reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")
    opened(root, index=known)
    monkeypatch.setattr(index, "decoder_versions", lambda: ("pil 99",))
    index._deciding.cache_clear()
    assert len(read_by(opened, reads, root, index=known)) == 40
    index._deciding.cache_clear()


def test_all_are_read_where_that_is_asked_for_and_known_then(
    write: Write, opened: Open, reads: list[str], tmp_path: Path
) -> None:
    root = write(*NAMES)
    for _ in range(2):
        assert len(read_by(opened, reads, root, index=Index(tmp_path / "cache", recheck=True))) == 40
    assert read_by(opened, reads, root, index=Index(tmp_path / "cache")) == []


def test_a_file_that_has_just_changed_or_changes_while_it_is_read_is_not_kept(
    write: Write, opened: Open, reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")
    monkeypatch.setattr(index, "RACY", 10**12)
    opened(root, index=known)
    monkeypatch.setattr(index, "RACY", 0)
    real = files.decode

    def decode(stream: io.BytesIO, asked: Decoding) -> Decoded:
        if len(reads) == 5:
            os.utime(root / reads[-1])
        return real(stream, asked)

    monkeypatch.setattr(files, "decode", decode)
    assert len(read_by(opened, reads, root, index=known)) == 40
    monkeypatch.setattr(files, "decode", real)
    assert len(read_by(opened, reads, root, index=known)) == 1


def test_a_file_that_claims_to_be_of_tomorrow_is_read_every_time(
    write: Write, opened: Open, reads: list[str], tmp_path: Path
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")
    os.utime(root / "cat/0.png", (4e9, 4e9))
    for _ in range(2):
        read_by(opened, reads, root, index=known)
    assert reads == ["cat/0.png"]


@pytest.mark.parametrize("on_bad", OnBad)
def test_all_that_is_said_of_images_is_the_same_where_they_are_known(
    on_bad: OnBad, opened: Open, reads: list[str], tmp_path: Path
) -> None:
    root = tmp_path / "photos"
    kinds = [(ending, content) for _, ending, content in list(damaged())[::9] if content]
    kinds += [("png", content) for _, content, _ in misread()]
    kinds += [("jpg", encoded(photo(number), "JPEG")) for number in (1, 1, 2, 3)]
    for number, (ending, content) in enumerate(kinds):
        path = root / ("cat", "dog")[number % 2] / f"{number:03}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def said(known: Index) -> Any:
        try:
            source = opened(root, index=known, on_bad=on_bad, bits=None)
        except BadImagesError as error:
            return str(error), error.lines
        digests = [source.pool.digest(place).hex() for place in range(len(source.pool.labels))]
        return (
            source.digest,
            source.notes,
            source.skipped,
            source.copies,
            source.short_sides,
            source.pool.names,
            digests,
        )

    plain, cold = said(Index(None)), said(Index(tmp_path / "cache"))
    assert len(reads) == 2 * len(kinds)
    assert plain == cold == said(Index(tmp_path / "cache"))
    assert len(reads) == 2 * len(kinds)


@pytest.mark.parametrize(
    ("cause", "kept"),
    [
        (None, True),
        (SyntaxError("broken PNG file"), True),
        (OSError("image file is truncated"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (MemoryError(), False),
    ],
)
def test_a_refusal_is_kept_where_the_content_is_at_fault(
    cause: Exception | None,
    kept: bool,
    write: Write,
    opened: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")

    def fail(self: ImageFile, asked: Decoding) -> tuple[str, Decoded]:
        raise DataError("no") from cause

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "load", fail)
        with pytest.raises(BadImagesError):
            opened(root, index=known)
    if kept:
        with pytest.raises(BadImagesError, match=r"cat/0\.png: no"):
            opened(root, index=known)
    else:
        opened(root, index=known)


def test_what_was_checked_before_an_interruption_is_known(
    write: Write, opened: Open, reads: list[str], tmp_path: Path
) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")

    def stop(done: int, count: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(root, index=known, progress=stop)
    assert len(read_by(opened, reads, root, index=known)) == 8


def test_progress_counts_what_is_known(write: Write, opened: Open, tmp_path: Path) -> None:
    root, known = write(*NAMES), Index(tmp_path / "cache")
    opened(root, index=known)
    write("cat/new.png")
    seen: list[tuple[int, int]] = []
    opened(root, index=known, progress=lambda done, count: seen.append((done, count)))
    assert seen == [(40, 41), (41, 41)]


def test_where_times_do_not_show_a_change_the_message_says_how_to_read_anew(
    write: Write, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coarse(path: str, real: Callable[[str], Any] = index.stamp_of) -> Any:
        size, _, _, node, device = real(path)
        return size, 0, 0, node, device

    for module in (index, verdicts):
        monkeypatch.setattr(module, "stamp_of", coarse)
    root = write(*NAMES)
    opened(root, index=Index(tmp_path / "cache"))
    (root / "cat/0.png").write_bytes((root / "cat/1.png").read_bytes())
    source = opened(root, index=Index(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"cat/0\.png was changed .* with data.recheck=true if this comes again"):
        [source.pool.read(place) for place in range(len(source.pool.labels))]
    assert len(opened(root, index=Index(tmp_path / "cache", recheck=True)).copies) == 1
    assert len(opened(root, index=Index(tmp_path / "cache")).copies) == 1
