"""A trained network as its run left it, applied to any photographs: decoded, fitted and corrected as the run did.

On the CPU its probabilities are those of the run to the bit, whatever comes beside an image, for a network that was
trained in the usual memory layout (train.channels_last=true) and without adapters, which are added to the weights when
they are saved. Half precision and accelerators round otherwise.
probabilities (N, K) float64, rows sum to 1; images (B, 3, S, S).
"""

import itertools
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from tlexp.arrays import Logits
from tlexp.data.decode import Decoding, pillow_guard
from tlexp.data.transforms import fit_image, normalise
from tlexp.errors import BadImagesError, ConfigError, DataError
from tlexp.models.abstention import needed
from tlexp.models.classifier import Classifier
from tlexp.models.export import ModelCard, load_classifier
from tlexp.predictor.photos import Photo, Photographs, find_photos
from tlexp.predictor.table import OUTLIER, predictions_rows
from tlexp.predictor.table import Scores as Scores  # its readers know it from here
from tlexp.train.device import choose_device
from tlexp.train.listener import Listener
from tlexp.train.metrics import to_probabilities
from tlexp.train.predict import predict_beside

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

OnBadPhoto = Literal["refuse", "skip"]
NOTHING_TYPICAL = (
    "the run kept no held-out images that tell what is typical: it had one image per class or tune.validate=false, or "
    "was made by an earlier version"
)
_Fitted = tuple[bytes, NDArray[np.uint8]]
"""Digest of the content, and pixels (S, S, 3)."""
_AT_ONCE = 256
"""Images that are decoded while those before them pass the network."""


class Predictor:
    """A trained network and how it wants its images.

    Args:
        classifier: The network.
        card: How it was built, its classes and corrections.
        device: auto (cuda, else mps, else cpu), cpu, mps, cuda or cuda:<n>.

    Attributes:
        card: As given.
        typicality: What tells how typical an image is of those that it learned from; None where the run kept nothing.
        familiarity: Which images it has seen; None where the run kept nothing.
        decoding: How images are read.
    """

    def __init__(self, classifier: Classifier, card: ModelCard, *, device: str = "auto") -> None:
        self.card = card
        self._device = choose_device(device, setting="device")
        self._classifier = classifier.to(self._device).to(memory_format=torch.channels_last).eval()
        self.decoding = Decoding.of(card.decoder, card.preprocessing, max_pixels=card.max_pixels, bits=card.bits)
        known = classifier.typicality
        self.typicality = None if known is None else known.to(self._device)
        self.familiarity = classifier.familiarity

    @classmethod
    def load(cls, where: str | Path, *, uri: str | None = None, device: str = "auto") -> Self:
        """Return the network of a run or an export.

        Args:
            where: Folder of a run or of an export, `runs:/<id>` or `models:/<name>/<version>`.
            uri: Tracking URI that knows the run or the model; None as for runs.
            device: As for the constructor.

        Raises:
            WeightsError: There is none, its files are missing, damaged or do not belong together, or the run did not
                finish.
            ConfigError: This machine has no such device.
        """
        from tlexp.tracking.library import mlflow_guard  # lazy: a served model knows its folder
        from tlexp.tracking.reference import resolve_model

        with mlflow_guard:
            folder = resolve_model(str(where), uri=uri)
        return cls.of_folder(folder, device=device)

    @classmethod
    def of_folder(cls, folder: Path, *, device: str = "auto") -> Self:
        """Return the network that model.json and model.safetensors of a folder hold, whoever put them there.

        Raises:
            WeightsError: They are missing, damaged or do not belong together.
        """
        classifier, exported = load_classifier(folder)
        return cls(classifier, exported.card, device=device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return self.card.classes

    def probabilities(self, images: Photographs) -> NDArray[np.float64]:
        """Return the probability of each class for each image, (N, K).

        Args:
            images: A path, an image of Pillow's or an array, a folder, or several of them.

        Raises:
            BadImagesError: Images cannot be read.
            DataError: A folder holds none.
            OutOfMemoryError: They do not fit into the device's memory.
        """
        return self.score(images).probabilities

    def predict(
        self,
        images: Photographs,
        *,
        on_bad: OnBadPhoto = "refuse",
        abstain: float | None = None,
        outliers: float | None = None,
    ) -> "pd.DataFrame":
        """Return a row per image: path, three classes with their confidence, and how typical the image is.

        The columns are path, class, confidence, second, second_confidence, third, third_confidence, typicality, and
        where they are asked for likeliest, behind class, and outlier.

        Args:
            images: As for `probabilities`.
            on_bad: Refuse images that cannot be read, all named, or leave them out, with a warning that names them.
            abstain: Accuracy of answers; `class` is empty where the network is not sure enough for it, and `likeliest`
                what it would have been.
            outliers: Share of false alarms; `outlier` is True where an image is no more typical than that.

        Raises:
            BadImagesError: Images cannot be read.
            DataError: A folder holds none.
            ConfigError: As `threshold` and `require_outliers`.
        """
        import pandas as pd  # lazy: a second

        least = None if abstain is None else self.threshold(abstain)
        if outliers is not None:
            self.require_outliers(outliers)
        scores = self.score(images, on_bad=on_bad)
        for name, reason in scores.bad:
            warnings.warn(f"left out: {name}: {reason}", stacklevel=2)
        head, *rows = predictions_rows(scores, self.classes, least=least, outliers=outliers)
        table = pd.DataFrame(rows, columns=head).replace({"": None})
        return table if outliers is None else table.assign(**{OUTLIER: table[OUTLIER] == "yes"})

    def threshold(self, accuracy: float) -> float:
        """Return the least confidence of an answer for answers to be right in this share, at 95 % confidence.

        It holds for images like those of the label budget, with classes as frequent as there.

        Raises:
            ConfigError: The accuracy is none, or the run's out-of-fold predictions do not allow the promise.
        """
        if not isinstance(accuracy, Real) or not 0 < accuracy < 1:
            raise ConfigError(f"abstain={accuracy}: must be an accuracy between 0 and 1, such as 0.95")
        known = self.card.abstention
        if known is None:
            raise ConfigError(
                f"abstain={accuracy:g}: the run kept no out-of-fold predictions that tell how sure is sure enough: it "
                "had one image per class, tune.validate=false or data.prior, or was made by an earlier version"
            )
        least = known.threshold(accuracy)
        if least is None:
            most = known.most()
            allowed = "they allow no promise" if most is None else f"{most:g} is the most that they allow"
            raise ConfigError(
                f"abstain={accuracy:g}: the run's {known.answered[-1]} out-of-fold predictions, of which "
                f"{known.right[-1]} are right, do not allow this promise at 95 % confidence, which takes "
                f"{needed(accuracy)} sure ones without a mistake: {allowed}; a run that learns from more "
                "labelled images may promise more"
            )
        return least

    def require_outliers(self, level: float) -> None:
        """Refuse a level of typicality up to which images are to be marked, where nothing tells of it.

        Raises:
            ConfigError: It is no share, or the run's held-out images are too few for it.
        """
        if not isinstance(level, Real) or not 0 < level < 1:
            raise ConfigError(f"outliers={level}: must be a share of false alarms between 0 and 1, such as 0.05")
        if self.typicality is None:
            raise ConfigError(f"outliers={level:g}: {NOTHING_TYPICAL}")
        if level < self.typicality.least:
            raise ConfigError(
                f"outliers={level:g}: no image can be that untypical of the run's {len(self.typicality.held_out)} "
                f"held-out images: ask for {self.typicality.least:.3g} or more, or label more images"
            )

    def score(
        self,
        images: Photographs,
        *,
        on_bad: OnBadPhoto = "refuse",
        follow_links: bool = False,
        listener: Listener | None = None,
    ) -> Scores:
        """Return names and probabilities of images; all that cannot be read are named at once.

        Args:
            images: As for `probabilities`.
            on_bad: As for `predict`.
            follow_links: Follow links that lead out of a folder.
            listener: Hears how many images have been read.

        Raises:
            BadImagesError: Images cannot be read and are refused.
            DataError: A folder holds none.
        """
        if on_bad not in get_args(OnBadPhoto):
            raise ConfigError(f"on_bad={on_bad}: must be {' or '.join(get_args(OnBadPhoto))}")
        photos = find_photos(images, follow_links=follow_links, all_there=on_bad == "refuse")
        bad: list[tuple[str, str]] = []
        places: list[int] = []
        digests: list[bytes] = []
        told = Listener() if listener is None else listener
        rows = self._rows(photos, places, digests, bad, told, give_up=on_bad == "refuse")
        first = next(rows, None)
        logits, distances = np.empty((0, len(self.classes)), np.float32), np.empty(0, np.float32)
        if first is not None:
            logits, distances, _ = predict_beside(
                self._classifier, itertools.chain([first], rows), self._distances, autocast=None
            )
        if bad and on_bad == "refuse":
            raise BadImagesError(
                f"{len(bad)} of {len(photos)} images cannot be used:",
                [f"{name}: {reason}" for name, reason in bad],
                'Mend or remove them, or leave them out: --on-bad skip (from Python on_bad="skip")',
            )
        if bad and not places:
            raise DataError(f"no image can be read, e.g. {bad[0][0]}: {bad[0][1]}")
        names = tuple(photos[place].name for place in places)
        return Scores(
            names=names,
            probabilities=to_probabilities(self._corrected(logits)),
            typicalities=None if self.typicality is None else self.typicality.typicalities(distances),
            seen=None if self.familiarity is None else self.familiarity.holds(digests),
            bad=tuple(bad),
        )

    def _distances(self, features: torch.Tensor) -> torch.Tensor:
        """Return how far images lie from those that the network learned from, (B,); 0 where nothing tells."""
        return (
            features.new_zeros(len(features))
            if self.typicality is None
            else self.typicality.reference.distances(features)
        )

    def _corrected(self, logits: Logits) -> Logits:
        """Return logits divided by the temperature and moved to the class frequencies, in the run's own precision."""
        divided = logits / np.float32(self.card.temperature)
        return divided if self.card.prior is None else self.card.prior.correct(divided)

    def _rows(
        self,
        photos: Sequence[Photo],
        places: list[int],
        digests: list[bytes],
        bad: list[tuple[str, str]],
        listener: Listener,
        *,
        give_up: bool,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield normalised images, and no labels, of what can be read; note places and digests, and what is bad.

        Once something is bad and nothing will come of it, the rest is only looked at.
        """
        expected = self.card.preprocessing
        for start, fitted in self._fitted(photos):
            good = [(place, *read) for place, read in enumerate(fitted) if not isinstance(read, DataError)]
            places += [start + place for place, _, _ in good]
            digests += [digest for _, digest, _ in good]
            bad += [
                (photos[start + place].name, str(error))
                for place, error in enumerate(fitted)
                if isinstance(error, DataError)
            ]
            if good and not (bad and give_up):
                stacked = torch.from_numpy(np.stack([pixels for _, _, pixels in good]))
                raw = stacked.permute(0, 3, 1, 2).contiguous().to(self._device)
                images = normalise(raw, expected.mean, expected.std).contiguous(memory_format=torch.channels_last)
                yield images, torch.empty(0)
            listener.images(start + len(fitted), len(photos))

    def _fitted(self, photos: Sequence[Photo]) -> Iterator[tuple[int, list[_Fitted | DataError]]]:
        """Yield the place of a first image, and it and those after it as they were read.

        The next ones are decoded meanwhile.
        """

        def read(photo: Photo) -> _Fitted | DataError:
            try:
                digest, image = photo.load(self.decoding)
                return digest, fit_image(image, self.card.preprocessing)
            except DataError as error:
                return error

        with pillow_guard, ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            coming = pool.map(read, photos[:_AT_ONCE])
            for start in range(0, len(photos), _AT_ONCE):
                fitted = list(coming)
                coming = pool.map(read, photos[start + _AT_ONCE : start + 2 * _AT_ONCE])
                yield start, fitted
