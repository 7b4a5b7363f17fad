"""Photographs whose classes are known, in folders or a table: classes are matched by name, others are named."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.data.classes import listed, with_nearest
from tlexp.data.csv_source import read_rows
from tlexp.data.decode import printable
from tlexp.data.files import ImageFile
from tlexp.data.walk import subfolders
from tlexp.errors import DataError
from tlexp.predictor.photos import Photo, photos_below


@dataclass(frozen=True, kw_only=True)
class LabelledPhotos:
    """Photographs whose classes are known by their folder or table.

    Attributes:
        photos: Of the classes that the network knows.
        labels: Class index of each, by its name.
        notes: Which classes are missing or unknown, a sentence each.
        unknown: Images of unknown classes, which are left out.
    """

    photos: tuple[Photo, ...]
    labels: dict[str, int]
    notes: tuple[str, ...]
    unknown: int = 0


def find_labelled(place: Path, classes: Sequence[str], *, follow_links: bool) -> LabelledPhotos:
    """Return the photographs of a folder with a folder for each class, or of a CSV table with path and label.

    Args:
        place: The folder or table.
        classes: Those that the network knows, by name.
        follow_links: Follow links that lead out of a folder.

    Raises:
        DataError: There is neither, none of its classes is known, or those that are known have no image.
    """
    if not place.exists():
        raise DataError(f"{printable(str(place))}: no such folder or table; {_wanted(classes)}")
    named = _of_folder(place, classes, follow_links) if place.is_dir() else _of_table(place)
    known = {name: found for name, photos in named.items() if name in classes and (found := photos())}
    unknown = {name: count for name in sorted(named.keys() - set(classes)) if (count := len(named[name]()))}
    missing = [name for name in classes if name not in known]
    if not known:
        raise DataError(f"{printable(str(place))}: {_nothing_known(named, classes)}")
    notes, count = [], sum(unknown.values())
    if unknown:
        others = listed([with_nearest(name, missing) for name in unknown])
        left = "1 image is" if count == 1 else f"{count:,} images are"
        notes.append(f"{left} left out, since the network does not know their classes: {others}")
    if missing:
        notes.append(f"no images of {listed(missing)}")
    photos, labels = [], {}
    for name, found in known.items():
        for photo in found:
            photos.append(photo)
            labels[photo.name] = classes.index(name)
    return LabelledPhotos(photos=tuple(photos), labels=labels, notes=tuple(notes), unknown=count)


def _nothing_known(named: Iterable[str], classes: Sequence[str]) -> str:
    """Return why there is nothing to measure."""
    if empty := [name for name in named if name in classes]:
        return f"no image lies in the folders of the classes that the network knows ({listed(empty)}), nor below them"
    others = listed([with_nearest(name, classes) for name in named])
    return f"none of its classes ({others}) is known to the network, which tells apart {listed(classes)}"


def _of_folder(folder: Path, classes: Sequence[str], follow_links: bool) -> dict[str, Callable[[], Sequence[Photo]]]:
    named = subfolders(folder)
    if not named:
        offer = f"did you mean {printable(str(folder.parent))}? Else " if folder.name in classes else ""
        raise DataError(f"{printable(str(folder))}: no folder of a class lies in it; {offer}{_wanted(classes)}")
    return {
        name: functools.partial(photos_below, below, follow_links=follow_links, root=folder)
        for name, below in named.items()
    }


def _wanted(classes: Sequence[str]) -> str:
    """Return what is to be named."""
    return (
        f"name a folder that holds one for each class that the network tells apart ({listed(classes)}), or a CSV "
        "table with the columns path and label"
    )


def _of_table(path: Path) -> dict[str, Callable[[], Sequence[Photo]]]:
    photos: dict[str, list[Photo]] = {}
    for row in read_rows(path, printable(str(path))):
        file = ImageFile(path=row.path, name=row.name, label=0)
        photos.setdefault(row.label, []).append(Photo.of(file))
    return {name: functools.partial(list, found) for name, found in sorted(photos.items())}
