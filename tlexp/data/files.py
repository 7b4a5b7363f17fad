"""An image file, and what a split consists of before anything is opened."""

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tlexp.data.decode import Decoded, Decoding, decode
from tlexp.errors import DataError
from tlexp.paths import open_regular

_WHOLE_BYTES = 64 << 20
"""Larger files are not read into memory in one piece."""
_KINDS = 6
"""So many extensions of unused files are named."""


class UnreadImage(Protocol):
    """An image, not yet opened."""

    @property
    def name(self) -> str:
        """Its printable name, unique within its source."""
        ...

    @property
    def label(self) -> int:
        """Its class index."""
        ...

    @property
    def file_bytes(self) -> int:
        """Size on the disk; 0 where threads would be of no use or no file can be asked."""
        ...

    def load(self, asked: Decoding) -> tuple[str, Decoded]:
        """Return what names its content, 64 hexadecimal digits, and the image.

        Raises:
            DataError: The reason why it cannot be read, without its name.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image file, not yet opened: its path, printable name below the root and class index."""

    path: str
    name: str
    label: int

    @property
    def file_bytes(self) -> int:
        """Return the file's size; 0 where it cannot be had."""
        try:
            return Path(self.path).stat().st_size
        except OSError:
            return 0

    def load(self, asked: Decoding) -> tuple[str, Decoded]:
        """Return what names the file's content, the sha256 of its bytes but for `Decoded.content`, and its image.

        Raises:
            DataError: The reason why it cannot be read.
        """
        try:
            with open_regular(self.path) as opened:
                whole = os.fstat(opened.fileno()).st_size <= _WHOLE_BYTES
                stream: io.BytesIO | io.BufferedReader = io.BytesIO(opened.read()) if whole else opened
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                stream.seek(0)
                decoded = decode(stream, asked)
                return decoded.content(digest), decoded
        except OSError as error:
            raise DataError(error.strerror or type(error).__name__) from error


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies in one split.

    Attributes:
        files: The images, sorted by name.
        refused: Names of what must not or cannot be opened, with the reason, sorted.
        others: Names of the files that are no images by their names, sorted.
    """

    files: tuple[UnreadImage, ...]
    refused: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()


def unused_files(names: Sequence[str]) -> str:
    """Return which files are not used: each extension with how many there are and one of them, the most first.

    >>> unused_files(["a/1.txt", "a/2.txt", "b/LICENSE"])
    '3 files are not used: 2 .txt (e.g. a/1.txt), 1 without extension (e.g. b/LICENSE)'
    """
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds[os.path.splitext(name)[1].lower() or "without extension"].append(name)  # noqa: PTH122 - many names
    ranked = sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))
    told = [f"{len(found)} {kind} (e.g. {min(found)})" for kind, found in ranked[:_KINDS]]
    more = [f"{sum(len(found) for _, found in ranked[_KINDS:])} of other kinds"] if ranked[_KINDS:] else []
    return f"{len(names)} file{' is' if len(names) == 1 else 's are'} not used: {', '.join([*told, *more])}"
