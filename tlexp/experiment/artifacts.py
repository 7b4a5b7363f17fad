"""What a run leaves in its folder besides the record: predictions, evaluation, candidates, figures.

images (n, H, W, 3) uint8; logits (N, K) float32; probabilities (N, K) float64; labels (N,) int64.
"""

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels, Logits, Positions
from tlexp.config.train import ClassWeights
from tlexp.experiment.overlap import Overlap
from tlexp.features.batches import LabelledSet
from tlexp.learn.selection import Learner, Selection
from tlexp.models.abstention import Abstention
from tlexp.models.prior import PriorShift
from tlexp.models.typicality import Typicality
from tlexp.paths import csv_bytes, publish, publish_json
from tlexp.tracking import names, read_points
from tlexp.tracking.blocks import Settings, TrialBlock
from tlexp.train import (
    Answering,
    Evaluation,
    FalseAlarms,
    evaluate,
    measure_answering,
    measure_false_alarms,
    to_probabilities,
)

MISTAKES = 16


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the final network makes of each split: logits of which the softmax is what it says.

    Attributes:
        held_out: Split -> its images and their logits, in its order.
        train: Logits and labels of the images that it learned from.
        val: Of those that the settings were chosen on, by networks that had not seen them, or None.
        abstention: How sure the network has to be for which accuracy, by those; None where they are for other class
            frequencies.
        typicalities: Split -> how typical its images are of those that it learned from, where that can be told.
        false_alarms: How many test images would be marked as none of the classes; none where nothing tells.
        learner: The network.
        trained: Positions of the budget that it learned from.
        trials: The candidates for its settings.
        winner: The settings that it was trained with.
    """

    held_out: dict[str, tuple[LabelledSet, Logits]]
    train: tuple[Logits, Labels]
    val: tuple[Logits, Labels] | None
    abstention: Abstention | None
    typicalities: dict[str, NDArray[np.float64]]
    false_alarms: Sequence[FalseAlarms]
    learner: Learner[Any]
    trained: Positions
    trials: tuple[TrialBlock, ...]
    winner: Settings

    @classmethod
    def of(
        cls,
        learner: Learner[Any],
        selection: Selection[Any],
        trained: Positions,
        held_out: Iterable[tuple[str, LabelledSet]],
        shift: PriorShift | None,
        typicality: Typicality | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> "Predictions":
        """Return what a network that has been fitted makes of each split; each is read when its turn comes.

        All logits are divided by the temperature that the selection found. Those of held-out splits are for the place
        where the network will be used, if that has other class frequencies.

        Args:
            learner: The network.
            selection: How its settings were found.
            trained: Positions of the budget that it learned from.
            held_out: Split -> images.
            shift: To the class frequencies where it will be used.
            typicality: What tells how typical an image is.
            groups: Number of the group of each image that the settings were chosen on, in the order of the folds.
        """
        temperature = np.float32(1.0 if selection.temperature is None else selection.temperature)
        predicted: dict[str, tuple[LabelledSet, Logits]] = {}
        typical: dict[str, NDArray[np.float64]] = {}
        for split, images in held_out:
            whole = np.arange(len(images.labels))
            if typicality is None:
                logits, _ = learner.predict(images, whole)
            else:
                logits, distances, _ = learner.compare(images, whole, typicality.reference)
                typical[split] = typicality.typicalities(distances)
            predicted[split] = images, logits / temperature
        if shift is not None:
            predicted = {split: (images, shift.correct(logits)) for split, (images, logits) in predicted.items()}
        val, block = None, selection.block(refit=True)
        if selection.logits is not None and selection.labels is not None:
            val = selection.logits / temperature, selection.labels
        logits, labels = learner.predict(learner.budget, trained)
        return cls(
            held_out=predicted,
            train=(logits / temperature, labels),
            val=val,
            abstention=None if val is None or shift is not None else _abstention(*val, groups),
            typicalities=typical,
            false_alarms=[] if typicality is None else measure_false_alarms(typical["test"], least=typicality.least),
            learner=learner,
            trained=trained,
            trials=block.trials,
            winner=block.winner,
        )

    def evaluate(self, *, label_smoothing: float, class_weights: ClassWeights) -> dict[str, Evaluation]:
        """Return the measures of each split."""
        predicted = {split: (logits, images.labels) for split, (images, logits) in self.held_out.items()}
        predicted["train"] = self.train
        if self.val is not None:
            predicted["val"] = self.val
        return {
            split: evaluate(
                to_probabilities(logits), labels, label_smoothing=label_smoothing, class_weights=class_weights
            )
            for split in names.SPLITS
            if split in predicted
            for logits, labels in [predicted[split]]
        }


def _abstention(logits: Logits, labels: Labels, groups: NDArray[np.int64] | None) -> Abstention:
    """Return what out-of-fold predictions say of confidences."""
    probabilities = to_probabilities(logits)
    return Abstention.of(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, groups)


def write_artifacts(
    folder: Path,
    predictions: Predictions,
    splits: dict[str, Evaluation],
    classes: Sequence[str],
    *,
    groups: Mapping[str, NDArray[np.int64] | None],
    rest: Positions,
    image_names: Mapping[str, Sequence[str]],
    drawn: bool,
) -> None:
    """Write predictions, evaluation, candidates where there are several, and figures if they are wanted.

    Args:
        folder: The run's folder.
        predictions: Of the final network.
        splits: Measures of each split.
        classes: Class names.
        groups: Split -> number of the group of each image, where they have any.
        rest: Positions in the pool of the images that were tested beside the test split.
        image_names: Of the splits whose predictions are written as a table too, in their order.
        drawn: Whether figures are wanted.
    """
    for split, (images, logits) in predictions.held_out.items():
        index = rest if split == "rest" else np.arange(len(images.labels))
        probabilities = to_probabilities(logits)
        typical = predictions.typicalities.get(split)
        write_predictions(
            folder,
            probabilities,
            images.labels,
            split=split,
            index=index,
            groups=groups.get(split),
            typicalities=typical,
        )
        if split in image_names:
            table = predictions_table(image_names[split], images.labels, probabilities, classes)
            publish(folder / names.predictions_file(split, names.PREDICTIONS_TABLE), table)
    images, logits = predictions.held_out["test"]
    answering = measure_answering(predictions.abstention, to_probabilities(logits), images.labels)
    write_evaluation(folder, splits, classes, answering, predictions.false_alarms)
    trials = predictions.trials
    if len(trials) > 1:
        write_candidates(folder, trials)
    if drawn:
        draw_figures(folder, predictions, splits["test"], classes)


def write_predictions(
    folder: Path,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    split: str = "test",
    index: Positions | None = None,
    groups: NDArray[np.int64] | None = None,
    typicalities: NDArray[np.float64] | None = None,
) -> None:
    """Write predictions.npz: index (N,), label (N,) and probability (N, K) of a held-out split, in its order.

    The index is an image's place in its split, or in the pool; all of the split in order when None. Where images have
    groups it holds their numbers as well, group (N,) int64, and typicality (N,) where that can be told.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "index": np.arange(len(labels)) if index is None else index,
        "label": labels,
        "probability": probabilities.astype(np.float32),
    }
    if groups is not None:
        arrays["group"] = groups
    if typicalities is not None:
        arrays["typicality"] = typicalities
    np.savez_compressed(buffer, **arrays)
    publish(folder / names.predictions_file(split), buffer.getvalue())


def predictions_table(
    image_names: Sequence[str],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    learned: NDArray[np.bool_] | None = None,
) -> bytes:
    """Return a table of what each image is taken for, in the order of the split: path, label, predicted, confidence.

    A further column says whether that is right, so that mistakes can be sorted to the top; where some of the images
    were learned from, a last one says of which.
    """
    predicted = probabilities.argmax(axis=1)
    rows: list[tuple[Any, ...]] = [
        (name, classes[label], classes[taken], round(float(confidence), 6), "yes" if label == taken else "no")
        for name, label, taken, confidence in zip(
            image_names, labels.tolist(), predicted.tolist(), probabilities.max(axis=1), strict=True
        )
    ]
    rows.insert(0, ("path", "label", "predicted", "confidence", "right"))
    if learned is not None:
        told = ["learned_from", *("yes" if each else "no" for each in learned)]
        rows = [(*row, cell) for row, cell in zip(rows, told, strict=True)]
    return csv_bytes(rows)


def write_evaluation(
    folder: Path,
    splits: dict[str, Evaluation],
    classes: Sequence[str],
    answering: Sequence[Answering],
    false_alarms: Sequence[FalseAlarms],
    overlap: Overlap | None = None,
) -> None:
    """Write evaluation.json: measures, Wilson intervals, recall per class and confusion matrix of each split.

    Beside them stands what the test split shows of answering only where the network is sure enough, how much of it
    would be marked as none of the classes, and how much of it was learned from where that is some.
    """
    values: dict[str, Any] = {"classes": list(classes)} | {
        split: dataclasses.asdict(found) | {"confusion": found.confusion.tolist()} for split, found in splits.items()
    }
    values["answering"] = [dataclasses.asdict(each) for each in answering]
    values["false_alarms"] = [dataclasses.asdict(each) for each in false_alarms]
    if overlap is not None:
        values["overlap"] = dataclasses.asdict(overlap)
    publish_json(folder / names.EVALUATION_FILE, values, indent=1)


def write_candidates(folder: Path, trials: Sequence[TrialBlock]) -> None:
    """Write candidates.csv: the settings and the calibrated validation loss of every candidate, the best first.

    Args:
        folder: The run's folder.
        trials: At least one.
    """
    ranked = sorted(trials, key=lambda trial: (trial.loss is None, trial.loss))
    settings = list(trials[0].rates)
    lines = [["rank", "candidate", *settings, "loss"]]
    for rank, trial in enumerate(ranked, start=1):
        loss = "diverged" if trial.loss is None else repr(trial.loss)
        lines.append([str(rank), str(trial.number), *(repr(trial.rates[name]) for name in settings), loss])
    publish(folder / names.CANDIDATES_FILE, csv_bytes(lines))


def draw_figures(folder: Path, predictions: Predictions, test: Evaluation, classes: Sequence[str]) -> None:
    """Draw curves, confusion matrix, the most confident mistakes, risk and a training batch into figures/.

    Args:
        folder: The run's folder.
        predictions: Of the final network.
        test: Measures of the test split.
        classes: Class names.
    """
    from tlexp.tracking import figures  # lazy: matplotlib, for which no image waits

    images, logits = predictions.held_out["test"]
    probabilities, labels = to_probabilities(logits), images.labels
    budget, trained = predictions.learner.budget, predictions.trained
    batches = budget.batches(trained)
    batch = batches.raw(0).permute(0, 2, 3, 1).cpu().numpy()
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    drawn = {
        "learning_curves": figures.learning_curves(read_points(folder / names.CURVES_FILE)),
        "confusion_matrix": figures.confusion_matrix(test.confusion, classes),
        "mistakes": figures.mistakes(
            images.pixels(worst).permute(0, 2, 3, 1).numpy(),
            labels[worst],
            predicted[worst],
            confidence[worst],
            classes,
        ),
        "risk_coverage": figures.risk_coverage(confidence, predicted == labels),
        "training_batch": figures.training_batch(batch, budget.labels[trained[batches.positions(0)]], classes),
    }
    if len(predictions.trials) > 1:
        drawn["candidates"] = figures.candidates(predictions.trials, predictions.winner)
    (folder / names.FIGURES_FOLDER).mkdir(exist_ok=True)
    for name, figure in drawn.items():
        content = figures.png_bytes(figure, pil_kwargs={"compress_level": 1})  # photographs hardly shrink more
        publish(folder / names.FIGURES_FOLDER / f"{name}.png", content)
