"""What a run ends with, for Python."""

import csv
import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from tlexp.jsonfile import read_json
from tlexp.paths import uncovered
from tlexp.tracking import Record, names, read_record

_SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunResult:
    """A run that finished.

    Attributes:
        folder: Its own; `tlexp.load` takes it.
        record: All that its record.json says.
        interval: 95 % of the accuracy on the test split, Wilson's.
        confusion: Of the test split, (K, K) images: rows are classes, columns what they are taken for.
        predictions: Of the test split, in its order: path, label, predicted, confidence, right.
    """

    folder: Path
    record: Record
    interval: tuple[float, float]
    confusion: pd.DataFrame
    predictions: pd.DataFrame
    _splits: pd.DataFrame = field(kw_only=True)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return the result of a run that has ended well, from its folder.

        Raises:
            TrackingError: It holds no record, or one that was changed.
        """
        record = read_record(folder)
        found = read_json(folder / names.EVALUATION_FILE)
        classes, test = found["classes"], found["test"]
        low, high = test["accuracy_interval"]
        return cls(
            folder=folder,
            record=record,
            interval=(float(low), float(high)),
            confusion=pd.DataFrame(
                test["confusion"], index=pd.Index(classes, name="label"), columns=pd.Index(classes, name="predicted")
            ),
            predictions=_predictions(folder, classes),
            _splits=_splits({split: found[split] for split in names.SPLITS if split in found}),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """Measures of every split and what the run cost, such as `test/balanced_accuracy`."""
        return dict(self.record.metrics)

    @property
    def notes(self) -> tuple[str, ...]:
        """What readers should know, a sentence each."""
        return tuple(self.record.notes)

    def __repr__(self) -> str:
        return f"<RunResult {self._told()}, {str(self.folder)!r}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the measures of each split."""
        table = self._splits.to_html(float_format="{:.3f}".format, border=0)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{self._told()}</b><br>{html.escape(str(self.folder))}</p>{table}<ul>{notes}</ul>"

    def _told(self) -> str:
        low, high = self.interval
        return f"test accuracy {self.metrics['test/accuracy']:.3f} ({low:.3f} .. {high:.3f})"


def _predictions(folder: Path, classes: list[str]) -> pd.DataFrame:
    with np.load(folder / names.PREDICTIONS_FILE, allow_pickle=False) as file:
        label, probability = file["label"], file["probability"]
    with (folder / names.PREDICTIONS_TABLE).open(newline="", encoding="utf-8") as lines:
        paths = [uncovered(row["path"]) for row in csv.DictReader(lines)]
    predicted, named = probability.argmax(axis=1), np.array(classes, dtype=object)
    return pd.DataFrame(
        {
            "path": paths,
            "label": named[label],
            "predicted": named[predicted],
            "confidence": probability.max(axis=1),
            "right": predicted == label,
        }
    )


def _splits(found: dict[str, dict[str, object]]) -> pd.DataFrame:
    rows = {split: {"images": values["count"], **_scores(values)} for split, values in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _scores(values: dict[str, object]) -> dict[str, float]:
    metrics = values["metrics"]
    assert isinstance(metrics, dict)
    return {score: metrics[score] for score in _SHOWN}
