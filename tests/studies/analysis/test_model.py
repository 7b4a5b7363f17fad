"""What the recommended model tells wrong, against predictions that are made up."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import ModelFinding
from tlexp.studies.analysis.model import describe_model
from tlexp.studies.analysis.table import StudyTable
from tlexp.tracking import names

STRENGTH = {"freeze-5": (1.0, 0.4), "freeze-0": (0.2, 0.4)}


def kept(table: StudyTable, folder: Path, probability: NDArray[np.float64]) -> StudyTable:
    """Return the table with every replicate's predictions in a folder, all of them the same."""
    folder.mkdir(exist_ok=True)
    np.savez(folder / names.PREDICTIONS_FILE, label=table.labels, probability=probability)
    correct = probability.argmax(axis=1) == table.labels
    cells = {
        place: dataclasses.replace(
            cell,
            replicates=tuple(dataclasses.replace(each, folder=folder, correct=correct) for each in cell.replicates),
        )
        for place, cell in table.cells.items()
    }
    return dataclasses.replace(table, cells=cells, names=tuple(f"photo-{place}" for place in range(len(table.labels))))


@pytest.fixture
def table(make_table: MakeTable) -> StudyTable:
    settings = {"failed": (), "waiting": (), "missing": (), "per_class": (3, 3, 2), "seeds": 2}
    return make_table(columns=[DEPTHS[0], DEPTHS[5]], strength=STRENGTH, budgets=("2", "5"), **settings)


PROBABILITY = np.array(
    [
        *([0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]),
        *([0.0, 1.0, 0.0], [0.1, 0.8, 0.1], [0.0, 1.0, 0.0]),
        *([0.05, 0.0, 0.95], [0.9, 0.05, 0.05]),
    ]
)


def found(table: StudyTable) -> ModelFinding:
    taken = dataclasses.replace(analyse(table).recommendations[-1], column="freeze-5")
    model = describe_model(table, taken)  # so few images tell nothing from guessing
    assert model is not None
    return model


def test_mistakes_stand_with_the_most_confident_first(table: StudyTable, tmp_path: Path) -> None:
    mistakes = found(kept(table, tmp_path, PROBABILITY)).mistakes
    assert [(each.image, each.name, each.label, each.predicted, each.wrong) for each in mistakes] == [
        (7, "photo-7", 2, 0, 2),
        (2, "photo-2", 0, 1, 2),
        (1, "photo-1", 0, 1, 2),
    ]
    assert [each.confidence for each in mistakes] == pytest.approx([0.9, 0.8, 0.7])


def test_classes_stand_with_the_worst_first_and_what_they_are_taken_for(table: StudyTable, tmp_path: Path) -> None:
    recalls = found(kept(table, tmp_path, PROBABILITY)).recalls
    assert [(each.label, each.images, each.taken_for) for each in recalls] == [(0, 3, 1), (2, 2, 0), (1, 3, None)]
    assert [each.recall for each in recalls] == pytest.approx([1 / 3, 1 / 2, 1])
    assert [each.share for each in recalls] == [pytest.approx(2 / 3), pytest.approx(1 / 2), None]


def test_recall_and_what_classes_are_taken_for_are_of_the_same_seeds(table: StudyTable, tmp_path: Path) -> None:
    """The mean probability may be right where a seed is wrong."""
    told = kept(table, tmp_path, PROBABILITY)
    unsure, cell = PROBABILITY.copy(), told.cells["freeze-5", "5"]
    unsure[4] = [0.55, 0.45, 0.0]
    (tmp_path / "other").mkdir()
    np.savez(tmp_path / "other" / names.PREDICTIONS_FILE, label=table.labels, probability=unsure)
    first, second = cell.replicates
    second = dataclasses.replace(second, folder=tmp_path / "other", correct=unsure.argmax(axis=1) == table.labels)
    cells = {**told.cells, ("freeze-5", "5"): dataclasses.replace(cell, replicates=(first, second))}
    recalls = {each.label: each for each in found(dataclasses.replace(told, cells=cells)).recalls}
    assert recalls[1].recall == pytest.approx(5 / 6)
    assert (recalls[1].taken_for, recalls[1].share) == (0, pytest.approx(1 / 6))


def test_without_predictions_classes_are_told_alone(table: StudyTable) -> None:
    model = found(table)
    assert model.mistakes == ()
    assert {each.taken_for for each in model.recalls} == {None}
    accuracy = analyse(table).cells[model.column, model.labels].accuracy
    assert accuracy is not None
    assert np.mean([each.recall for each in model.recalls]) == pytest.approx(accuracy.value)


def test_the_model_is_the_one_taken_with_the_most_labels(make_table: MakeTable, table: StudyTable) -> None:
    findings = analyse(make_table())
    assert findings.model is not None
    assert (findings.model.column, findings.model.labels) == (findings.recommendations[-1].column, "100")
    assert analyse(table).model is None
