"""`tlexp evaluate`: a trained network measured on other photographs, in a folder of its own, whole or not at all.

probabilities (N, K) float64, rows sum to 1; labels (N,) int64.
"""

import contextlib
import hashlib
import math
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from tlexp.data.classes import listed
from tlexp.data.thumbnails import data_address, thumbnail
from tlexp.experiment.artifacts import predictions_table, write_evaluation
from tlexp.experiment.labelled import LabelledPhotos
from tlexp.experiment.overlap import Accuracy, Overlap
from tlexp.paths import publish
from tlexp.predictor import Predictor, Scores
from tlexp.predictor.photos import Photo
from tlexp.predictor.predictor import OnBadPhoto
from tlexp.tracking import DatasetInfo, RunStatus, TrackedRun, Tracker, figures, names
from tlexp.tracking.reference import Home
from tlexp.train import (
    Answering,
    Evaluation,
    FalseAlarms,
    Listener,
    evaluate,
    measure,
    measure_answering,
    measure_false_alarms,
)

PAGE = "index.html"
_DRAWS = 400
"""Of the bootstrap."""
_DRAWN = ("balanced_accuracy", "macro_f1", "nll")
"""Measures whose intervals are drawn; calibration errors grow when images are drawn with repetition."""
_MISTAKES = 100
"""Mistakes that a page shows; the table has all."""
_FIGURES = ("confusion_matrix", "reliability", "risk_coverage")
_MEANING = {
    "accuracy": "Share of the images that are classified right.",
    "balanced_accuracy": "Mean of the recalls below: a class of few images counts as much as one of many.",
    "macro_f1": "Mean over the classes of F1, the harmonic mean of recall and of the share of a class's images among "
    "all that are taken for it.",
    "nll": "Log loss, minus the mean logarithm of the probability of the true class: 0 is best, and being sure of a "
    "wrong class costs most; equal probabilities of all classes give {equal:.4f}.",
    "ece": "Calibration error: by how much confidence and share of right answers differ, on average over bins of "
    "images with like confidence; 0 is best.",
}
"""Of the measures, for people who do not know them by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What came out.

    Attributes:
        classes: Names.
        scores: Of the images that were read.
        labels: Of those, (N,).
        counted: Whether each counts in the measures, (N,): the network did not learn from it, or it did from all.
        evaluation: The measures of those that count, as is all that follows.
        intervals: 95 % intervals of further measures, by a bootstrap over images.
        false_alarms: Images that would be taken for none of the classes, at each level; none where nothing tells.
        notes: What readers should know.
        unknown: Images that were left out, since the network does not know their classes.
        overlap: With those that the network learned from; None where it learned from none of them, or nobody knows.
    """

    classes: tuple[str, ...]
    scores: Scores
    labels: NDArray[np.int64]
    counted: NDArray[np.bool_]
    evaluation: Evaluation
    intervals: dict[str, tuple[float, float]]
    false_alarms: tuple[FalseAlarms, ...]
    notes: tuple[str, ...]
    unknown: int = 0
    overlap: Overlap | None = None

    def told(self) -> str:
        """Return of how many images it is, of how many that were given."""
        measured, wrong = int(self.counted.sum()), int((self.wrong & self.counted).sum())
        told = {
            "learned from": len(self.labels) - measured,
            "of unknown classes": self.unknown,
            "unreadable": len(self.scores.bad),
        }
        left = [f"{count:,} {why}" for why, count in told.items() if count]
        given = f" of {measured + sum(told.values()):,} ({', '.join(left)} left out)" if left else ""
        return f"{measured:,}{given} images measured, {wrong:,} mistake{'' if wrong == 1 else 's'}"

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether each image that was read is taken for another class, (N,)."""
        found: NDArray[np.bool_] = self.scores.probabilities.argmax(axis=1) != self.labels
        return found

    def warning(self) -> list[str]:
        """Return what has to be said first: that the network knows these images; nothing where it does not."""
        return [] if self.overlap is None else [self.overlap.told()]

    def rows(self) -> list[list[str]]:
        """Return a line for each measure: name, value, low and high end of its interval."""
        intervals = {"accuracy": self.evaluation.accuracy_interval, **self.intervals}
        return [
            [name, f"{value:.4f}", *([f"{end:.4f}" for end in intervals[name]] if name in intervals else ["", ""])]
            for name, value in self.evaluation.metrics.items()
            if name != "loss"
        ]

    def recalls(self) -> list[list[str]]:
        """Return a line for each class that has images: name, images, recall, low and high end of its interval."""
        found = zip(
            self.classes, self.evaluation.support, self.evaluation.recall, self.evaluation.recall_intervals, strict=True
        )
        return [
            [name, str(images), f"{recall:.4f}", *(f"{end:.4f}" for end in limits)]
            for name, images, recall, limits in found
            if recall is not None and limits is not None
        ]

    def alarms(self) -> list[list[str]]:
        """Return a line for each level that can be reached: level, images marked, share, low and high end of it."""
        return [
            [f"{each.level:g}", str(each.marked), f"{each.rate:.4f}", *(f"{end:.4f}" for end in each.rate_interval)]
            for each in self.false_alarms
            if each.possible
        ]


def measure_photos(
    predictor: Predictor,
    labelled: LabelledPhotos,
    *,
    on_bad: OnBadPhoto,
    own_test: Accuracy | None = None,
    listener: Listener | None = None,
) -> Measured:
    """Return what a network makes of photographs whose classes are known.

    Args:
        predictor: The network.
        labelled: The photographs.
        on_bad: What is done about those that cannot be read.
        own_test: What the network's run found on its test split.
        listener: Hears how many images have been read.

    Raises:
        BadImagesError: Images cannot be read and are refused.
        DataError: There is none.
    """
    scores = predictor.score(labelled.photos, on_bad=on_bad, listener=listener)
    labels = np.array([labelled.labels[name] for name in scores.names], np.int64)
    overlap = Overlap.of(scores.seen, scores.probabilities.argmax(axis=1) == labels, own_test)
    counted = np.ones(len(labels), bool)
    if scores.seen is not None and not scores.seen.all():
        counted = ~scores.seen
    probabilities = scores.probabilities[counted]
    evaluation = evaluate(probabilities, labels[counted], label_smoothing=0.0)
    return Measured(
        classes=predictor.classes,
        scores=scores,
        labels=labels,
        counted=counted,
        evaluation=evaluation,
        intervals=_bootstrap(probabilities, labels[counted]),
        false_alarms=tuple(_false_alarms(predictor, scores, counted)),
        notes=(*labelled.notes, *_named_alone(evaluation, predictor.classes)),
        unknown=labelled.unknown,
        overlap=overlap,
    )


def _named_alone(evaluation: Evaluation, classes: Sequence[str]) -> Iterator[str]:
    """Yield a remark on classes that were named and have no images: one of their measures counts them."""
    named = evaluation.confusion.sum(axis=0).tolist()
    found = zip(classes, evaluation.support, named, strict=True)
    if alone := [f"{name} ({count}x)" for name, images, count in found if count and not images]:
        yield f"macro_f1 counts as 0 the classes without images that were named: {listed(alone)}"


def _false_alarms(predictor: Predictor, scores: Scores, counted: NDArray[np.bool_]) -> list[FalseAlarms]:
    least = 1.0 if predictor.typicality is None else predictor.typicality.least
    return measure_false_alarms(None if scores.typicalities is None else scores.typicalities[counted], least=least)


def _bootstrap(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """Return percentile intervals at 95 % (Efron 1979) over images that are drawn with repetition."""
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWS):
        chosen = generator.integers(0, len(labels), len(labels))
        found = measure(probabilities[chosen], labels[chosen], label_smoothing=0.0)
        drawn.append([found[name] for name in _DRAWN])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0).tolist()
    return {name: (low[place], high[place]) for place, name in enumerate(_DRAWN)}


def write_measured(
    folder: Path, measured: Measured, predictor: Predictor, photos: Sequence[Photo], *, title: str
) -> None:
    """Write evaluation.json, predictions.csv, figures and a page into a folder that is made, whole or not at all.

    Args:
        folder: It must not be there.
        measured: What came out.
        predictor: The network.
        photos: All that it was given, for thumbnails of mistakes.
        title: Of the page.

    Raises:
        OSError: The disk is full or the folder cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _whole(folder) as half:
        scores, labels = measured.scores, measured.labels
        counted = scores.probabilities[measured.counted], labels[measured.counted]
        answering = measure_answering(predictor.card.abstention, *counted)
        write_evaluation(
            half, {"test": measured.evaluation}, measured.classes, answering, measured.false_alarms, measured.overlap
        )
        learned = None if measured.overlap is None else scores.seen
        table = predictions_table(scores.names, labels, scores.probabilities, measured.classes, learned)
        publish(half / names.PREDICTIONS_TABLE, table)
        _draw(half / names.FIGURES_FOLDER, measured)
        publish(half / PAGE, _page(measured, answering, predictor, photos, title))


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes its name once it is complete, and is removed if it does not come to that."""
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield half
        half.chmod(0o755)  # a temporary folder is its maker's alone
        half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def _draw(folder: Path, measured: Measured) -> None:
    confidence = measured.scores.probabilities.max(axis=1)[measured.counted]
    right = ~measured.wrong[measured.counted]
    drawn = {
        "confusion_matrix": figures.confusion_matrix(measured.evaluation.confusion, measured.classes),
        "reliability": figures.reliability(confidence, right),
        "risk_coverage": figures.risk_coverage(confidence, right),
    }
    folder.mkdir()
    for name in _FIGURES:
        publish(folder / f"{name}.png", figures.png_bytes(drawn[name]))


def _page(
    measured: Measured, answering: Sequence[Answering], predictor: Predictor, photos: Sequence[Photo], title: str
) -> str:
    """Return the page; its mistakes are read once more."""
    probabilities, labels, classes = measured.scores.probabilities, measured.labels, measured.classes
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(measured.wrong & measured.counted)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MISTAKES].tolist()
    by_name = {photo.name: photo for photo in photos}
    mistakes = [
        {
            "path": measured.scores.names[place],
            "told": f"{classes[labels[place]]}, taken for {classes[predicted[place]]} {confidence[place]:.2f}",
            "address": data_address(thumbnail(by_name[measured.scores.names[place]].load(predictor.decoding)[1])),
        }
        for place in worst
    ]
    more = (
        [f"{len(wrong) - len(worst)} more mistakes stand in {names.PREDICTIONS_TABLE}"]
        if len(wrong) > _MISTAKES
        else []
    )
    bad = [f"left out, for it cannot be read: {name}: {reason}" for name, reason in measured.scores.bad]
    return _ENVIRONMENT.get_template("evaluation.html.j2").render(
        title=title,
        facts=[*measured.warning(), f"{measured.told()}. Intervals are at 95 %.", *measured.notes, *bad, *more],
        tables=[
            {
                "title": "Measures",
                "head": ["measure", "value", "from", "to"],
                "rows": measured.rows(),
                "meaning": {name: text.format(equal=math.log(len(classes))) for name, text in _MEANING.items()},
            },
            {"title": "Recall", "head": ["class", "images", "recall", "from", "to"], "rows": measured.recalls()},
            *_answering_table(answering),
            *_alarms_table(measured),
        ],
        figures=_FIGURES,
        mistakes=mistakes,
    )


def _answering_table(answering: Sequence[Answering]) -> list[dict[str, Any]]:
    """Return the table of what promises of accuracy come to; none where nothing tells."""
    kept = [each for each in answering if each.threshold is not None]
    broken = [f"{each.promised:g}" for each in answering if each.threshold is None]
    about = (
        "predict --abstain ACCURACY answers where the network is confident enough for this share of its answers to be "
        "right, which is promised at 95 % confidence for images like those that it learned from, with classes as "
        "frequent as there."
        + (" Of the images here so many would be answered, and such a share of these answers is right." if kept else "")
        + (f" A promise of {', '.join(broken)} would take more labelled images." if broken else "")
    )
    head = ["--abstain", "least confidence", "answered", "share", "right", "from", "to"]
    rows = [[f"{each.promised:g}", f"{each.threshold:.4f}", *_answered(each)] for each in kept]
    return [{"title": "Answers where it is sure", "about": about, "head": head, "rows": rows}] if answering else []


def _answered(promise: Answering) -> list[str]:
    right = (promise.accuracy, *(promise.accuracy_interval or (None, None)))
    shares = ["" if share is None else f"{share:.4f}" for share in right]
    return [f"{promise.answered:,}", f"{promise.coverage:.4f}", *shares]


def _alarms_table(measured: Measured) -> list[dict[str, Any]]:
    """Return the table of images that would be taken for none of the classes; none where nothing tells."""
    rows = measured.alarms()
    about = (
        "All images here are of known classes, so each that predict --outliers LEVEL would mark is a false alarm. Of "
        "images like those of the run it marks a share of LEVEL; many more say that these are of another kind."
    )
    head = ["--outliers", "marked", "share", "from", "to"]
    return [{"title": "False alarms of “none of these”", "about": about, "head": head, "rows": rows}] if rows else []


def track_measured(
    folder: Path,
    measured: Measured,
    *,
    origin: str,
    place: str,
    home: Home,
    warn: Callable[[str], None],
) -> TrackedRun | None:
    """Write what came out as a run of the tracking store, beside the one that it is about; None where that is away.

    Args:
        folder: With the files.
        measured: What came out.
        origin: The run or export whose network it is about, as it was named.
        place: Of the images, as it was named.
        home: Where the run that it is about stands.
        warn: Receives a sentence where the store is away.
    """
    told = [f"{name} {label}" for name, label in zip(measured.scores.names, measured.labels.tolist(), strict=True)]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
    again = shlex.join(["tlexp", "evaluate", origin, place])  # an evaluation has no record that could be replayed
    tracker = Tracker(home.uri, experiment=home.experiment, warn=warn, command=again)
    known = (
        {} if measured.overlap is None else {"learned_from": f"{measured.overlap.seen} of {measured.overlap.images}"}
    )
    tracker.start(
        run_name=folder.name,
        params={"evaluated": origin, "images": place, **known},
        tags={names.TAG_ORIGIN: origin},
        dataset=DatasetInfo(name="evaluated", digest=digest, source=place),
    )
    metrics = {names.split_metric("test", name): value for name, value in measured.evaluation.metrics.items()}
    files = [(path, "figures" if path.parent != folder else "") for path in sorted(folder.rglob("*")) if path.is_file()]
    return tracker.finish(status=RunStatus.finished, metrics=metrics, files=files, model=None)


def _build_environment() -> Environment:
    """Return what the template is read with: every text that it shows is escaped."""
    loader = PackageLoader("tlexp.experiment", "")
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **options)


_ENVIRONMENT = _build_environment()
