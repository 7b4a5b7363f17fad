"""What the replicates of a study were tested on: the test split and, where each was, the rest of the pool.

m images that one replicate was tested on, n that any was.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.errors import DataError, TrackingError
from tlexp.paths import file_digest
from tlexp.studies.analysis.table import Replicate
from tlexp.tracking import Record, names

_WAY_OUT = "restore the file from a copy, or remove its folder and type the study's command again"


@dataclass(frozen=True, kw_only=True)
class TestAnswers:
    """What a replicate made of the images that it was tested on.

    Attributes:
        index: (m,) number of each image, ascending: its place in the test split or, behind all of those, in the pool.
        labels: (m,) int64.
        correct: (m,) bool, whether it was told right.
        groups: (m,) number of the group of each; None where each stands for itself.
        split: How many of them, the first ones, are of the test split.
    """

    __test__ = False  # no test, whatever pytest makes of the name
    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    correct: NDArray[np.bool_]
    groups: NDArray[np.int64] | None
    split: int

    def joined(self, rest: "TestAnswers") -> "TestAnswers":
        """Return these, of the test split, with those of the rest of the pool; there is none where there are groups."""
        return TestAnswers(
            index=np.concatenate([self.index, len(self.index) + rest.index]),
            labels=np.concatenate([self.labels, rest.labels]),
            correct=np.concatenate([self.correct, rest.correct]),
            groups=None,
            split=len(self.index),
        )


def read_answers(attempt: Path, record: Record) -> TestAnswers:
    """Return what a replicate's predictions say.

    Raises:
        TrackingError: They are missing, or were changed after their record was written.
    """
    held_out = _read_split(attempt / names.PREDICTIONS_FILE, record)
    rest = names.predictions_file("rest")
    return held_out.joined(_read_split(attempt / rest, record)) if rest in record.files else held_out


class TestedImages:
    """All images that the replicates of a study were tested on, which are paired image by image.

    Attributes:
        split: How many of them, the first ones, are of the test split.
    """

    __test__ = False  # no test, whatever pytest makes of the name

    def __init__(self) -> None:
        self.split = 0
        self._digest: str | None = None
        self._path = Path()
        self._labels: dict[int, int] = {}
        self._groups: dict[int, int] = {}

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) of the images; none before there is a replicate."""
        return self._in_order(self._labels)

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """(n,) number of the group of each image; None where each stands for itself."""
        return self._in_order(self._groups) if self._groups else None

    def meet(self, path: Path, record: Record, answers: TestAnswers) -> None:
        """Compare a replicate's images with those of the ones before.

        Raises:
            DataError: They differ.
        """
        digest = "" if record.data is None else record.data.digest
        if self._digest is None:
            self._digest, self._path, self.split = digest, path, answers.split
        images, labels = answers.index.tolist(), answers.labels.tolist()
        known = [self._labels.setdefault(image, label) for image, label in zip(images, labels, strict=True)]
        if digest != self._digest or known != labels:
            raise DataError(
                f"{path} was tested on other images than {self._path} (data digest {digest[:12]}, "
                f"not {self._digest[:12]}): runs are paired image by image; type the study's command again with "
                "another study.name="
            )
        if answers.groups is not None:
            self._groups.update(zip(images, answers.groups.tolist(), strict=True))

    def among_all(self, replicate: Replicate, answers: TestAnswers) -> Replicate:
        """Return a replicate with what it told of each of all images."""
        index = np.array(sorted(self._labels), dtype=np.int64)
        places = np.searchsorted(index, answers.index)
        if len(places) == len(index):
            return dataclasses.replace(replicate, correct=answers.correct)
        correct, tested = np.zeros(len(index), bool), np.zeros(len(index), bool)
        correct[places], tested[places] = answers.correct, True
        return dataclasses.replace(replicate, correct=correct, tested=tested)

    def _in_order(self, values: dict[int, int]) -> NDArray[np.int64]:
        return np.array([values[image] for image in sorted(values)], dtype=np.int64)


def read_probabilities(path: Path) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.float64]]:
    """Return index, label and, where there are groups, group (m,) of a file of predictions, and probabilities (m, K).

    Raises:
        TrackingError: It is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            probabilities = stored["probability"].astype(np.float64)
            known = {name: stored[name].astype(np.int64) for name in ("index", "label", "group") if name in stored}
        if any(values.shape != (len(probabilities),) for values in known.values()) or not probabilities[:, 0].size:
            raise ValueError(f"labels {known['label'].shape}, probabilities {probabilities.shape}")
    except Exception as error:  # zip files, their headers and arrays each raise something else
        raise TrackingError(f"{path} does not hold predictions ({error}): {_WAY_OUT}") from error
    return known, probabilities


def _read_split(path: Path, record: Record) -> TestAnswers:
    if not path.is_file():
        raise TrackingError(f"{path} is missing: {_WAY_OUT}")
    if file_digest(path) != record.files.get(path.name):
        raise TrackingError(f"{path} was changed after its record was written (its digest differs): {_WAY_OUT}")
    known, probabilities = read_probabilities(path)
    labels, count = known["label"], len(probabilities)
    return TestAnswers(
        index=known.get("index", np.arange(count)),
        labels=labels,
        correct=probabilities.argmax(axis=1) == labels,
        groups=known.get("group"),
        split=count,
    )
