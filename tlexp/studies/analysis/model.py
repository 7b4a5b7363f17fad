"""What the recommended model tells wrong: classes by their recall, and the mistakes that it is most confident of.

The model is the column that is taken with the most labels, over all its data seeds. probability (n, K) is the mean over
seeds of what each gave the images of the test split, n of them, which all seeds were tested on; taken (n, K) is the
share of seeds that take an image for a class.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.findings import ClassRecall, Mistake, ModelFinding, Recommendation
from tlexp.studies.analysis.table import Cell, Replicate, StudyTable
from tlexp.studies.analysis.tested import read_probabilities
from tlexp.tracking import names


def describe_model(table: StudyTable, taken: Recommendation | None) -> ModelFinding | None:
    """Return what the recommended model tells wrong; None where nothing is recommended.

    Args:
        table: What was measured.
        taken: The recommendation with the most labels.
    """
    if taken is None or taken.column is None:
        return None
    cell = table.cells[taken.column, taken.labels]
    probability, taken_for = _predictions(cell) or (None, None)
    return ModelFinding(
        column=taken.column,
        labels=taken.labels,
        seeds=len(cell.finished),
        recalls=_recalls(table, cell, taken_for),
        mistakes=() if probability is None else _mistakes(table, cell, probability),
    )


def _predictions(cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return probability and taken; None where predictions are not on the disk."""
    folders = [replicate.folder for replicate in cell.finished]
    total: NDArray[np.float64] | None = None
    taken: NDArray[np.float64] | None = None
    for folder in folders:
        if folder is None:
            return None
        _, probability = read_probabilities(folder / names.PREDICTIONS_FILE)
        chosen = np.eye(probability.shape[1])[probability.argmax(axis=1)]
        total = probability if total is None else total + probability
        taken = chosen if taken is None else taken + chosen
    return None if total is None or taken is None else (total / len(folders), taken / len(folders))


def _recalls(table: StudyTable, cell: Cell, taken: NDArray[np.float64] | None) -> tuple[ClassRecall, ...]:
    """Return every class that was tested, the worst first."""
    labels = table.labels[: table.split]
    told = np.mean(_correct(table, cell.finished), axis=0)
    found = []
    for label in np.unique(labels).tolist():
        own = labels == label
        other, share = _taken_for(taken, own, label)
        found.append(
            ClassRecall(
                label=label, images=int(own.sum()), recall=float(told[own].mean()), taken_for=other, share=share
            )
        )
    return tuple(sorted(found, key=lambda each: (each.recall, each.label)))


def _taken_for(
    taken: NDArray[np.float64] | None, own: NDArray[np.bool_], label: int
) -> tuple[int | None, float | None]:
    """Return the class that images of another one are most often taken for, and the share of them that are."""
    if taken is None:
        return None, None
    counts = taken[own].sum(axis=0)
    counts[label] = 0
    other = int(counts.argmax())
    return (other, float(counts[other] / own.sum())) if counts[other] else (None, None)


def _mistakes(table: StudyTable, cell: Cell, probability: NDArray[np.float64]) -> tuple[Mistake, ...]:
    """Return the images that the mean over seeds tells wrong, the most confident first."""
    predicted, confidence = probability.argmax(axis=1), probability.max(axis=1)
    wrong = np.flatnonzero(predicted != table.labels[: table.split])
    told = np.sum(_correct(table, cell.finished), axis=0)
    return tuple(
        Mistake(
            image=place,
            name=table.names[place] if table.names else None,
            label=int(table.labels[place]),
            predicted=int(predicted[place]),
            confidence=float(confidence[place]),
            wrong=len(cell.finished) - int(told[place]),
        )
        for place in wrong[np.argsort(-confidence[wrong], kind="stable")].tolist()
    )


def _correct(table: StudyTable, finished: Sequence[Replicate]) -> NDArray[np.bool_]:
    """Return (S, n) what each seed told right."""
    return np.array([replicate.correct for replicate in finished])[:, : table.split]
