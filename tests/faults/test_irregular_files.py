"""What is no ordinary file is never opened, by whatever setting it is named: a pipe would be waited for for ever."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.data.class_names import read_class_names
from tlexp.data.csv_source import read_table
from tlexp.data.files import ImageFile
from tlexp.errors import TlexpError
from tlexp.models.export import read_card
from tlexp.models.statefile import read_state, read_weights
from tlexp.paths import file_digest, open_regular, require_regular
from tlexp.tracking import read_points, read_record
from tlexp.tracking.names import RECORD_FILE
from tlexp.train.checkpoint import Checkpoint

pytestmark = pytest.mark.timeout(20)  # what should not be opened hangs

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "image": ("a.png", lambda path: ImageFile(path=str(path), name="a", label=0).load(100)),
    "table": ("a.csv", lambda path: read_table(path, columns=None, classes=None, at_least=2)),
    "class names": ("names.txt", read_class_names),
    "weights, safetensors": ("w.safetensors", read_state),
    "weights, pickled": ("w.pth", read_state),
    "card of a model": ("model.json", read_card),
    "folder of weights": ("model.json", lambda path: read_weights(path.parent)),
    "record": (RECORD_FILE, lambda path: read_record(path.parent)),
    "curves": ("metrics.jsonl", read_points),
    "checkpoint": ("checkpoint.json", lambda path: Checkpoint(path.parent, key="k", seconds=0)),
    "digest": ("a", file_digest),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_by_every_reader(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    os.mkfifo(tmp_path / name)
    with pytest.raises((TlexpError, OSError), match=r"not a regular file|holds none of"):
        read(tmp_path / name)


def sock(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file"),
        (sock, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to("/proc/self/status"), "not a regular file"),
        (lambda path: path.symlink_to("/sys/kernel/notes"), "not a regular file"),
        (Path.mkdir, "Is a directory"),
        (Path.touch, "the file is empty"),
    ],
    ids=["pipe", "socket", "device", "proc", "sys", "folder", "empty"],
)
def test_what_is_no_ordinary_file_is_not_opened(
    make: Callable[[Path], object], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "a")
    if not (tmp_path / "a").exists() and reason == "not a regular file":
        pytest.skip("not on this machine")
    monkeypatch.setattr(os, "open", None)
    for refuse in (open_regular, require_regular):
        with pytest.raises(OSError, match=reason):
            refuse(tmp_path / "a")


def test_a_link_is_opened_unless_links_are_not_to_be_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"content"
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "b", follow_links=False)


@pytest.mark.parametrize("swapped", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "link"])
def test_what_takes_a_files_place_between_looking_and_opening_is_not_waited_for(
    swapped: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    opened = os.open

    def late(name: Path, flags: int) -> int:
        path.unlink()
        swapped(path)
        return opened(name, flags)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(OSError, match=r"not a regular file|symbolic links"):
        open_regular(path, follow_links=False)
