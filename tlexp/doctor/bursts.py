"""Bursts: photographs taken one after another, as their names tell, that show the same.

A running number or a time in the name proposes neighbours, and features confirm them. People's names are numbered
throughout, so a number says little: images have to be far more alike than strangers of the same sequence. N images.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final, NamedTuple

import numpy as np

from tlexp.arrays import Pairs, Positions
from tlexp.doctor.strangers import Features, cosines, random_pairs, usual

_LEFT: Final = 0.3
"""1 - cosine of neighbours in a burst, as a share of that of strangers."""
_REACH: Final = 3
"""Images ahead, and usual steps of the number, that are still neighbours: some of a burst are often thrown away."""
_SECONDS: Final = 10
"""Time between neighbours, where names tell the time."""
_OWN: Final = 32
"""A sequence of fewer images is compared with strangers of the whole set."""

_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL)
_TIME = re.compile(r"(.*?)(\d{8})[-_ T]?(\d\d)[-.]?(\d\d)[-.]?(\d\d)(?:\d{3})?", re.DOTALL)


class Numbered(NamedTuple):
    """What a name tells: the sequence that it belongs to, its number there, and whether that is a time in seconds."""

    sequence: tuple[str, ...]
    number: int
    timed: bool


def numbered(name: str) -> Numbered | None:
    """Return the place of an image in a sequence; None where its name has no number.

    The sequence is one of the innermost folder: its images may have been dealt out to training and test.

    >>> numbered("train/cats/IMG_0012.jpg")
    Numbered(sequence=('cats', 'IMG_', ''), number=12, timed=False)
    >>> numbered("a/20240102_000110.jpg").number - numbered("a/20240102_000055.jpg").number
    15
    """
    path = PurePosixPath(name)
    if found := _TIME.fullmatch(path.stem):
        try:
            taken = datetime.strptime("".join(found.groups()[1:]), "%Y%m%d%H%M%S")
        except ValueError:
            pass
        else:
            return Numbered((path.parent.name, found[1], ""), round((taken - datetime.min).total_seconds()), True)
    if found := _NUMBER.fullmatch(path.stem):
        return Numbered((path.parent.name, found[1], found[3]), int(found[2]), False)
    return None


def find_bursts(names: Sequence[str], features: Features) -> Pairs:
    """Return pairs of neighbours in bursts, (P, 2): the images that are connected by them are one burst.

    Args:
        names: Of the images, as the source gives them.
        features: Of the images, (N, D) float32 of unit length.
    """
    whole = usual(cosines(features, random_pairs(len(names))))
    found = [np.empty((0, 2), np.int64)]
    for timed, numbers, places in _sequences(names):
        pairs = _neighbours(numbers, _SECONDS if timed else None)
        strangers = usual(cosines(features[places], random_pairs(len(places)))) if len(places) >= _OWN else whole
        alike = cosines(features[places], pairs) >= 1 - _LEFT * (1 - strangers)
        found.append(np.sort(places[pairs[alike]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _sequences(names: Sequence[str]) -> Iterator[tuple[bool, Positions, Positions]]:
    """Yield for each sequence whether it is of times, its numbers in order (n,) and where its images are (n,)."""
    sequences: defaultdict[tuple[bool, tuple[str, ...]], list[tuple[int, int]]] = defaultdict(list)
    for place, name in enumerate(names):
        if told := numbered(name):
            sequences[told.timed, told.sequence].append((told.number, place))
    for (timed, _), images in sorted(sequences.items()):
        numbers, places = np.array(sorted(images), np.int64).T
        yield timed, numbers, places


def _neighbours(numbers: Positions, within: int | None) -> Pairs:
    """Return pairs of places in a sequence (n,) whose numbers are close: so much, or a few usual steps; (P, 2)."""
    steps = np.diff(numbers)
    if within is None:
        within = _REACH * int(np.median(steps[steps > 0])) if steps.any() else 0
    first = np.repeat(np.arange(len(numbers)), _REACH)
    second = first + np.tile(np.arange(1, _REACH + 1), len(numbers))
    there = second < len(numbers)
    pairs = np.stack([first[there], second[there]], axis=1)
    return np.compress(numbers[pairs[:, 1]] - numbers[pairs[:, 0]] <= within, pairs, axis=0)
