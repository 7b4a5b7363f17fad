"""The lines of `tlexp cache`."""

import os
import re
from pathlib import Path

from tests.cache.conftest import Computer, a_key, some_images
from tlexp.cache.overview import clear_lines, entries_lines, prune_lines, verify_lines
from tlexp.cache.store import Store
from tlexp.data import Decoding, Index
from tlexp.data.index import Verdict, stamp_of


def filled(store: Store) -> Store:
    assert store.folder is not None
    assert store.folder is not None
    images = some_images(200)
    store.open(a_key()).fill(images, Computer(images))
    key = a_key(augment="light", view=2, view_seed=0)
    store.open(key).fill(images[:64], Computer(images))
    for path in store.folder.rglob(f"{key.digest}/*.safetensors"):
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    store.open(a_key()).fill(images, Computer(images))
    return store


def test_entries_are_told_with_what_made_them(store: Store, tmp_path: Path) -> None:
    total, header, first, second = entries_lines(filled(store))
    assert re.fullmatch(re.escape(str(tmp_path / "cache")) + r": [\d.]+ kB of at most 1 GB, 2 cuts", total)
    assert header.split() == ["cut", "made", "by", "rows", "size", "age", "used", "hits"]
    assert first.startswith(a_key().digest[:16] + "  resnet18, pooled, 64 px, cpu AVX2, weights wwwwwwww")
    assert re.search(r" 200 +[\d.]+ kB +\d seconds +\d seconds ago +200$", first)
    assert "64 px light view 2" in second


def test_age_is_told_in_a_fitting_unit(store: Store) -> None:
    filled(store)
    used = store.entries()[0].used
    assert "3 hours ago" in entries_lines(store, now=used + 3 * 3600)[2]
    assert "9 days ago" in entries_lines(store, now=used + 9 * 86400)[2]


def test_one_is_no_plural(store: Store) -> None:
    images = some_images(64)
    store.open(a_key()).fill(images, Computer(images))
    assert entries_lines(store)[0].endswith(", 1 cut")
    assert ": 1 file read (" in verify_lines(store)[0][0]
    assert ": 1 file removed (" in clear_lines(store)[0]


def test_an_empty_cache(store: Store, tmp_path: Path) -> None:
    assert entries_lines(store) == [f"{tmp_path / 'cache'}: empty"]
    assert verify_lines(store) == ([f"{tmp_path / 'cache'}: 0 files read (0 bytes), 0 bad"], True)
    assert clear_lines(store) == [f"{tmp_path / 'cache'}: 0 files removed (0 bytes)"]


def test_what_is_known_of_files_is_told_and_cleared(store: Store, tmp_path: Path) -> None:
    asked, image, index = Decoding(max_pixels=1), tmp_path / "1.jpg", Index(tmp_path / "cache")
    image.touch()
    stamp = stamp_of(str(image))
    assert stamp is not None
    with index.keeping(asked) as keep:
        keep(str(image), stamp, Verdict(refusal="no"))
    told = r"\d\d\.\d kB more keep what was found in files of images \(data.recheck=true reads them anew\)"
    assert entries_lines(store)[0] == f"{tmp_path / 'cache'}: no features"
    assert re.fullmatch(told, entries_lines(store)[1])
    assert re.fullmatch(told, entries_lines(filled(store))[-1])
    assert re.search(r": 6 files removed", clear_lines(store)[0])
    assert index.find([str(image)], asked) == {}


def test_a_bad_entry_is_named_once(store: Store, tmp_path: Path) -> None:
    filled(store)
    path = next((tmp_path / "cache").rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    lines, well = verify_lines(store)
    assert not well
    assert lines[0].endswith(", 1 bad")
    assert lines[1] == f"  set aside {path}: its header does not fit its size"
    assert verify_lines(store)[1]


def test_pruning_and_clearing_say_what_went(store: Store) -> None:
    filled(store)
    assert re.search(r": 5 files removed \([\d.]+ kB\)$", prune_lines(store, 0)[0])
    filled(store)
    assert re.search(r": 5 files removed \([\d.]+ kB\)$", clear_lines(store)[0])


def test_a_description_cannot_move_the_cursor(store: Store, tmp_path: Path) -> None:
    filled(store)
    for path in (tmp_path / "cache").rglob("cut.json"):
        path.write_text('{"backbone": "\\u001b[2J' + "x" * 500 + '", "view": [1]}')
    lines = entries_lines(store)
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) < 300
