"""Whatever else lies in the cache's folder is ignored or refused; nothing is run, nothing outside is touched."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from tests.cache.conftest import Computer, a_key, some_images, true_rows
from tlexp.cache.entry import entry_content
from tlexp.cache.overview import clear_lines, entries_lines, verify_lines
from tlexp.cache.store import Store

COUNT = 70


def good(**changes: Any) -> bytes:
    """Return the content of an entry that lies about the rows: they are zeros."""
    images = some_images(COUNT)
    key = a_key(**changes)
    rows = torch.zeros(COUNT, *key.shape, dtype=getattr(torch, key.dtype))
    return entry_content(key, images, rows, 1.0)


def with_header(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the same content with a header of one's own."""
    content = good()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


IMAGES = torch.from_numpy(some_images(COUNT).copy())
ROWS = torch.zeros(COUNT, 6)
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "short": b"\x08\0\0\0",
    "a pickle": pickle.dumps(Payload()),
    "text": b"hello" * 100,
    "huge header": (1 << 62).to_bytes(8, "little") + b"{}" * 100,
    "header of a megabyte": (1 << 20).to_bytes(8, "little") + b" " * (1 << 20),
    "negative header": b"\xff" * 8 + b"{}",
    "deep header": (60_000).to_bytes(8, "little") + b"[" * 60_000,
    "header that is a list": (2).to_bytes(8, "little") + b"[]",
    "no metadata": save({"rows": ROWS, "images": IMAGES}),
    "another cut": good(weights="v" * 64),
    "another width": good(shape=(7,)),
    "another dtype": good(dtype="float16"),
    "one tensor more": save({"rows": ROWS, "images": IMAGES, "more": ROWS + 1}, {"cut": a_key().digest}),
    "a byte more": good() + b"\0",
    "a byte less": good()[:-1],
    "zero tail": good()[:-100] + bytes(100),
    "seconds that are none": with_header(lambda header: header["__metadata__"].update(seconds="nan")),
    "seconds without end": with_header(lambda header: header["__metadata__"].update(seconds="1e999")),
    "offsets outside": with_header(lambda header: header["rows"].update(data_offsets=[0, 1 << 40])),
    "offsets below": with_header(lambda header: header["rows"].update(data_offsets=[-8, COUNT * 24 - 8])),
    "offsets that overlap": with_header(lambda header: header["images"].update(header["rows"] | {"dtype": "U8"})),
    "negative shape": with_header(lambda header: header["rows"].update(shape=[-COUNT, -6])),
    "endless shape": with_header(lambda header: header["rows"].update(shape=[10**400, 6])),
    "shape of text": with_header(lambda header: header["rows"].update(shape="66")),
    "dtype of objects": with_header(lambda header: header["rows"].update(dtype="O")),
    "metadata of another kind": with_header(lambda header: header.update(__metadata__=[1])),
    "digests of other images": with_header(lambda header: header["__metadata__"].update(images="0" * 64)),
}
"""Contents under the right name for their checksum, all of them to be refused."""


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
@pytest.mark.parametrize("rightly_named", [True, False])
def test_a_bad_file_is_set_aside_named_and_made_good(
    content: bytes, rightly_named: bool, store: Store, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = some_images(COUNT)
    folder = tmp_path / "cache" / "1" / a_key().digest
    folder.mkdir(parents=True)
    name = hashlib.sha256(content).hexdigest() if rightly_named else "0" * 64
    (folder / f"{name}.safetensors").write_bytes(content)
    rows, use = store.open(a_key()).fill(images, Computer(images))
    assert torch.equal(rows.take(np.arange(COUNT)), true_rows(images))
    assert use.misses == COUNT
    assert (folder / "quarantine" / f"{name}.safetensors").read_bytes() == content
    assert len(told) == 1
    assert name in told[0]
    assert not (tmp_path / "executed").exists()


def test_a_good_file_under_a_wrong_name_is_refused(store: Store, told: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "1" / a_key().digest
    folder.mkdir(parents=True)
    (folder / f"{'0' * 64}.safetensors").write_bytes(good())
    assert len(store.open(a_key()).find(some_images(COUNT)).missing) == COUNT
    assert "its checksum differs" in told[0]


def outside(folder: Path) -> Path:
    """Return a folder beside the cache with a valid entry in it."""
    beside = folder / "beside"
    beside.mkdir()
    content = good()
    (beside / f"{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(content)
    (beside / "cut.json").write_text("{}")
    (beside / "hits").write_text("1\n")
    return beside


def listing(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def link_entry(cut: Path, beside: Path) -> None:
    (source,) = beside.glob("*.safetensors")
    cut.mkdir(parents=True)
    (cut / source.name).symlink_to(source)


def link_cut(cut: Path, beside: Path) -> None:
    cut.parent.mkdir(parents=True)
    cut.symlink_to(beside)


def link_schema(cut: Path, beside: Path) -> None:
    cut.parent.parent.mkdir(parents=True)
    (beside / cut.name).mkdir()
    for path in beside.glob("*.*"):
        path.rename(beside / cut.name / path.name)
    cut.parent.symlink_to(beside)


def link_quarantine(cut: Path, beside: Path) -> None:
    cut.mkdir(parents=True)
    (cut / "quarantine").symlink_to(beside)
    (cut / f"{'0' * 64}.safetensors").write_bytes(b"bad")


def link_notes(cut: Path, beside: Path) -> None:
    cut.mkdir(parents=True)
    for name in ("notes.txt", "a.pkl", f"{'3' * 63}.safetensors", f"{'A' * 64}.safetensors"):
        (cut / name).symlink_to(beside / name)


def link_lock(cut: Path, beside: Path) -> None:
    cut.mkdir(parents=True)
    images = some_images(COUNT)
    for block in (images[:64], images[64:]):
        name = hashlib.sha256(block.tobytes()).hexdigest()[:32]
        (cut / f".{name}.lock").symlink_to(beside / "hits")


@pytest.mark.parametrize("link", [link_entry, link_cut, link_schema, link_quarantine, link_notes, link_lock])
def test_no_link_is_followed(link: Callable[[Path, Path], None], store: Store, told: list[str], tmp_path: Path) -> None:
    beside, images = outside(tmp_path), some_images(COUNT)
    link(tmp_path / "cache" / "1" / a_key().digest, beside)
    before = listing(beside)
    for _ in range(2):
        cut = store.open(a_key())
        rows, _ = cut.fill(images, Computer(images))
        cut.fill(images, Computer(images))
        assert torch.equal(rows.take(np.arange(COUNT)), true_rows(images))
    entries_lines(store)
    verify_lines(store)
    store.prune(0)
    clear_lines(store)
    assert listing(beside) == before
    assert len(told) <= 2


def test_foreign_things_stay_where_they_are(store: Store, told: list[str], tmp_path: Path) -> None:
    cut = tmp_path / "cache" / "1" / a_key().digest
    cut.mkdir(parents=True)
    os.mkfifo(cut / f"{'1' * 64}.safetensors")
    (cut / f"{'2' * 64}.safetensors").mkdir()
    for name in ("notes.txt", "a.pkl", f"{'3' * 63}.safetensors", f"{'A' * 64}.safetensors"):
        (cut / name).write_bytes(b"mine")
    (tmp_path / "cache" / "1" / "mine").mkdir()
    (tmp_path / "cache" / "mine.safetensors").write_bytes(b"mine")
    before = set((tmp_path / "cache").rglob("*"))
    images = some_images(COUNT)
    store.open(a_key()).fill(images, Computer(images))
    assert entries_lines(store)[0].endswith(" 1 cut")
    assert verify_lines(store)[1]
    store.prune(0)
    store.clear()
    assert set((tmp_path / "cache").rglob("*")) == before
    assert told == []


def test_what_is_noted_may_be_anything(store: Store, tmp_path: Path) -> None:
    images = some_images(COUNT)
    store.open(a_key()).fill(images, Computer(images))
    cut = tmp_path / "cache" / "1" / a_key().digest
    for about in (b"[" * 100_000, b"\xff", b"[1]", b'{"backbone": {"a": "\\u001b[2J"}}'):
        (cut / "cut.json").write_bytes(about)
        (cut / "hits").write_bytes(b"5\nno\n-3\n\xff\n9999999999999999999999\n")
        assert store.entries()[0].hits == 5
        assert "\x1b" not in "".join(entries_lines(store))


other_user = pytest.mark.skipif(os.geteuid() != 0, reason="files are given to another user")
NOBODY = 65534


def planted(store: Store) -> Path:
    """Write an entry that lies about the rows, as another user could, and return its path."""
    content = good()
    path = store.open(a_key())._cut_folder.write(content, {})  # type: ignore[union-attr]
    os.chown(path, NOBODY, -1)
    return path


@other_user
def test_entries_of_another_user_are_not_believed_and_said_once(again: Callable[[], Store], told: list[str]) -> None:
    path = planted(again())
    images = some_images(COUNT)
    compute = Computer(images)
    store = again()
    for key in (a_key(), a_key(cut="other")):
        rows, _ = store.open(key).fill(images, compute)
        assert torch.equal(rows.take(np.arange(COUNT)), true_rows(images))
    assert len(told) == 1
    assert f"1 entries of the feature cache belong to other users and are not believed, e.g. {path}" in told[0]
    assert path.is_file(), "it is not ours to move"
    assert store.verify().bad == ()
    assert [line.files for line in again().entries()] == [2, 2]  # our own, two blocks of each cut


@other_user
def test_an_entry_that_changes_hands_between_listing_and_opening_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = planted(store)
    monkeypatch.setattr("tlexp.cache.cut_folder.is_own", lambda found: True)
    assert len(store.open(a_key()).find(some_images(COUNT)).missing) == COUNT
    assert not path.exists() or path.stat().st_uid == NOBODY


@other_user
@pytest.mark.parametrize("up", [0, 1], ids=["of the cut", "of all cuts"])
def test_a_folder_of_another_user_is_neither_read_nor_written(
    up: int, again: Callable[[], Store], told: list[str]
) -> None:
    path = planted(again())
    os.chown(path, 0, -1)
    os.chown(path.parents[up], NOBODY, -1)
    images = some_images(COUNT)
    rows, use = again().open(a_key()).fill(images, Computer(images))
    assert torch.equal(rows.take(np.arange(COUNT)), true_rows(images))
    assert (use.hits, use.written_bytes) == (0, 0)
    assert len(told) == 1
    assert "is a link or another user's, whom the cache does not follow" in told[0]


def test_folders_of_the_cache_are_this_users_alone(store: Store) -> None:
    images = some_images(COUNT)
    store.open(a_key()).fill(images, Computer(images))
    made = [store.folder, *(path for path in store.folder.rglob("*") if path.is_dir())]
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {"0o700"}
