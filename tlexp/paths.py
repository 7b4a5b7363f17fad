"""The package's version, where its own files lie, how a file is opened, and written so that no reader sees half."""

import csv
import errno
import functools
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

VERSION = "0.1.0"
"""Of the package; pyproject.toml states it as well."""
PACKAGE = Path(__file__).resolve().parent
"""The package's own folder."""


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
    """Return an ordinary file, opened to read its bytes: everything that was not written here is opened by this.

    A pipe, a device or what the kernel shows as a file could be waited for for ever, and opening it could do something.

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


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    r"""Return rows, the head first, as comma-separated values with lines that end alike on every system.

    >>> csv_bytes([("name", "value"), ("a, b", 0.1), ("c", None)])
    b'name,value\n"a, b",0.1\nc,\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def publish(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.

    Raises:
        OSError: The disk is full or the folder cannot be written; it names the file, a note says how many bytes it
            needs, and what stood under the final name still does.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a write names none, and nobody knows the temporary one
        error.add_note(f"{len(content):,} bytes were to be written")
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable; Windows cannot open folders and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
