"""Exact copies are one image: what is left out because its content lies somewhere else too.

Copies have equal digests, whatever their names. Within a split one stays, the first by name. Across splits that are
given the training pool gives way. Under two classes none stays, in whichever split it lies: one of the labels is wrong.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.data.splits import TRAIN
from tlexp.errors import DataError
from tlexp.paths import csv_bytes


class CopyKind(StrEnum):
    """Why a copy is left out."""

    repeated = "counts once"
    tested = "in the test split"
    shifted = "in data.shifted"
    torn = "under two classes"


_NOTES = {
    CopyKind.repeated: "exact copies count once",
    CopyKind.tested: "training images are also in the test split and left out of training",
    CopyKind.shifted: "training images are also in data.shifted and left out of training",
    CopyKind.torn: "images lie under two classes and are left out",
}
_YIELDS_TO = {"test": CopyKind.tested, "shifted": CopyKind.shifted}
"""Splits that a copy in the training pool gives way to."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """An image that is left out.

    Attributes:
        name: Its name.
        same_as: Another image of the same content.
        split: Where it lay: train (also where the test split is yet to be split off), test, neither or shifted.
        kind: Why it is left out.
        label: Its class index.
        digest: Of its content, 64 hexadecimal digits.
    """

    name: str
    same_as: str
    split: str
    kind: CopyKind
    label: int
    digest: str


@dataclass(frozen=True, kw_only=True, order=True)
class _Placed:
    name: str
    label: int
    split: str


def find_copies(splits: Mapping[str, Iterable[Sequence[Any]]], known: Iterable[Copy] = ()) -> tuple[Copy, ...]:
    """Return the images to leave out, sorted by name.

    Args:
        splits: train, test, neither or shifted -> name, label and digest of its images, see `describe`. Names are
            unique across splits.
        known: Images that were left out before; what lies under two classes is so in a third place too.

    >>> images = [("a/1.png", 0, "d1"), ("a/2.png", 0, "d1"), ("a/3.png", 0, "d2")]
    >>> [(copy.name, copy.same_as, str(copy.kind)) for copy in find_copies({"train": images})]
    [('a/2.png', 'a/1.png', 'counts once')]
    """
    torn = {copy.digest: copy.name for copy in known if copy.kind is CopyKind.torn}
    alike: defaultdict[str, list[_Placed]] = defaultdict(list)
    for split, images in splits.items():
        for name, label, digest in images:
            alike[digest].append(_Placed(name=name, label=label, split=split))
    found = (
        Copy(name=image.name, same_as=other, split=image.split, kind=kind, label=image.label, digest=digest)
        for digest, same in alike.items()
        if len(same) > 1 or digest in torn
        for image, other, kind in _left_out(sorted(same), torn.get(digest))
    )
    return tuple(sorted(found, key=lambda copy: copy.name))


def _left_out(same: Sequence[_Placed], torn: str | None) -> Iterator[tuple[_Placed, str, CopyKind]]:
    """Yield which of the images of one content are left out, for which other one and why.

    Args:
        same: The images, sorted by name.
        torn: An image of this content that lay under two classes before.
    """
    if torn is not None or len({image.label for image in same}) > 1:
        for image in same:
            others = [each.name for each in same if each.label != image.label]
            yield image, others[0] if others else str(torn), CopyKind.torn
        return
    first: dict[str, _Placed] = {}
    for image in same:
        first.setdefault(image.split, image)
    winners = [split for split in _YIELDS_TO if split in first]
    for image in same:
        if image.split == TRAIN and winners:
            yield image, first[winners[0]].name, _YIELDS_TO[winners[0]]
        elif image is not first[image.split]:
            yield image, first[image.split].name, CopyKind.repeated


def remaining(names: Iterable[str], copies: Iterable[Copy]) -> NDArray[np.int64]:
    """Return the places of the images that are not left out, (N,) int64."""
    left_out = {copy.name for copy in copies}
    return np.array([place for place, name in enumerate(names) if name not in left_out], np.int64)


def require_classes(
    classes: Sequence[str], labels: Mapping[str, Iterable[int]], copies: Iterable[Copy], *, where: str
) -> None:
    """Refuse a class that has nothing but copies that are left out.

    Args:
        classes: Their names.
        labels: Split -> class index of every image that stays.
        copies: What is left out.
        where: The source for messages.

    Raises:
        DataError: A split has no image of a class any more.
    """
    for split, left in labels.items():
        for label in sorted(set(range(len(classes))) - set(left)):
            gone = [copy for copy in copies if (copy.split, copy.label) == (split, label)]
            example = f", e.g. {gone[0].name} = {gone[0].same_as} ({gone[0].kind})" if gone else ""
            raise DataError(
                f"{where}: no image of class {classes[label]} is left in the split {split}, for exact copies are one "
                f"image and {len(gone)} are left out{example}; remove the copies that are out of place, or add images "
                "of the class"
            )


def copy_notes(copies: Sequence[Copy]) -> Iterator[str]:
    """Yield for each kind of copy how many are left out, and an example."""
    for kind, told in _NOTES.items():
        own = [copy for copy in copies if copy.kind is kind]
        if own:
            yield f"{len(own)} {told}, e.g. {own[0].name} = {own[0].same_as}; copies.csv lists them"


def copies_csv(copies: Sequence[Copy]) -> bytes:
    """Return a table of copies: name, same_as, split, why."""
    rows = [[copy.name, copy.same_as, copy.split, str(copy.kind)] for copy in copies]
    return csv_bytes([["name", "same_as", "split", "why"], *rows])
