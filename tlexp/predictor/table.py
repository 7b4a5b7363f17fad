"""What a network makes of images, and the table of it.

probabilities (N, K) float64, rows sum to 1; typicalities (N,) float64 in (0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAD = ("path", "class", "confidence", "second", "second_confidence", "third", "third_confidence", "typicality")
LIKELIEST = "likeliest"
"""The column that is there where the network may abstain: the class of the confidence, answer or not."""
OUTLIER = "outlier"
"""The column that is there where images are to be marked."""
_SHOWN = 3
"""Classes of an image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """What a network makes of images.

    Attributes:
        names: Of the images that were read, in the order in which they were given.
        probabilities: Of each class, (N, K) float64.
        typicalities: How typical each is of the images that it learned from, (N,); None where nothing tells.
        seen: Whether each is one of those that it learned from, or its settings were chosen on, (N,); None where nobody
            knows.
        bad: Name and reason of each image that could not be read.
    """

    names: tuple[str, ...]
    probabilities: NDArray[np.float64]
    typicalities: NDArray[np.float64] | None = None
    seen: NDArray[np.bool_] | None = None
    bad: tuple[tuple[str, str], ...] = ()


def predictions_rows(
    scores: Scores, classes: Sequence[str], *, least: float | None = None, outliers: float | None = None
) -> list[list[str | float]]:
    """Return a table, its head first: each image's path, its three most probable classes, and how typical it is.

    Where there are fewer classes, the cells of the others are empty. With a least confidence the class of an image is
    empty where it is less sure than that, and a column beside it names the likeliest one of all images. With a level
    for outliers a last column says yes of images that are no more typical than that.

    >>> scores = Scores(names=("a.jpg",), probabilities=np.array([[0.25, 0.75]]), typicalities=np.array([0.5]))
    >>> predictions_rows(scores, ["cat", "dog"], outliers=0.05)[1]
    ['a.jpg', 'dog', 0.75, 'cat', 0.25, '', '', 0.5, 'no']
    >>> [row[:4] for row in predictions_rows(scores, ["cat", "dog"], least=0.9)]
    [['path', 'class', 'likeliest', 'confidence'], ['a.jpg', '', 'dog', 0.75]]
    """
    order = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, :_SHOWN]
    values = np.take_along_axis(scores.probabilities, order, axis=1)
    typical: list[str | float] = [""] * len(scores.names)
    if scores.typicalities is not None:
        typical = scores.typicalities.tolist()
    path, answer, *others = HEAD
    named = [] if least is None else [LIKELIEST]
    rows: list[list[str | float]] = [[path, answer, *named, *others, *([] if outliers is None else [OUTLIER])]]
    for name, places, confidences, share in zip(scores.names, order.tolist(), values.tolist(), typical, strict=True):
        told: list[str | float] = [
            cell for place, value in zip(places, confidences, strict=True) for cell in (classes[place], value)
        ]
        if least is not None:
            told.insert(0, told[0] if confidences[0] >= least else "")
        marked = [] if outliers is None else ["yes" if isinstance(share, float) and share <= outliers else "no"]
        rows.append([name, *told, *[""] * (2 * (_SHOWN - len(places))), share, *marked])
    return rows
