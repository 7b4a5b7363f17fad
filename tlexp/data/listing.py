"""Which files a folder of images consists of, and which class each belongs to. Nothing is opened here.

Either root/train and root/test (or val, or validation), each with one folder per class, or root itself with one folder
per class. Classes are sorted by name, character by character ("10" before "9"), as torchvision's ImageFolder does.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.decode import EXTENSIONS, printable
from tlexp.errors import DataError

_TRAIN = "train"
_HELD_OUT = ("test", "val", "validation")
_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"})
_FORM = "data.root needs one folder per class (root/cat, root/dog), or root/train and root/test with such folders"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where classes and splits lie.

    Attributes:
        root: The root, links resolved.
        classes: Printable class names, sorted.
        pool: The folder whose subfolders are the classes.
        held_out: The same for the test split; None where it has to be split off the pool.
        notes: Remarks for the user.
    """

    root: Path
    classes: tuple[str, ...]
    pool: Path
    held_out: Path | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image file, not yet opened: its path, printable name below the root and class index."""

    path: str
    name: str
    label: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies in one split.

    Attributes:
        files: The image files, sorted by name.
        refused: What must not be opened, with the reason, sorted by name.
        others: How many files are no images by their names.
    """

    files: tuple[ImageFile, ...]
    refused: tuple[tuple[ImageFile, str], ...]
    others: int


def find_layout(root: Path, *, follow_links: bool) -> Layout:
    """Find splits and classes below a root.

    Raises:
        DataError: The root is missing, a file, unreadable or empty; there are fewer than two classes; two class names
            differ only in case; the splits have different classes; a split is a link out of the root.
    """
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"data.root={printable(str(root))} {wrong}; {_FORM}")
    root = root.resolve()
    folders = _folders(root)
    if not folders:
        raise DataError(f"data.root={printable(str(root))} holds no folder; {_FORM}")
    pool, held_out, notes = _splits(root, folders)
    for split in (pool, held_out):
        if split is not None and not follow_links and leads_out(split, root):
            raise DataError(f"{_show(split, root)} is a link out of data.root; data.follow_links=true follows it")
    classes = _classes(pool, root)
    if held_out is not None:
        _require_equal(classes, _classes(held_out, root), pool, held_out, root)
    return Layout(root=root, classes=classes, pool=pool, held_out=held_out, notes=notes)


def list_images(split: Path, layout: Layout, *, follow_links: bool) -> Listing:
    """List the files of one split; what lies deeper inside a class folder belongs to that class.

    Raises:
        DataError: A folder cannot be read, or a class has no image.
    """
    folders = _folders(split)
    walk = _Walk(layout.root, follow_links)
    walk.others = sum(1 for entry in _entries(split) if not entry.is_dir())
    for label, name in enumerate(layout.classes):
        walk.visit(folders[name], label)
    found = {file.label for file in walk.files} | {file.label for file, _ in walk.refused}
    empty = [name for label, name in enumerate(layout.classes) if label not in found]
    if empty:
        raise DataError(
            f"{_show(split, layout.root)}: no image in class {', '.join(empty)}; add images or remove the "
            f"folder in every split (images end in {' '.join(sorted(EXTENSIONS))})"
        )
    return Listing(
        files=tuple(sorted(walk.files, key=lambda file: file.name)),
        refused=tuple(sorted(walk.refused, key=lambda pair: pair[0].name)),
        others=walk.others,
    )


def leads_out(path: str | Path, root: Path) -> bool:
    """Return whether a path, with all links followed, lies outside the root."""
    return not Path(os.path.realpath(path)).is_relative_to(root)


class _Walk:
    """Collects the files of all class folders of a split."""

    def __init__(self, root: Path, follow_links: bool) -> None:
        self.files: list[ImageFile] = []
        self.refused: list[tuple[ImageFile, str]] = []
        self.others = 0
        self._root = root
        self._follow_links = follow_links

    def visit(self, folder: Path, label: int) -> None:
        """Collect a class folder. A folder is visited once per class, and its parents never, so that loops end."""
        seen = {_identity(parent) for parent in (folder.parent, self._root)}
        waiting = [str(folder)]
        while waiting:
            current = waiting.pop()
            if reason := self._refusal(current):
                self._refuse(current, label, reason)
            elif (identity := _identity(current)) not in seen:
                seen.add(identity)
                waiting += self._sort(_entries(current), label)

    def _sort(self, entries: Iterable[os.DirEntry[str]], label: int) -> Iterator[str]:
        """Take the files in and return the folders."""
        for entry in entries:
            if _is_folder(entry):
                yield entry.path
            elif os.path.splitext(entry.name)[1].lower() not in EXTENSIONS:  # noqa: PTH122 - a Path per file is slow
                self.others += 1
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
        if not self._follow_links and leads_out(path, self._root):
            return "a link out of data.root, which data.follow_links=true follows"
        return None

    def _refuse(self, path: str, label: int, reason: str) -> None:
        self.refused.append((self._file(path, label), reason))

    def _file(self, path: str, label: int) -> ImageFile:
        relative = os.path.relpath(path, self._root).replace(os.sep, "/")
        return ImageFile(path=path, name=printable(relative), label=label)


def _irregular(entry: os.DirEntry[str]) -> str | None:
    """Return a reason for pipes, devices and the like, which could block for ever when opened."""
    return None if entry.is_file() else "not a regular file"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - takes both kinds of path
    return status.st_dev, status.st_ino


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name, without hidden files and the litter of file managers.

    Raises:
        DataError: The folder cannot be read.
    """
    try:
        with os.scandir(folder) as scan:
            visible = [entry for entry in scan if not entry.name.startswith(".") and entry.name not in _LITTER]
    except OSError as error:
        raise DataError(f"data.root: folder {printable(str(folder))} cannot be read: {error.strerror}") from error
    return sorted(visible, key=lambda entry: entry.name)


def _folders(folder: Path) -> dict[str, Path]:
    """Return the subfolders by printable name, sorted by it."""
    found = {printable(entry.name): Path(entry.path) for entry in _entries(folder) if _is_folder(entry)}
    return dict(sorted(found.items()))


def _splits(root: Path, folders: dict[str, Path]) -> tuple[Path, Path | None, tuple[str, ...]]:
    """Return pool, held-out folder and notes."""
    by_name = {name.casefold(): path for name, path in folders.items() if name.casefold() in (_TRAIN, *_HELD_OUT)}
    given = [name for name in _HELD_OUT if name in by_name]
    train = by_name.get(_TRAIN)
    if train is None:
        if len(given) == len(folders):
            raise DataError(f"data.root={printable(str(root))} has {', '.join(given)} but no train folder; {_FORM}")
        return root, None, ()
    # A class may be called "train" too: then its folder holds images, not folders, and no other split stands beside it.
    if not given and len(folders) > 1 and not _folders(train):
        return root, None, ()
    notes = []
    if len(given) > 1:
        notes.append(f"{', '.join(given[1:])} beside {given[0]} is not used: {given[0]} is held out as the test split")
    rest = [name for name in folders if name.casefold() not in (_TRAIN, *_HELD_OUT)]
    if rest:
        notes.append(f"folders beside train are not used: {', '.join(rest)}")
    return train, by_name[given[0]] if given else None, tuple(notes)


def _classes(split: Path, root: Path) -> tuple[str, ...]:
    """Return the class names of a split, sorted.

    Raises:
        DataError: Fewer than two, or names that differ in case only (one folder on some systems, two on others).
    """
    names = tuple(_folders(split))
    if len(names) < 2:
        found = f"one class only ({names[0]})" if names else "no class folders"
        raise DataError(f"{_show(split, root)}: {found}, at least two are needed; {_FORM}")
    spelled: dict[str, str] = {}
    for name in names:
        first = spelled.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if first is not name:
            raise DataError(
                f"{_show(split, root)}: classes {first} and {name} differ only in case or in the coding of accents; "
                "rename or merge them"
            )
    return names


def _require_equal(train: Sequence[str], other: Sequence[str], pool: Path, held_out: Path, root: Path) -> None:
    """Refuse splits with different classes: numbered each on its own, labels would silently shift."""
    differences = [
        f"{word} {', '.join(names)}"
        for word, names in (
            ("missing", sorted(set(train) - set(other))),
            ("extra", sorted(set(other) - set(train))),
        )
        if names
    ]
    if differences:
        raise DataError(
            f"{_show(held_out, root)} has other classes than {_show(pool, root)}: {'; '.join(differences)}; "
            "both need the same class folders"
        )


def _show(path: Path, root: Path) -> str:
    """Return a folder for messages: the root itself, or its name below it."""
    below = os.path.relpath(path, root)
    return f"data.root={printable(str(root))}" + ("" if below == "." else f", folder {printable(below)}")
