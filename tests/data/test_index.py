"""What is kept of checks comes back as it was or not at all, whatever becomes of the store."""

import ast
import contextlib
import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlexp.data import Decoding, Index, index
from tlexp.data.index import Verdict, index_path, stamp_of
from tlexp.paths import PACKAGE

ASKED = Decoding(max_pixels=10**6)


def verdict_of(path: Path) -> Verdict:
    """Return what the check of a file would find, another one for each."""
    number = int(path.stem)
    if number % 5 == 4:
        return Verdict(refusal=f"broken \u2713 {number}")
    return Verdict(digest=f"{number:064x}", short_side=number, conversions=("are CMYK",) * (number % 3))


def truth(root: Path, count: int = 12) -> dict[str, Verdict]:
    """Make files in two folders, one with a name that is no text; return what is true of them."""
    found = {}
    for number in range(count):
        path = root / ("a", "b\udce4")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(number))
        found[str(path)] = verdict_of(path)
    return found


def fill(known: Index, verdicts: dict[str, Verdict]) -> None:
    with known.keeping(ASKED) as keep:
        for path, verdict in verdicts.items():
            stamp = stamp_of(path)
            assert stamp is not None
            keep(path, stamp, verdict)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_what_was_kept_is_found_by_its_path_and_nothing_else(cache: Path, tmp_path: Path) -> None:
    verdicts = truth(tmp_path / "photos")
    fill(Index(cache), verdicts)
    beside = {str(tmp_path / "photos" / name): None for name in ("a/99.jpg", "c/1.jpg", "b/0.jpg")}
    assert Index(cache).find([*verdicts, *beside], ASKED) == verdicts
    for others in (Decoding(max_pixels=10**6, bits=12), Decoding(max_pixels=10**6, least_side=128)):
        assert Index(cache).find(verdicts, others) == {}
    assert Index(cache, recheck=True).find(verdicts, ASKED) == {}
    assert Index(None).find(verdicts, ASKED) == {}
    assert index_path(cache).parent.stat().st_mode & 0o777 == 0o700


def test_the_store_names_no_file(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "photos" / "hunter2" / "1.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1")
    fill(Index(cache), {str(path): verdict_of(path)})
    content = index_path(cache).read_bytes()
    assert b"hunter2" not in content
    assert b"photos" not in content


def test_files_and_folders_that_are_gone_are_forgotten(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = truth(tmp_path / "photos")
    fill(Index(cache), verdicts)

    def count(table: str) -> int:
        with contextlib.closing(sqlite3.connect(index_path(cache))) as store:
            return int(store.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    (tmp_path / "photos/a/0.jpg").unlink()
    fill(Index(cache), {path: verdict for path, verdict in verdicts.items() if path.endswith("a/2.jpg")})
    assert (count("files"), count("folders")) == (11, 2)
    later = time.time() + 60 * 86_400
    monkeypatch.setattr(index.time, "time", lambda: later)
    Index(cache).find([str(tmp_path / "photos/a/2.jpg")], ASKED)
    later += 60 * 86_400
    new = truth(tmp_path / "new", 1)
    fill(Index(cache), new)
    assert (count("files"), count("folders")) == (6, 2)
    assert Index(cache).find([*verdicts, *new], ASKED).keys() == {
        *(path for path in verdicts if "/a/" in path and not path.endswith("/0.jpg")),
        *new,
    }


def test_no_damage_gives_another_verdict_and_all_damage_heals(cache: Path, tmp_path: Path) -> None:
    verdicts = truth(tmp_path / "photos")
    fill(Index(cache), verdicts)
    path, rng = index_path(cache), random.Random(0)
    whole, lost = path.read_bytes(), 0
    for turn in range(200):
        damaged = bytearray(whole)
        place = rng.randrange(len(whole))
        damaged[place] ^= 1 << turn % 8
        cut = rng.randrange(len(whole)) if turn % 10 == 0 else len(whole)
        path.write_bytes(damaged[:cut])
        found = Index(cache).find(verdicts, ASKED)
        assert found.items() <= verdicts.items(), (place, cut)
        lost += len(found) < len(verdicts)
        if len(found) < len(verdicts) and lost % 4 == 0:
            for _ in range(5):  # what is damaged is removed when it is met, which a first writing may not do
                fill(Index(cache), verdicts)
            assert Index(cache).find(verdicts, ASKED) == verdicts, (place, cut)
    assert lost > 10
    for content in (b"no database" * 999, b"", whole[:5000]):
        path.write_bytes(content)
        fill(Index(cache), verdicts)
        fill(Index(cache), verdicts)
        assert Index(cache).find(verdicts, ASKED) == verdicts


def no_room(patch: pytest.MonkeyPatch, cache: Path) -> None:
    patch.setattr(resource, "getrlimit", resource.getrlimit)  # put back below
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def a_file_for_the_folder(patch: pytest.MonkeyPatch, cache: Path) -> None:
    cache.mkdir(exist_ok=True)
    index_path(cache).parent.write_text("")


def a_folder_for_the_store(patch: pytest.MonkeyPatch, cache: Path) -> None:
    index_path(cache).mkdir(parents=True)


def a_link(patch: pytest.MonkeyPatch, cache: Path) -> None:
    index_path(cache).parent.mkdir(parents=True)
    index_path(cache).symlink_to(cache / "elsewhere")


def a_pipe(patch: pytest.MonkeyPatch, cache: Path) -> None:
    index_path(cache).parent.mkdir(parents=True)
    os.mkfifo(index_path(cache))


def another_users(patch: pytest.MonkeyPatch, cache: Path) -> None:
    patch.setattr(index, "is_own", lambda found: False)


def read_only(patch: pytest.MonkeyPatch, cache: Path) -> None:
    real = sqlite3.connect
    patch.setattr(sqlite3, "connect", lambda path, **more: real(f"file:{path}?mode=ro", uri=True, **more))


def locked(patch: pytest.MonkeyPatch, cache: Path) -> None:
    patch.setattr(index, "_WAIT_SECONDS", 0.01)
    index_path(cache).parent.mkdir(parents=True)
    store = sqlite3.connect(index_path(cache))
    store.execute("BEGIN EXCLUSIVE")
    patch.setattr(locked, "held", store, raising=False)


@pytest.fixture
def unlimited() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    "trouble",
    [no_room, a_file_for_the_folder, a_folder_for_the_store, a_link, a_pipe, another_users, read_only, locked],
)
def test_a_store_that_cannot_be_used_is_done_without(
    trouble: "index.Callable[[pytest.MonkeyPatch, Path], None]",
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdicts = truth(tmp_path / "photos")
    trouble(monkeypatch, cache)
    for _ in range(2):
        fill(Index(cache), verdicts)
        assert Index(cache).find(verdicts, ASKED) == {}
    assert not (cache / "elsewhere").exists()


def test_a_store_that_can_only_be_read_is_read(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = truth(tmp_path / "photos")
    fill(Index(cache), verdicts)
    read_only(monkeypatch, cache)
    monkeypatch.setattr(index.time, "time", lambda: 9e9)  # another day, which cannot be noted
    assert Index(cache).find(verdicts, ASKED) == verdicts


def test_processes_write_at_once_and_may_be_killed(cache: Path, tmp_path: Path) -> None:
    verdicts = truth(tmp_path / "photos", 40)
    children = []
    for part in range(4):
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                fill(Index(cache), dict(list(verdicts.items())[part::4]))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert Index(cache).find(verdicts, ASKED) == verdicts
    rng = random.Random(1)
    for _ in range(8):
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                while True:
                    fill(Index(cache), verdicts)
            os._exit(0)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert Index(cache).find(verdicts, ASKED) == verdicts


def test_what_decides_a_check_is_known() -> None:
    def parts(module: str) -> set[str]:
        nodes = ast.walk(ast.parse((PACKAGE / "data" / f"{module}.py").read_text()))
        names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        return {name.rpartition(".")[2] for name in names if name.startswith("tlexp.data.")}

    found, waiting = {"verdicts"}, {"files"}
    while waiting:
        found |= waiting
        waiting = set().union(*map(parts, waiting)) - found
    assert found == set(index._DECIDING)
