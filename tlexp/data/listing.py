"""Which files a folder of images consists of, and which class each belongs to. Nothing is opened here.

Either root/train and root/test (or val, or validation), each with one folder per class, or root itself with one folder
per class. Classes are sorted by name, character by character ("10" before "9"), as torchvision's ImageFolder does.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.classes import NEITHER, choose_classes, require_equal
from tlexp.data.decode import EXTENSIONS, printable
from tlexp.data.files import ImageFile, Listing
from tlexp.data.splits import HELD_OUT, TRAIN, choose_held_out
from tlexp.errors import DataError

_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"})
_COUNTS = {1: "one is", 2: "two are"}
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


def find_layout(root: Path, *, follow_links: bool, classes: Sequence[str] | None = None, at_least: int = 2) -> Layout:
    """Find splits and classes below a root.

    Args:
        root: The folder.
        follow_links: Whether splits may be links out of it.
        classes: Those to use; all when None.
        at_least: So many classes are needed.

    Raises:
        DataError: The root is missing, a file, unreadable or empty; there are too few classes; a wanted class is
            missing; two class names differ only in case; the splits have different classes; a split is a link out of
            the root.
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
    chosen = choose_classes(_classes(pool, root, at_least), classes, where=_show(pool, root))
    if held_out is not None:
        others = [name for name in _classes(held_out, root, at_least) if classes is None or name in classes]
        require_equal(
            chosen,
            choose_classes(others, None, where=_show(held_out, root)),
            where=_show(held_out, root),
            than=_show(pool, root),
            way_out="both need the same class folders",
        )
    return Layout(root=root, classes=chosen, pool=pool, held_out=held_out, notes=notes)


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
    empty = [name for label, name in enumerate(layout.classes) if label not in walk.labels]
    if empty:
        raise DataError(
            f"{_show(split, layout.root)}: no image in class {', '.join(empty)}; add images or remove the "
            f"folder in every split (images end in {' '.join(sorted(EXTENSIONS))})"
        )
    return walk.listing()


def list_tree(root: Path, *, setting: str, prefix: str, follow_links: bool) -> Listing:
    """List all images below a folder, however deep, as one class.

    Args:
        root: The folder.
        setting: Names it in messages.
        prefix: Stands in front of the images' names.
        follow_links: Follow links out of it.

    Raises:
        DataError: It is missing, no folder, cannot be read or holds no image.
    """
    root = _folder(root, setting)
    walk = _Walk(root, follow_links, setting=setting, prefix=prefix)
    walk.visit(root, 0)
    if not walk.labels:
        raise DataError(
            f"{setting}={printable(str(root))} holds no image, at any depth (images end in "
            f"{' '.join(sorted(EXTENSIONS))})"
        )
    return walk.listing()


def list_classes(
    root: Path, classes: Sequence[str], *, others: bool, setting: str, prefix: str, follow_links: bool
) -> Listing:
    """List a folder that has one folder for each class.

    Args:
        root: The folder.
        classes: The classes, in the order of their labels.
        others: Whether folders of other classes may lie there.
        setting: Names the folder in messages.
        prefix: Stands in front of the images' names.
        follow_links: Follow links out of it.

    Raises:
        DataError: It is missing, no folder, cannot be read, or has other classes; a class has no image.
    """
    root = _folder(root, setting)
    folders = _folders(root)
    require_equal(
        classes,
        [name for name in folders if name in classes or not others],
        where=f"{setting}={printable(str(root))}",
        than="the run",
        way_out="it needs one folder for each class of the run"
        + (f", {NEITHER} among them as data.neither is given" if NEITHER in classes else "")
        + "; data.classes=[...] keeps those that both have",
    )
    walk = _Walk(root, follow_links, setting=setting, prefix=prefix)
    for label, name in enumerate(classes):
        walk.visit(folders[name], label)
    if empty := [name for label, name in enumerate(classes) if label not in walk.labels]:
        raise DataError(f"{setting}={printable(str(root))}: no image in class {', '.join(empty)}; add images")
    return walk.listing()


def _folder(root: Path, setting: str) -> Path:
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"{setting}={printable(str(root))} {wrong}; it needs a folder of images")
    return root.resolve()


def leads_out(path: str | Path, root: Path) -> bool:
    """Return whether a path, with all links followed, lies outside the root."""
    return not Path(os.path.realpath(path)).is_relative_to(root)


class _Walk:
    """Collects the files of all class folders of a split."""

    def __init__(self, root: Path, follow_links: bool, *, setting: str = "data.root", prefix: str = "") -> None:
        self.files: list[ImageFile] = []
        self.refused: list[tuple[str, str]] = []
        self.others = 0
        self.labels: set[int] = set()
        self._root = root
        self._follow_links = follow_links
        self._setting, self._prefix = setting, prefix

    def visit(self, folder: Path, label: int) -> None:
        """Collect a class folder. A folder is visited once per class, and its parents never, so that loops end."""
        seen = {_identity(parent) for parent in (folder.parent, self._root)} - {_identity(folder)}
        waiting = [str(folder)]
        while waiting:
            current = waiting.pop()
            if reason := self._refusal(current):
                self._refuse(current, label, reason)
            elif (identity := _identity(current)) not in seen:
                seen.add(identity)
                waiting += self._sort(_entries(current), label)

    def listing(self) -> Listing:
        """Return what was collected."""
        return Listing(
            files=tuple(sorted(self.files, key=lambda file: file.name)),
            refused=tuple(sorted(self.refused)),
            others=self.others,
        )

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
            return f"a link out of {self._setting}, which data.follow_links=true follows"
        return None

    def _refuse(self, path: str, label: int, reason: str) -> None:
        self.refused.append((self._file(path, label).name, reason))

    def _file(self, path: str, label: int) -> ImageFile:
        self.labels.add(label)
        relative = os.path.relpath(path, self._root).replace(os.sep, "/")
        return ImageFile(path=path, name=self._prefix + printable(relative), label=label)


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
        raise DataError(f"folder {printable(str(folder))} cannot be read: {error.strerror}") from error
    return sorted(visible, key=lambda entry: entry.name)


def _folders(folder: Path) -> dict[str, Path]:
    """Return the subfolders by printable name, sorted by it."""
    found = {printable(entry.name): Path(entry.path) for entry in _entries(folder) if _is_folder(entry)}
    return dict(sorted(found.items()))


def _splits(root: Path, folders: dict[str, Path]) -> tuple[Path, Path | None, tuple[str, ...]]:
    """Return pool, held-out folder and notes."""
    by_name = {name.casefold(): path for name, path in folders.items() if name.casefold() in (TRAIN, *HELD_OUT)}
    train = by_name.pop(TRAIN, None)
    if train is None:
        if len(by_name) == len(folders):
            given = ", ".join(name for name in HELD_OUT if name in by_name)
            raise DataError(f"data.root={printable(str(root))} has {given} but no train folder; {_FORM}")
        return root, None, ()
    # A class may be called "train" too: then its folder holds images, not folders, and no other split stands beside it.
    if not by_name and len(folders) > 1 and not _folders(train):
        return root, None, ()
    held_out, notes = choose_held_out(by_name)
    rest = [name for name in folders if name.casefold() not in (TRAIN, *HELD_OUT)]
    if rest:
        notes = (*notes, f"folders beside train are not used: {', '.join(rest)}")
    return train, None if held_out is None else by_name[held_out], notes


def _classes(split: Path, root: Path, at_least: int) -> tuple[str, ...]:
    """Return the class names of a split, sorted.

    Raises:
        DataError: Fewer than `at_least`.
    """
    names = tuple(_folders(split))
    if len(names) < at_least:
        found = f"one class only ({names[0]})" if names else "no class folders"
        raise DataError(f"{_show(split, root)}: {found}, at least {_COUNTS[at_least]} needed; {_FORM}")
    return names


def _show(path: Path, root: Path) -> str:
    """Return a folder for messages: the root itself, or its name below it."""
    below = os.path.relpath(path, root)
    return f"data.root={printable(str(root))}" + ("" if below == "." else f", folder {printable(below)}")
