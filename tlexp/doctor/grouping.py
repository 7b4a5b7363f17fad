"""Which images belong together: what near copies, bursts and exact copies connect is one group.

A chain of pairs may lead from an image to one that it has nothing to do with; so a large group whose images are not
alike is taken apart again. N images.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tlexp.arrays import Pairs, Positions
from tlexp.doctor.strangers import Features, cosines, random_pairs, usual
from tlexp.paths import csv_bytes

_SMALL: Final = 30
"""A group of so many images is not looked at: pairs were confirmed one by one."""
_LARGE: Final = 5000
"""A group of more is not taken apart: all distances of its images would take 100 MiB and more."""
_LEFT: Final = 0.5
"""Mean 1 - cosine of the images of a group, as a share of that of strangers."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The group of every image.

    Attributes:
        numbers: 0, 1, ... in the order of the first image of each group, (N,).
        loose: Images of each group that is not alike and too large to be taken apart, the largest first.
    """

    numbers: Positions
    loose: tuple[int, ...]


def group_images(pairs: Pairs, features: Features) -> Grouping:
    """Return the groups of images that are connected by pairs.

    Args:
        pairs: Of near copies and of bursts, (P, 2).
        features: Of the images, (N, D) float32 of unit length.

    >>> group_images(np.array([[0, 2], [2, 3]]), np.eye(4, dtype=np.float32)).numbers.tolist()
    [0, 1, 0, 0]
    """
    count = len(features)
    numbers = _connected(pairs, count)
    least = 1 - _LEFT * (1 - usual(cosines(features, random_pairs(count))))
    loose = []
    for members in list(_unlike(numbers, features, least)):
        if len(members) > _LARGE:
            loose.append(len(members))
            continue
        tree = linkage(features[members].astype(np.float64), method="average", metric="cosine")
        numbers[members] = count + numbers.max() + fcluster(tree, 1 - least, criterion="distance")
    return Grouping(numbers=_in_order(numbers), loose=tuple(sorted(loose, reverse=True)))


def _unlike(numbers: Positions, features: Features, least: float) -> Iterator[Positions]:
    """Yield the members of each large group whose mean cosine is less than that."""
    sizes = np.bincount(numbers, minlength=1)
    for number in np.flatnonzero(sizes > _SMALL):
        members = np.flatnonzero(numbers == number)
        size = len(members)
        # The squared length of the sum is the sum over all pairs, an image and itself included.
        total = np.square(features[members].sum(0, dtype=np.float64)).sum()
        if (total - size) / (size * (size - 1)) < least:
            yield members


def _connected(pairs: Pairs, count: int) -> Positions:
    edges = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers = connected_components(edges, directed=False)[1] if count else []
    return np.asarray(numbers, np.int64)


def _in_order(numbers: Positions) -> Positions:
    """Return numbers 0, 1, ... in the order in which they come first."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def join_groups(*groupings: Positions) -> Positions:
    """Return the groups that any of several groupings of the same images connect, (N,).

    >>> join_groups(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist()
    [0, 0, 0, 1]
    """
    pairs = [_to_first(numbers) for numbers in groupings]
    return _in_order(_connected(np.concatenate(pairs), len(groupings[0])))


def _to_first(numbers: Positions) -> Pairs:
    """Return each image with the first one of its group, (N, 2)."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.stack([first[inverse], np.arange(len(numbers))], axis=1)


def named_groups(names: Sequence[str], numbers: Positions, copies: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the group of every image by its name, sorted: g0001, g0002, ... in the order of their first names.

    Args:
        names: Of the images that were grouped, N.
        numbers: The group of each, (N,).
        copies: More pairs of images of one group, those that a source leaves out among them: of the same content, or
            told to belong together.

    >>> named_groups(["b.png", "a.png", "c.png"], np.array([0, 1, 0]), [("d.png", "a.png")])
    {'a.png': 'g0001', 'b.png': 'g0002', 'c.png': 'g0002', 'd.png': 'g0001'}
    """
    same = list(copies)
    every = sorted({*names, *(name for pair in same for name in pair)})
    place = {name: number for number, name in enumerate(every)}
    first: dict[int, str] = {}
    joined = [(first.setdefault(int(number), name), name) for name, number in zip(names, numbers, strict=True)]
    pairs = np.array([(place[one], place[other]) for one, other in (*joined, *same)], np.int64).reshape(-1, 2)
    found = _in_order(_connected(pairs, len(every)))
    digits = max(4, len(str(len(every))))
    return {name: f"g{number + 1:0{digits}}" for name, number in zip(every, found.tolist(), strict=True)}


def groups_csv(groups: Mapping[str, str]) -> bytes:
    """Return a table of path and group of every image, as `data.group` reads it."""
    return csv_bytes([["path", "group"], *groups.items()], exact=True)
