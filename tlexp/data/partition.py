"""Groups of images (one patient, animal, burst) dealt into parts, each group whole, and each class into several parts.

Groups come one by one in random order, and each goes where it brings its classes nearest to the parts' shares. The last
group of a class does not go where all others of the class are: so a class is left on both sides of every division.
labels and groups (N,) int64: class index and number of its group of each image.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.errors import DataError

_ORDERS = 100
"""So many orders are tried before groups that span classes are said to allow no division."""
_FREE = -1


def groups_per_class(labels: NDArray[np.int64], groups: NDArray[np.int64], *, classes: int) -> list[int]:
    """Return how many groups the images of each class belong to.

    >>> groups_per_class(np.array([0, 0, 1]), np.array([3, 4, 4]), classes=2)
    [2, 1]
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return np.bincount(pairs[0], minlength=classes).tolist()  # type: ignore[no-any-return]


def most_classes(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> int:
    """Return of how many classes the group is that has images of most: with one part more, any order can be dealt.

    >>> most_classes(np.array([0, 0, 1]), np.array([3, 4, 4]))
    2
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return int(np.unique(pairs[1], return_counts=True)[1].max())


def spread(groups: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return an order of images (N,) that takes one of each group in turn, then a second one of each, and so on."""
    known, own = np.unique(groups, return_inverse=True)
    rank, order = generator.permutation(len(known)), generator.permutation(len(own))
    turns = np.zeros(len(own), np.int64)
    taken = np.zeros(len(known), np.int64)
    for place, group in enumerate(own[order]):
        turns[place] = taken[group]
        taken[group] += 1
    return order[np.lexsort((rank[own[order]], turns))]


def deal_groups(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    shares: Sequence[float],
    generator: np.random.Generator,
    classes: Sequence[str],
    purpose: str,
    settled: NDArray[np.int64] | None = None,
    otherwise: Iterable[Sequence[float]] = (),
) -> NDArray[np.int64]:
    """Return the part of each image, (N,) int64; the images of a group have the same.

    Args:
        labels: Class indices.
        groups: Numbers of groups.
        shares: Of each part in each class, which add up to 1; held as nearly as whole groups allow.
        generator: Draws the order of the groups.
        classes: Names, for messages.
        purpose: What cannot be done where a class stays whole, and the way out, for messages.
        settled: Part of each image whose group has one already, else -1.
        otherwise: Shares of more parts, tried one after the other where groups span classes so that fewer do not do.

    Raises:
        DataError: A class has one group alone, or groups span classes so that no division was found.
    """
    counts = groups_per_class(labels, groups, classes=len(classes))
    present = np.bincount(labels, minlength=len(classes))
    if whole := [label for label, count in enumerate(counts) if count == 1]:
        told = first_names(f"{classes[label]} ({present[label]} images)" for label in whole)
        raise DataError(f"one group holds all images of class {told}, and a group stays on one side: {purpose}")
    _, own = np.unique(groups, return_inverse=True)
    for each in (shares, *otherwise):
        table = _Table(labels, own, each, None if settled is None else _by_group(own, settled))
        for _ in range(_ORDERS):
            parts = table.deal(generator.permutation(len(table.members)))
            if parts is not None:
                return parts[own]
    told = first_names(f"{name} {count}" for name, count in zip(classes, counts, strict=True))
    raise DataError(
        "groups that hold images of several classes, or are on one side already, leave no division with each class on "
        f"both sides (groups of each class: {told}): {purpose}"
    )


class _Table:
    """How many images of each class each group has, and what is wanted of each part.

    Args:
        labels: Class indices.
        own: Group of each image, 0..G-1.
        shares: Of each part.
        settled: Part of each group, (G,), or -1.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        own: NDArray[np.int64],
        shares: Sequence[float],
        settled: NDArray[np.int64] | None,
    ) -> None:
        self.shares = shares
        self.totals: list[int] = np.bincount(labels).tolist()
        pairs, counts = np.unique(np.stack([own, labels]), axis=1, return_counts=True)
        self.members: list[list[tuple[int, int]]] = [[] for _ in range(int(own.max(initial=-1)) + 1)]
        for group, label, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            self.members[group].append((label, count))
        self._settled = [_FREE] * len(self.members) if settled is None else settled.tolist()

    def deal(self, order: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the part of each group, (G,); None where the last group of two classes can go nowhere."""
        left = [0] * len(self.totals)
        for member in self.members:
            for label, _ in member:
                left[label] += 1
        homes: list[set[int]] = [set() for _ in self.totals]
        filled = [[0] * len(self.totals) for _ in self.shares]
        sizes = [0] * len(self.shares)
        parts = np.full(len(self.members), _FREE, np.int64)
        for group in sorted(order.tolist(), key=lambda group: self._settled[group] == _FREE):
            member = self.members[group]
            last = [homes[label] for label, _ in member if left[label] == 1]
            closed = {part for homes_of_class in last if len(homes_of_class) == 1 for part in homes_of_class}
            wanted = self._settled[group]
            costs = [
                (self._cost(member, part, filled[part]), sizes[part] / share, part)
                for part, share in enumerate(self.shares)
                if part not in closed and wanted in (_FREE, part)
            ]
            if not costs:
                return None
            *_, best = min(costs)
            parts[group] = best
            for label, count in member:
                left[label] -= 1
                homes[label].add(best)
                filled[best][label] += count
                sizes[best] += count
        return parts

    def _cost(self, member: Sequence[tuple[int, int]], part: int, filled: Sequence[int]) -> float:
        """Return by how much a group moves its classes away from the share of a part, squared deviations compared."""
        share, totals = self.shares[part], self.totals
        return sum(
            count * (2 * (filled[label] - share * totals[label]) + count) / totals[label] ** 2
            for label, count in member
        )


def _by_group(own: NDArray[np.int64], settled: NDArray[np.int64]) -> NDArray[np.int64]:
    parts = np.full(int(own.max(initial=-1)) + 1, _FREE, np.int64)
    parts[own] = settled
    return parts


def first_names(names: Iterable[str]) -> str:
    """Return the first ten names and how many more there are."""
    told = list(names)
    return ", ".join(told[:10]) + (f" and {len(told) - 10} more" if len(told) > 10 else "")
