"""The package's version, where its own files lie, how a file is opened, and written so that no reader sees half."""

import contextlib
import csv
import errno
import functools
import hashlib
import io
import json
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tlexp.secrets import masked, masked_values

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

VERSION = "0.1.0"
"""Of the package; pyproject.toml states it as well."""
PACKAGE = Path(__file__).resolve().parent
"""The package's own folder."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of one."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def distrust_working_folder() -> None:
    """Import nothing from the working folder, which `python -m` puts before everything else.

    A checkout that is not installed is still found there, behind everything else.
    """
    first = sys.path[0] if sys.path else None
    if first not in ("", str(Path.cwd())) or sys.flags.safe_path:
        return
    del sys.path[0]
    if PACKAGE.parent == Path.cwd().resolve() and str(PACKAGE.parent) not in sys.path:
        sys.path.append(str(PACKAGE.parent))


def conf_folder() -> Path:
    """Return the absolute folder of the YAML groups: inside an installed wheel, or beside the package in a checkout."""
    packed = PACKAGE / "conf"
    return packed if packed.is_dir() else PACKAGE.parent / "conf"


def plugin_folder() -> Path:
    """Return the folder that holds `hydra_plugins` in a checkout; an installed wheel has that beside the package."""
    return PACKAGE / "plugin"


def conf_options(group: str) -> list[str]:
    """Return the names that a group of the configuration offers, e.g. `resnet50` for `backbone`."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def packaged_weights() -> dict[str, Path]:
    """Return the folders of the weights that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted((PACKAGE / "weights").glob("*/model.json"))}


_KERNEL = ("/proc", "/sys")
"""Where the kernel shows itself as regular files that may never end, or never begin."""


def open_regular(path: Path | str, *, follow_links: bool = True, empty: bool = False) -> io.BufferedReader:
    """Return an ordinary file, opened to read its bytes: so is whatever others may have put in its place.

    A pipe, a device or what the kernel shows as a file could be waited for for ever, and opening it could do something.
    Libraries that open files by their names are given what `require_regular` has looked at.

    Args:
        path: The file.
        follow_links: Open what a link leads to.
        empty: Open it without any bytes in it as well.

    Raises:
        OSError: It is missing, cannot be read, is empty, or is not a regular file; `strerror` says which.
    """
    require_regular(path, follow_links=follow_links, empty=empty)
    # Something else may have taken its place since: it is neither waited for nor read.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW))
    try:
        _require_ordinary(os.fstat(descriptor), path, empty)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path: Path | str, *, follow_links: bool = True, empty: bool = False) -> None:
    """Refuse what `open_regular` does, without opening it: for libraries that open files by their names.

    Raises:
        OSError: As `open_regular`.
    """
    _require_ordinary(os.stat(path, follow_symlinks=follow_links), path, empty)  # noqa: PTH116 - takes both kinds


def is_regular(path: Path) -> bool:
    """Return whether a path is a file itself: no link, no folder, no pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_own(found: os.stat_result) -> bool:
    """Return whether a file or folder is this user's, or that of root, who could do anything anyway.

    A checksum shows accidents alone: whoever can write an entry can write its name, and with it the rows of a run.
    """
    return found.st_uid in (0, os.geteuid())


def _require_ordinary(found: os.stat_result, path: Path | str, empty: bool) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode) or found.st_dev in _kernel_devices():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if found.st_size == 0 and not empty:  # files of the kernel that are mounted elsewhere have no size either
        raise OSError(errno.ENODATA, "the file is empty", str(path))


@functools.cache
def _kernel_devices() -> frozenset[int]:
    return frozenset(Path(place).stat().st_dev for place in _KERNEL if Path(place).is_mount())


def file_digest(path: Path, *, follow_links: bool = True) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        OSError: As `open_regular`, but for empty files.
    """
    with open_regular(path, follow_links=follow_links, empty=True) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def csv_bytes(rows: Iterable[Sequence[object]], *, exact: bool = False) -> bytes:
    r"""Return rows, the head first, as comma-separated values with lines that end alike on every system.

    Args:
        rows: Texts, numbers, None.
        exact: Leave texts that a spreadsheet would take for formulas as they are, for what programs read again; else
            they get a quotation mark in front, by which spreadsheets know a text. File names may be formulas.

    >>> csv_bytes([("name", "value"), ("a, b", 0.1), ("c", None)])
    b'name,value\n"a, b",0.1\nc,\n'
    >>> csv_bytes([("=1+1", "-0.5", -0.5)]), csv_bytes([("=1+1",)], exact=True)
    (b"'=1+1,-0.5,-0.5\n", b'=1+1\n')
    """
    text = io.StringIO()
    masked_rows = (masked_values(row) for row in rows)
    csv.writer(text, lineterminator="\n").writerows(
        masked_rows if exact else ([_as_text(cell) for cell in row] for row in masked_rows)
    )
    return text.getvalue().encode()


def _as_text(cell: object) -> object:
    """Return a cell that no spreadsheet computes; numbers that are written as texts stay."""
    if not isinstance(cell, str) or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def uncovered(cell: str) -> str:
    """Return the text of a cell as it was before `csv_bytes` kept spreadsheets from taking it for a formula.

    >>> uncovered("'=1+1"), uncovered("cat.jpg")
    ('=1+1', 'cat.jpg')
    """
    return cell[1:] if cell.startswith(tuple(f"'{sign}" for sign in _FORMULA)) else cell


def publish_json(path: Path, values: Any, *, indent: int | None = 2, **layout: Any) -> None:
    """Write values as JSON, without secrets, as `publish` does.

    Args:
        path: Of the file.
        values: Mappings, lists, texts and finite numbers.
        indent: None writes one line.
        layout: Further options of `json.dumps`.

    Raises:
        OSError: As `publish` has it.
    """
    text = json.dumps(masked_values(values), indent=indent, allow_nan=False, **layout)
    publish(path, (text + "\n").encode())


def publish(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.

    Args:
        path: Of the file.
        content: A text is written without secrets; bytes are written as they are.

    Raises:
        OSError: The disk is full or the folder cannot be written; it names the file, a note says how many bytes it
            needs, and what stood under the final name still does.
    """
    if isinstance(content, str):
        content = masked(content).encode()
    with _written_whole(path, len(content)) as file:
        file.write(content)


def publish_copy(path: Path, source: Path) -> None:
    """Write a copy of a file whole or not at all; what else lies in another's folder, a link too, is no file.

    Raises:
        OSError: As for `publish`.
    """
    with (
        open_regular(source, follow_links=False, empty=True) as original,
        _written_whole(path, os.fstat(original.fileno()).st_size) as file,
    ):
        shutil.copyfileobj(original, file)


@contextlib.contextmanager
def _written_whole(path: Path, size: int) -> Iterator[BinaryIO]:
    temporary, file = _open_temporary(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":
                file.close()  # an open file cannot be renamed there
            temporary.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # a write names none, and nobody knows the temporary one
        error.add_note(f"{size:,} bytes needed")
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _open_temporary(path: Path) -> tuple[Path, BinaryIO]:
    """Open a new file beside the path; it is locked for as long as it is written, so that others know."""
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            file = temporary.open("xb")
        except OSError as error:
            error.filename = str(path)
            error.add_note("a file needed")
            raise
        _lock(file.fileno(), wait=True)
        if temporary.exists():  # nobody took it for abandoned before it was locked
            return temporary, file
        file.close()


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in a folder, at any depth, that no process writes any more: it was killed."""
    for path in folder.rglob(".*.tmp"):
        if is_abandoned(path):
            path.unlink(missing_ok=True)


def is_abandoned(path: Path) -> bool:
    """Return whether a file is a temporary one of ours that no process writes any more; False where nobody can know."""
    if not _TEMPORARY.fullmatch(path.name) or not path.is_file() or path.is_symlink():
        return False
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return _lock(descriptor, wait=False)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file until it is closed, which the death of its process does too; return whether that worked."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def in_words(error: BaseException) -> str:
    """Return why something failed, for records and messages."""
    return refusal(error) if isinstance(error, OSError) else str(error) or type(error).__name__


def refusal(error: OSError) -> str:
    """Return in words what a file system refused: the file, and of a full disk which one, what it needs and has."""
    name = error.filename2 or error.filename
    place = Path(os.fsdecode(name)).absolute() if isinstance(name, str | bytes | os.PathLike) else None
    if error.errno not in _FULL or place is None:
        where = "a file, which the system does not name" if place is None else os.fsdecode(name)
        return f"{where}: {error.strerror or error}"
    disk = next(path for path in (place, *place.parents) if path.exists())
    while not disk.is_mount():
        disk = disk.parent
    needed = "".join(f"{note}, " for note in getattr(error, "__notes__", []))
    return f"{os.fsdecode(name)}: no space left on the disk at {disk}: {needed}{_room(disk, error.errno)}"


def _room(disk: Path, number: int) -> str:
    """Return what is left on a full disk: a quota or the number of files may be what is used up."""
    if number == errno.EDQUOT:
        return "your quota there is used up"
    free = shutil.disk_usage(disk).free
    found = os.statvfs(disk) if hasattr(os, "statvfs") else None
    files = " and no more files" if found is not None and found.f_files > 0 and found.f_favail == 0 else ""
    return f"{free:,} bytes{files} free"


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable; Windows cannot open folders and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
