"""Why a folder of images cannot be used as it lies, and what to type or to move instead."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tlexp.config.casting import nearest
from tlexp.data.decode import printable
from tlexp.data.splits import TRAIN, names_split, split_meant, splits_meant
from tlexp.data.walk import Naming, has_image_name, loose_images, subfolders
from tlexp.errors import DataError

_DEPTH, _WIDTH = 3, 200
"""So far below a folder, and so wide, the form is looked for."""
_SHOWN = 3
_TABLES, _ARCHIVES = (".csv", ".tsv", ".txt"), (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")
_HOLDERS = ("image", "img", "jpegimage", "jpeg", "jpg", "png", "photo", "picture")
_COMPANIONS = ("annotation", "label", "mask", "xml", "csv", "json", "meta", "metadata", "bbox", "box", "trimap", "list")
_PARTS = frozenset(f"{word}{ending}" for word in (*_HOLDERS, *_COMPANIONS) for ending in ("", "s", "es"))
"""Names of folders that hold images, or what belongs to images, but are no classes."""


def absent(path: Path, setting: str, form: str) -> str:
    """Return the refusal of a path that is no folder."""
    where = f"{setting}={printable(str(path))}"
    if not path.exists():
        return f"{where} does not exist{_near(path)}; {form}"
    if setting == "data.root" and path.suffix.lower() in _TABLES:
        return f"{where} is not a folder; a table of images is read by data=csv data.root={printable(str(path))}"
    unpack = "unpack it first: " if path.suffix.lower() in _ARCHIVES else ""
    return f"{where} is not a folder; {unpack}{form}"


def _near(path: Path) -> str:
    """Return a question for names alike, beside the first part of a path that does not exist."""
    while not path.parent.is_dir() and path != path.parent:
        path = path.parent
    try:
        beside = {name: printable(str(path.parent / name)) for name in subfolders(path.parent)}
    except DataError:
        return ""
    lowered = {name.casefold(): shown for name, shown in beside.items()}
    return nearest(path.name.casefold(), lowered, lowered)


def flat(where: str, folder: Path, loose: Sequence[str], *, setting: str = "") -> str:
    """Return the refusal of a folder with images and no class folders, such as that of a class.

    Args:
        where: The folder for messages.
        folder: The folder.
        loose: Its images.
        setting: May name the folder above it; empty where that is no way out.
    """
    told = f"{where}: no class folders, but {counted(len(loose), 'image')} in it, e.g. {loose[0]}"
    if setting and (offer := did_you_mean(setting, above(folder))):
        return f"{told}; {offer}"
    example = f"{printable(folder.name)}/cat, {printable(folder.name)}/dog"
    named = ", ".join(_prefixes(loose))
    hint = f"; their names begin with {named}: if those are the classes, sort them into such folders" if named else ""
    return (
        f"{told}; make one folder per class ({example}), or name the class of each in a table (data=csv "
        f"data.root=labels.csv){hint}"
    )


def _prefixes(names: Sequence[str]) -> list[str]:
    """Return what names begin with before a number, where few beginnings are shared by many; at most twelve.

    >>> _prefixes(["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg"])
    ['cat', 'dog']
    """
    parts = [re.fullmatch(r"(.*?[^\W\d_])[\W_]*\d[\w\W]*", Path(name).stem) for name in names]
    counts = Counter(part[1] for part in parts if part)
    few = 2 <= len(counts) <= sum(counts.values()) / 2 and sum(counts.values()) > 0.9 * len(names)
    return [*sorted(counts)[:12], *(["..."] if len(counts) > 12 else [])] if few else []


def better(folder: Path) -> list[Path]:
    """Return the folders below one that have a usable form: those of the first level that has any."""
    level = [folder]
    for _ in range(_DEPTH):
        level = [inside for each in level for inside in _readable(each).values()][:_WIDTH]
        if usable := [each for each in level if has_form(each)]:
            return usable
    return []


def above(folder: Path) -> list[Path]:
    """Return the folder above one that has a usable form, if it has."""
    return [folder.parent] if has_form(folder.parent) else []


def did_you_mean(setting: str, found: Sequence[Path]) -> str:
    """Return a question that offers folders, or nothing."""
    offered = " or ".join(f"{setting}={printable(str(path))}" for path in found[:_SHOWN])
    more = f" or another of {len(found)}" if len(found) > _SHOWN else ""
    return f"did you mean {offered}{more}?" if found else ""


def _readable(folder: Path) -> dict[str, Path]:
    try:
        return subfolders(folder)
    except DataError:
        return {}


def has_form(folder: Path) -> bool:
    """Return whether a folder could be a root by its looks."""
    inside = _readable(folder)
    trains = splits_meant(inside).get(TRAIN)
    if trains:
        return _holds_classes(nested(inside[trains[0]]))
    return not all(map(no_class, inside)) and _holds_classes(folder)


def _holds_classes(folder: Path) -> bool:
    """Return whether a folder's first folders all have images, two of them at least."""
    first = [*_readable(folder).values()][:5]
    return len(first) >= 2 and all(_has_images(each) for each in first)


def _has_images(folder: Path) -> bool:
    try:
        return bool(loose_images(folder))
    except DataError:
        return False


def nested(split: Path) -> Path:
    """Return the innermost folder of a split that holds one folder of the same meaning alone: seg_train/seg_train."""
    inside = subfolders(split)
    if len(inside) != 1 or loose_images(split):
        return split
    ((name, folder),) = inside.items()
    same = split_meant(name) is not None and split_meant(name) == split_meant(split.name)
    return nested(folder) if same and subfolders(folder) else split


def no_class(name: str) -> bool:
    """Return whether a folder's name is that of a part of a data set rather than of a class."""
    return name.casefold() in _PARTS or split_meant(name) is not None or names_split(name)


def misread(naming: Naming, folder: Path) -> str | None:
    """Return why the folders in a folder are no classes, with the way out; None where nothing says so.

    What data.train names is taken at its word, unless all of its folders are splits.
    """
    where, classes, stated = naming.shown(folder), subfolders(folder), naming.setting != "data.root"
    setting = "data.root" if folder == naming.root and not stated else "data.train"
    plain = "" if stated else f"data.train={printable(str(folder))} takes all below a folder as one class"
    if all(map(split_meant if stated else no_class, classes)):
        whole = did_you_mean("data.root", [folder] if TRAIN in splits_meant(classes) else [])
        offer = whole or did_you_mean(setting, better(folder)) or f"{_SORT};"
        return f"{where} holds {_some(classes)}, which are no classes by their names; {offer} {plain}".rstrip("; ")
    shared = [] if stated else _shared(classes.values())
    if not shared:
        return None
    told = f"{where}: its folders {_some(classes)} all hold {_some(shared)}"
    if found := better(folder):
        return f"{told}, so it is one folder too high; {did_you_mean(setting, found)} Else {plain}"
    if all(map(split_meant, shared)):
        return f"{told}: move the images to {shared[0]}/{next(iter(classes))} and so on, or {plain}"
    return f"{told}, so it may be one folder too high; {plain}"


_SORT = "make one folder per class, or name the class of each image in a table (data=csv data.root=labels.csv)"


def _shared(classes: Iterable[Path]) -> list[str]:
    """Return the folders that all of several hold, two at least or splits alone, where no image lies beside them."""
    inside: list[set[str]] = []
    for folder in classes:
        try:
            if loose_images(folder):
                return []
            inside.append(set(subfolders(folder)))
        except DataError:  # is named among the images that cannot be used
            continue
    if not inside:
        return []
    some, every = set.union(*inside), set.intersection(*inside)
    if some and all(map(split_meant, some)):
        return sorted(some, key=lambda name: (split_meant(name) != TRAIN, name))
    return sorted(every) if len(every) >= 2 and 2 * len(every) >= len(some) else []


def _some(names: Iterable[str]) -> str:
    """Return the first names and how many more there are."""
    known = list(names)
    return ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")


def images_below(folder: Path) -> list[str]:
    """Return the printable names of the images in a folder, however deep, links to folders not followed."""
    return [
        printable(os.path.relpath(os.path.join(here, name), folder))  # noqa: PTH118 - a Path per file is slow
        for here, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and has_image_name(name)
    ]


def unused(folder: Path) -> str:
    """Return a folder that is not used, for notes: its name, how many images it has and one of them."""
    images = images_below(folder)
    example = f", e.g. {printable(folder.name)}/{min(images)}" if images else ""
    return f"{printable(folder.name)} ({counted(len(images), 'image')}{example})"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
