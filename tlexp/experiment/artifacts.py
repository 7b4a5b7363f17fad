"""What a run leaves in its folder besides the record: predictions, evaluation, figures.

images (n, H, W, 3) uint8; probabilities (N, K) float64; labels (N,) int64.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from tlexp.paths import publish
from tlexp.tracking import figures, names
from tlexp.tracking.curves import Point
from tlexp.train import Evaluation

MISTAKES = 16


def write_predictions(
    folder: Path, probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, split: str = "test"
) -> None:
    """Write predictions.npz: index (N,), label (N,) and probability (N, K) of a held-out split, in its order."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, index=np.arange(len(labels)), label=labels, probability=probabilities.astype(np.float32)
    )
    publish(folder / names.predictions_file(split), buffer.getvalue())


def write_evaluation(folder: Path, splits: dict[str, Evaluation], classes: Sequence[str]) -> None:
    """Write evaluation.json: measures, Wilson intervals, recall per class and confusion matrix of each split."""
    values = {"classes": list(classes)} | {
        split: dataclasses.asdict(found) | {"confusion": found.confusion.tolist()} for split, found in splits.items()
    }
    publish(folder / names.EVALUATION_FILE, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


def write_candidates(folder: Path, selection: Mapping[str, Any]) -> None:
    """Write candidates.csv: the settings and the validation loss of every candidate, the best first.

    Args:
        folder: The run's folder.
        selection: A summary of the selection with at least one trial.
    """
    trials = sorted(selection["trials"], key=lambda trial: (trial["loss"] is None, trial["loss"]))
    settings = list(trials[0]["rates"])
    lines = [["rank", "candidate", *settings, "val/loss"]]
    for rank, trial in enumerate(trials, start=1):
        loss = "diverged" if trial["loss"] is None else repr(trial["loss"])
        lines.append([str(rank), str(trial["number"]), *(repr(trial["rates"][name]) for name in settings), loss])
    publish(folder / names.CANDIDATES_FILE, "".join(",".join(line) + "\n" for line in lines).encode())


def draw_figures(
    folder: Path,
    *,
    points: Sequence[Point],
    test: Evaluation,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    pixels: Callable[[NDArray[np.int64]], Tensor],
    batch: tuple[NDArray[np.uint8], NDArray[np.int64]],
    classes: Sequence[str],
    selection: Mapping[str, Any],
) -> None:
    """Draw learning curves, confusion matrix, the most confident mistakes and a training batch into figures/.

    Args:
        folder: The run's folder.
        points: The curves of all fits.
        test: Measures of the test split.
        probabilities: Of the test split.
        labels: Of the test split.
        pixels: Positions -> images of the test split, (n, 3, S, S) uint8.
        batch: Augmented images of a training batch, (B, 3, S, S), and their labels.
        classes: Class names.
        selection: A summary of the selection; its candidates are drawn where there are several.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    drawn = {
        "learning_curves": figures.learning_curves(points),
        "confusion_matrix": figures.confusion_matrix(test.confusion, classes),
        "mistakes": figures.mistakes(
            pixels(worst).permute(0, 2, 3, 1).numpy(),
            labels[worst],
            predicted[worst],
            confidence[worst],
            classes,
        ),
        "training_batch": figures.training_batch(batch[0].transpose(0, 2, 3, 1), batch[1], classes),
    }
    if len(selection["trials"]) > 1:
        drawn["candidates"] = figures.candidates(selection["trials"], selection["winner"])
    (folder / names.FIGURES_FOLDER).mkdir(exist_ok=True)
    for name, figure in drawn.items():
        publish(folder / names.FIGURES_FOLDER / f"{name}.png", _png(figure))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", pil_kwargs={"compress_level": 1})  # photographs hardly shrink more
    return buffer.getvalue()
