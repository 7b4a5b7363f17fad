"""What a network makes of images, and the table of it.

probabilities (N, K) float64, rows sum to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAD = ("path", "class", "confidence", "second", "second_confidence", "third", "third_confidence")
Cell = str | float


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """What a network makes of images.

    Attributes:
        names: Of the images that were read, in the order in which they were given.
        probabilities: Of each class, (N, K) float64.
        bad: Name and reason of each image that could not be read.
    """

    names: tuple[str, ...]
    probabilities: NDArray[np.float64]
    bad: tuple[tuple[str, str], ...] = ()


def predictions_rows(scores: Scores, classes: Sequence[str], *, least: float = 0.0) -> list[list[Cell]]:
    """Return a table, its head first: each image's path, and its three most probable classes with their confidence.

    Where there are fewer classes, the cells of the others are empty, and so is the first class of an image where its
    confidence is below the least one.

    >>> scores = Scores(names=("a.jpg",), probabilities=np.array([[0.25, 0.75]]))
    >>> predictions_rows(scores, ["cat", "dog"])[1]
    ['a.jpg', 'dog', 0.75, 'cat', 0.25, '', '']
    """
    shown = (len(HEAD) - 1) // 2
    order = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, :shown]
    values = np.take_along_axis(scores.probabilities, order, axis=1)
    rows: list[list[Cell]] = [[*HEAD]]
    for name, places, confidences in zip(scores.names, order.tolist(), values.tolist(), strict=True):
        told: list[Cell] = [
            cell for place, value in zip(places, confidences, strict=True) for cell in (classes[place], value)
        ]
        if confidences[0] < least:
            told[0] = ""
        rows.append([name, *told, *[""] * (2 * (shown - len(places)))])
    return rows
