"""All files of class folders: what is an image by its name, what must not be opened, what is neither.

Where links may lead is settled here, for files that a table names as well.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.decode import EXTENSIONS, printable
from tlexp.data.files import ImageFile, Listing
from tlexp.errors import DataError

_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"})


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How the images of a folder are named, on every machine alike.

    Attributes:
        root: The folder, links resolved; names begin below it, and links may not lead out of it.
        setting: The setting that names it.
        prefix: Stands in front of the names.
        follow: What follows such links, for messages.
    """

    root: Path
    setting: str = "data.root"
    prefix: str = ""
    follow: str = "data.follow_links=true"

    def image(self, path: str) -> str:
        """Return the printable name of an image."""
        return self.prefix + printable(os.path.relpath(path, self.root).replace(os.sep, "/"))

    def shown(self, folder: Path) -> str:
        """Return a folder for messages: the setting with its root, and the folder's name below it."""
        below = os.path.relpath(folder, self.root)
        return f"{self.setting}={printable(str(self.root))}" + ("" if below == "." else f", folder {printable(below)}")


class Walk:
    """Collects the files of all class folders of a split."""

    def __init__(self, naming: Naming, *, follow_links: bool) -> None:
        self.files: list[ImageFile] = []
        self.refused: list[tuple[str, str]] = []
        self.others: list[str] = []
        self.labels: set[int] = set()
        self._naming = naming
        self._follow_links = follow_links

    def visit(self, folder: Path, label: int) -> None:
        """Collect a class folder. A folder is visited once per class, and its parents never, so that loops end.

        One that cannot be read is refused as images are, so that all that is wrong is said at once.
        """
        seen = {_identity(parent) for parent in (folder.parent, self._naming.root)} - {_identity(folder)}
        waiting = [str(folder)]
        while waiting:
            current = waiting.pop()
            try:
                if reason := self._refusal(current):
                    self._refuse(current, label, reason)
                elif (identity := _identity(current)) not in seen:
                    seen.add(identity)
                    waiting += self._sort(_visible(current), label)
            except OSError as error:
                self._refuse(current, label, f"a folder that cannot be read: {error.strerror}")

    def pass_over(self, entry: os.DirEntry[str]) -> None:
        """Remember a file that is not used."""
        self.others.append(self._naming.image(entry.path))

    def listing(self) -> Listing:
        """Return what was collected."""
        return Listing(
            files=tuple(sorted(self.files, key=lambda file: file.name)),
            refused=tuple(sorted(self.refused)),
            others=tuple(sorted(self.others)),
        )

    def _sort(self, entries: Iterable[os.DirEntry[str]], label: int) -> Iterator[str]:
        """Take the files in and return the folders."""
        for entry in entries:
            if is_folder(entry):
                yield entry.path
            elif not has_image_name(entry.name):
                self.pass_over(entry)
            elif reason := self._refusal(entry.path, linked=entry.is_symlink()) or _irregular(entry):
                self._refuse(entry.path, label, reason)
            else:
                self.files.append(self._file(entry.path, label))

    def _refusal(self, path: str, *, linked: bool | None = None) -> str | None:
        """Return why a link is not followed; None for everything else."""
        if linked is False or not Path(path).is_symlink():
            return None
        if not Path(path).exists():
            return "a link that leads nowhere"
        if not self._follow_links and leads_out(path, self._naming.root):
            return f"a link out of {self._naming.setting}, which {self._naming.follow} follows"
        return None

    def _refuse(self, path: str, label: int, reason: str) -> None:
        self.refused.append((self._file(path, label).name, reason))

    def _file(self, path: str, label: int) -> ImageFile:
        self.labels.add(label)
        return ImageFile(path=path, name=self._naming.image(path), label=label)


class NamedPaths:
    """Files that a table names, of which some are links out of the folder that they start from.

    Args:
        folder: Of the table, links resolved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outside: dict[str, bool] = {}

    def refusal(self, path: str) -> str | None:
        """Return why an absolute path is not followed; the folders before one elsewhere are the user's word."""
        folder = os.path.dirname(path)  # noqa: PTH120 - a Path per row is slow
        below = os.path.commonpath([folder, self._folder]) == str(self._folder)
        if folder not in self._outside:
            self._outside[folder] = below and leads_out(folder, self._folder)
        root = self._folder if below else Path(folder).resolve()
        if not self._outside[folder] and not (os.path.islink(path) and leads_out(path, root)):  # noqa: PTH114 - slow
            return None
        return f"a link out of {printable(str(root))}, which data.follow_links=true follows"


def leads_out(path: str | Path, root: Path) -> bool:
    """Return whether a path, with all links followed, lies outside the root."""
    return not Path(os.path.realpath(path)).is_relative_to(root)


def _irregular(entry: os.DirEntry[str]) -> str | None:
    """Return a reason for pipes, devices and the like, which could block for ever when opened."""
    return None if entry.is_file() else "not a regular file"


def has_image_name(name: str) -> bool:
    """Return whether a file's name ends as those of images do."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 - a Path per file is slow


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - takes both kinds of path
    return status.st_dev, status.st_ino


def visible_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name, without hidden files and the litter of file managers.

    Raises:
        DataError: The folder cannot be read.
    """
    try:
        return _visible(folder)
    except OSError as error:
        raise DataError(f"folder {printable(str(folder))} cannot be read: {error.strerror}") from error


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scan:
        visible = [entry for entry in scan if not entry.name.startswith(".") and entry.name not in _LITTER]
    return sorted(visible, key=lambda entry: entry.name)


def subfolders(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by printable name, sorted by it."""
    found = {printable(entry.name): Path(entry.path) for entry in visible_entries(folder) if is_folder(entry)}
    return dict(sorted(found.items()))


def loose_images(folder: Path) -> list[str]:
    """Return the printable names of the images that lie in a folder itself, by their extensions."""
    return [
        printable(entry.name)
        for entry in visible_entries(folder)
        if has_image_name(entry.name) and not is_folder(entry)
    ]
