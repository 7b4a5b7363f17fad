"""The package's version, where its own files lie, and how a file is written so that no reader ever sees half of it."""

import csv
import hashlib
import io
import os
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


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
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
