from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tlexp.errors import DataError, TrackingError
from tlexp.experiment.artifacts import write_predictions
from tlexp.paths import file_digest
from tlexp.studies.analysis.table import Replicate
from tlexp.studies.analysis.tested import TestAnswers, TestedImages, read_answers
from tlexp.tracking import Record, RunStatus

MakeRecord = Callable[..., Record]


def answers(index: Sequence[int], labels: Sequence[int], groups: Sequence[int] | None = None) -> TestAnswers:
    return TestAnswers(
        index=np.array(index),
        labels=np.array(labels),
        correct=np.ones(len(index), bool),
        groups=None if groups is None else np.array(groups),
        split=len(index),
    )


def left(folder: Path, make_record: MakeRecord, *, index: Sequence[int] = (), groups: bool = False) -> Record:
    """Leave predictions of a test split of four images, all right, and of some of the pool, of which half are."""
    labels = np.array([0, 1, 0, 1])
    write_predictions(folder, np.eye(2)[labels], labels, groups=np.array([3, 1, 3, 2]) if groups else None)
    if index:
        told = np.zeros(len(index), np.int64)
        write_predictions(folder, np.eye(2)[told], np.arange(len(index)) % 2, split="rest", index=np.array(index))
    return make_record(files={path.name: file_digest(path) for path in folder.glob("*.npz")})


def test_the_rest_of_the_pool_stands_behind_the_test_split(tmp_path: Path, make_record: MakeRecord) -> None:
    found = read_answers(tmp_path, left(tmp_path, make_record, index=(2, 5, 9, 11)))
    assert found.index.tolist() == [0, 1, 2, 3, 6, 9, 13, 15]
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert found.split == 4
    assert found.correct.tolist() == [True] * 5 + [False, True, False]


def test_groups_are_those_of_the_predictions(tmp_path: Path, make_record: MakeRecord) -> None:
    found, tested = read_answers(tmp_path, record := left(tmp_path, make_record, groups=True)), TestedImages()
    tested.meet(tmp_path, record, found)
    assert tested.groups is not None
    assert tested.groups.tolist() == [3, 1, 3, 2]


def test_replicates_are_placed_among_all_images_that_any_was_tested_on(make_record: MakeRecord) -> None:
    tested, record = TestedImages(), make_record()
    first, second = answers([0, 1, 6], [0, 1, 1]), answers([0, 1, 4], [0, 1, 0])
    for each in (first, second):
        tested.meet(Path(), record, each)
    assert (tested.labels.tolist(), tested.groups) == ([0, 1, 0, 1], None)
    replicate = Replicate(seed=0, status=RunStatus.finished)
    scores = [tested.among_all(replicate, each).scores.tolist() for each in (first, second)]
    assert np.array_equal(scores, [[1, 1, np.nan, 1], [1, 1, 1, np.nan]], equal_nan=True)


def test_images_with_other_labels_or_another_digest_are_refused(make_record: MakeRecord) -> None:
    tested, record = TestedImages(), make_record()
    tested.meet(Path("one"), record, answers([0, 1], [0, 1]))
    with pytest.raises(DataError, match="two was tested on other images than one"):
        tested.meet(Path("two"), record, answers([0, 1], [0, 0]))
    tested.meet(Path("three"), record, answers([0, 1, 7], [0, 1, 1]))


def test_a_file_that_is_missing_or_changed_is_named(tmp_path: Path, make_record: MakeRecord) -> None:
    record = left(tmp_path, make_record, index=(2, 5))
    rest = tmp_path / "predictions-rest.npz"
    rest.write_bytes(rest.read_bytes() + b"0")
    with pytest.raises(TrackingError, match=r"predictions-rest\.npz was changed after its record was written"):
        read_answers(tmp_path, record)
    rest.unlink()
    with pytest.raises(TrackingError, match=r"predictions-rest\.npz is missing: restore the file"):
        read_answers(tmp_path, record)
