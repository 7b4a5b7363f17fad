"""`tlexp evaluate`: a trained network measured on other photographs, in a folder of its own, whole or not at all.

probabilities (N, K) float64, rows sum to 1; labels (N,) int64.
"""

import contextlib
import functools
import hashlib
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

from tlexp.data.csv_source import read_rows
from tlexp.data.decode import printable
from tlexp.data.files import ImageFile
from tlexp.data.thumbnails import data_address, thumbnail
from tlexp.data.walk import subfolders
from tlexp.errors import DataError
from tlexp.experiment.artifacts import predictions_table, write_evaluation
from tlexp.paths import publish
from tlexp.predictor import Predictor, Scores
from tlexp.predictor.photos import Photo, find_photos
from tlexp.predictor.predictor import OnBadPhoto
from tlexp.tracking import DatasetInfo, RunStatus, TrackedRun, Tracker, figures, names
from tlexp.tracking.reference import Home
from tlexp.train import Evaluation, evaluate, measure, measure_answering

PAGE = "index.html"
_DRAWS = 400
"""Of the bootstrap."""
_DRAWN = ("balanced_accuracy", "macro_f1", "nll")
"""Measures whose intervals are drawn; calibration errors grow when images are drawn with repetition."""
_MISTAKES = 100
"""Mistakes that a page shows; the table has all."""
_FIGURES = ("confusion_matrix", "reliability", "risk_coverage")


@dataclass(frozen=True, kw_only=True)
class LabelledPhotos:
    """Photographs whose classes are known by their folder or table.

    Attributes:
        photos: Of the classes that the network knows.
        labels: Class index of each, by its name.
        notes: Which classes are missing or unknown, a sentence each.
        unknown: Images of unknown classes, which are left out.
    """

    photos: tuple[Photo, ...]
    labels: dict[str, int]
    notes: tuple[str, ...]
    unknown: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What came out.

    Attributes:
        classes: Names.
        scores: Of the images that were read.
        labels: Of those, (N,).
        evaluation: Its measures.
        intervals: 95 % intervals of further measures, by a bootstrap over images.
        notes: What readers should know.
        unknown: Images that were left out, since the network does not know their classes.
    """

    classes: tuple[str, ...]
    scores: Scores
    labels: NDArray[np.int64]
    evaluation: Evaluation
    intervals: dict[str, tuple[float, float]]
    notes: tuple[str, ...]
    unknown: int = 0

    def told(self) -> str:
        """Return of how many images it is, of how many that were given."""
        bad, wrong = len(self.scores.bad), int((self.scores.probabilities.argmax(axis=1) != self.labels).sum())
        left = [f"{self.unknown:,} of unknown classes"] * bool(self.unknown) + [f"{bad:,} unreadable"] * bool(bad)
        given = f" of {len(self.labels) + self.unknown + bad:,} ({', '.join(left)} left out)" if left else ""
        return f"{len(self.labels):,}{given} images measured, {wrong:,} mistake{'' if wrong == 1 else 's'}"

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


def find_labelled(place: Path, classes: Sequence[str], *, follow_links: bool) -> LabelledPhotos:
    """Return the photographs of a folder with a folder for each class, or of a CSV table with path and label.

    Args:
        place: The folder or table.
        classes: Those that the network knows, by name.
        follow_links: Follow links that lead out of a folder.

    Raises:
        DataError: There is neither, or none of its classes is known.
    """
    if not place.exists():
        raise DataError(f"{printable(str(place))}: no such folder or table; {_wanted(classes)}")
    named = _of_folder(place, classes, follow_links) if place.is_dir() else _of_table(place)
    known = {name: found for name, photos in named.items() if name in classes and (found := photos())}
    shown = printable(str(place))
    if not known:
        raise DataError(
            f"{shown}: none of its classes ({_listed(list(named))}) is known to the network, which tells apart "
            f"{_listed(classes)}"
        )
    unknown, missing = sorted(named.keys() - set(classes)), [name for name in classes if name not in known]
    notes, count = [], sum(len(named[name]()) for name in unknown)
    if unknown:
        notes.append(f"{count} images are left out, since the network does not know their classes: {_listed(unknown)}")
    if missing:
        notes.append(f"no images of {_listed(missing)}")
    photos, labels = [], {}
    for name, found in known.items():
        for photo in found:
            photos.append(photo)
            labels[photo.name] = classes.index(name)
    return LabelledPhotos(photos=tuple(photos), labels=labels, notes=tuple(notes), unknown=count)


def _of_folder(folder: Path, classes: Sequence[str], follow_links: bool) -> dict[str, Callable[[], Sequence[Photo]]]:
    named = subfolders(folder)
    if not named:
        raise DataError(f"{printable(str(folder))}: no folder of a class lies in it; {_wanted(classes)}")
    return {
        name: functools.partial(_of_class, below, follow_links=follow_links, root=folder)
        for name, below in named.items()
    }


def _wanted(classes: Sequence[str]) -> str:
    """Return what is to be named."""
    return (
        f"name a folder that holds one for each class that the network tells apart ({_listed(classes)}), or a CSV "
        "table with the columns path and label"
    )


def _of_class(folder: Path, *, follow_links: bool, root: Path) -> list[Photo]:
    """Return the photographs of a class; none of a folder that holds nothing."""
    return find_photos(folder, follow_links=follow_links, root=root) if any(folder.iterdir()) else []


def _of_table(path: Path) -> dict[str, Callable[[], Sequence[Photo]]]:
    photos: dict[str, list[Photo]] = {}
    for row in read_rows(path, printable(str(path))):
        file = ImageFile(path=row.path, name=row.name, label=0)
        photos.setdefault(row.label, []).append(Photo.of(file))
    return {name: functools.partial(list, found) for name, found in sorted(photos.items())}


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:10]) + (f" and {len(classes) - 10} more" if len(classes) > 10 else "")


def measure_photos(predictor: Predictor, labelled: LabelledPhotos, *, on_bad: OnBadPhoto) -> Measured:
    """Return what a network makes of photographs whose classes are known.

    Raises:
        BadImagesError: Images cannot be read and are refused.
        DataError: There is none.
    """
    scores = predictor.score(labelled.photos, on_bad=on_bad)
    labels = np.array([labelled.labels[name] for name in scores.names], np.int64)
    return Measured(
        classes=predictor.classes,
        scores=scores,
        labels=labels,
        evaluation=evaluate(scores.probabilities, labels, label_smoothing=0.0),
        intervals=_bootstrap(scores.probabilities, labels),
        notes=labelled.notes,
        unknown=labelled.unknown,
    )


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
        answering = measure_answering(predictor.card.abstention, scores.probabilities, labels)
        write_evaluation(half, {"test": measured.evaluation}, measured.classes, answering)
        table = predictions_table(scores.names, labels, scores.probabilities, measured.classes)
        publish(half / names.PREDICTIONS_TABLE, table)
        _draw(half / names.FIGURES_FOLDER, measured)
        publish(half / PAGE, _page(measured, predictor, photos, title))


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
    confidence = measured.scores.probabilities.max(axis=1)
    right = measured.scores.probabilities.argmax(axis=1) == measured.labels
    drawn = {
        "confusion_matrix": figures.confusion_matrix(measured.evaluation.confusion, measured.classes),
        "reliability": figures.reliability(confidence, right),
        "risk_coverage": figures.risk_coverage(confidence, right),
    }
    folder.mkdir()
    for name in _FIGURES:
        publish(folder / f"{name}.png", figures.png_bytes(drawn[name]))


def _page(measured: Measured, predictor: Predictor, photos: Sequence[Photo], title: str) -> str:
    """Return the page; its mistakes are read once more."""
    probabilities, labels, classes = measured.scores.probabilities, measured.labels, measured.classes
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MISTAKES].tolist()
    by_name = {photo.name: photo for photo in photos}
    mistakes = [
        {
            "path": measured.scores.names[place],
            "told": f"{classes[labels[place]]}, taken for {classes[predicted[place]]} {confidence[place]:.2f}",
            "address": data_address(thumbnail(by_name[measured.scores.names[place]].load(predictor.decoding))),
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
        facts=[f"{measured.told()}. Intervals are at 95 %.", *measured.notes, *bad, *more],
        tables=[
            {"title": "Measures", "head": ["measure", "value", "from", "to"], "rows": measured.rows()},
            {"title": "Recall", "head": ["class", "images", "recall", "from", "to"], "rows": measured.recalls()},
        ],
        figures=_FIGURES,
        mistakes=mistakes,
    )


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
    tracker.start(
        run_name=folder.name,
        params={"evaluated": origin, "images": place},
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
