import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tlexp.paths import in_words, is_abandoned, publish, publish_copy, refusal, remove_abandoned

HALF = """
import os, signal, sys
from pathlib import Path
from tlexp import paths
real = os.fsync
def stop(descriptor):
    print("half", flush=True)
    sys.stdin.read()
os.fsync = stop
paths.publish(Path(sys.argv[1]), b"x" * 1000)
"""


def temporary(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tmp"))


def test_a_temporary_file_stays_while_its_process_lives_and_goes_after_its_death(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "record.json"
    with subprocess.Popen([sys.executable, "-c", HALF, str(path)], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        [half] = temporary(tmp_path)
        assert not is_abandoned(half)
        remove_abandoned(tmp_path)
        assert temporary(tmp_path) == [half]
        process.kill()
        process.wait()
    assert is_abandoned(half)
    remove_abandoned(tmp_path)
    assert temporary(tmp_path) == []
    assert not path.exists()


def test_files_of_other_names_and_kinds_are_nobody_s_to_remove(tmp_path: Path) -> None:
    (tmp_path / "mine.tmp").touch()
    (tmp_path / ".mine.tmp").touch()
    (tmp_path / ".record.json.01234567.tmp").symlink_to(tmp_path / "mine.tmp")
    os.mkfifo(tmp_path / ".record.json.76543210.tmp")
    before = sorted(tmp_path.iterdir())
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_published_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    publish(tmp_path / "a", b"before")
    publish(tmp_path / "a", b"after")
    publish_copy(tmp_path / "b", tmp_path / "a")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"after", "b": b"after"}


def test_a_file_that_somebody_took_for_abandoned_before_it_was_locked_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def locked(descriptor: int, kind: int) -> None:
        if not taken:
            taken.extend(temporary(tmp_path))
            taken[0].unlink()

    monkeypatch.setattr("fcntl.flock", locked)
    publish(tmp_path / "a", b"whole")
    assert len(taken) == 1
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A tmpfs of a quarter of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["unshare", "-m", "true"]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    return folder


def test_a_full_disk_is_the_one_that_the_file_lies_on(small_disk: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tlexp.paths import publish, refusal\n"
        "try: publish(Path('disk/deep/er').parent / 'model', b'x' * 1_000_000)\n"
        "except OSError as error: print(refusal(error))\n"
    )
    shell = f'mount -t tmpfs -o size=256k tmpfs disk && mkdir disk/deep && exec {sys.executable} -c "{code}"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell], cwd=small_disk.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(
        f"disk/deep/model: no space left on the disk at {small_disk}: 1,000,000 bytes needed, "
    )
    free = int(done.stdout.split("needed, ")[1].split(" bytes free")[0].replace(",", ""))
    assert free <= 256 << 10


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EACCES, "Permission denied", "x"), "x: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file, which the system does not name: No space left"),
        (OSError(errno.ENOSPC, "No space left on device", 7), "a file, which the system does not name: No space left"),
        (
            OSError(errno.EDQUOT, "Quota", "/no/such/place"),
            "/no/such/place: no space left on the disk at /: your",
        ),
        (OSError(errno.ENOSPC, "No space", "/from", None, "/to"), "/to: no space left on the disk at /: "),
        (shutil.Error([("a", "b", "c")]), "a file, which the system does not name: [('a', 'b', 'c')]"),
    ],
    ids=str,
)
def test_what_is_not_known_is_not_made_up(error: OSError, text: str) -> None:
    assert refusal(error).startswith(text)


def test_a_record_says_of_a_full_disk_what_people_are_told() -> None:
    error = OSError(errno.ENOSPC, "No space", "/no/such/place")
    assert in_words(error) == refusal(error)
    assert (in_words(ValueError("why")), in_words(KeyboardInterrupt())) == ("why", "KeyboardInterrupt")
