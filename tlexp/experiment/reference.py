"""What a run's network says of images of its own test split, for comparison with what others make of the network."""

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.config import Config
from tlexp.config.cache import CacheConfig
from tlexp.config.data import DataConfig
from tlexp.config.train import Precision
from tlexp.data import Source
from tlexp.errors import TlexpError
from tlexp.experiment.images import open_images
from tlexp.formats import Reference, Trained
from tlexp.jsonfile import from_json
from tlexp.predictor import Predictor
from tlexp.tracking import Record
from tlexp.tracking.names import PREDICTIONS_FILE
from tlexp.tracking.record import require_vouched
from tlexp.train import Listener

IMAGES = 64
"""Most images that are compared, spread over the test split."""
_VARIABLE = re.compile(r"\$\{oc\.env:(\w+)\}")


def reference(record: Record, trained: Trained, listener: Listener | None = None) -> Reference:
    """Return test images of a run and what it said of them; random images where those cannot be read again.

    Where the run's own predictions cannot be compared with those of this machine's CPU in float32, its network answers.

    Args:
        record: Of the run.
        trained: Its network.
        listener: Hears of images that are read.
    """
    try:
        source = _source(record, trained, listener or Listener())
        places = np.unique(np.linspace(0, len(source.held_out.labels) - 1, IMAGES).astype(int))
        images = [np.asarray(source.held_out.read(int(place))) for place in places]
        told = f"{len(images)} test images of the run"
    except (TlexpError, OSError, TypeError, ValueError):
        # Why is not told: a card is published, and reasons may show what stands in the environment.
        images = _random_images(trained.card.preprocessing.image_size)
        told = f"{len(images)} random images, as the run's test images cannot be read again"
        return Reference(images=images, probabilities=predicted(trained, images), told=told)
    own = _own_predictions(record, trained, source)
    if own is None:
        return Reference(images=images, probabilities=predicted(trained, images), told=f"{told}, asked again")
    return Reference(images=images, probabilities=own[places], told=f"{told}, by the predictions that it wrote")


def _source(record: Record, trained: Trained, listener: Listener) -> Source:
    data = from_json(DataConfig, _resolved(record.config["data"]), "data")
    # A run that kept nothing in the cache goes on keeping nothing.
    cache = from_json(CacheConfig, _resolved(record.config.get("cache", {})), "cache")
    config = Config(data=data, cache=cache)
    return open_images(config, trained.card.preprocessing, listener)


def _own_predictions(record: Record, trained: Trained, source: Source) -> NDArray[np.float64] | None:
    """Return what the run wrote of its test split, (N, K); None where it computed otherwise, or of other images."""
    precise = record.environment.device == "cpu" and record.config["train"]["precision"] != Precision.bf16
    if not precise or record.data is None or record.data.digest != source.digest:
        return None
    try:
        require_vouched(trained.folder, PREDICTIONS_FILE)
        with np.load(trained.folder / PREDICTIONS_FILE, allow_pickle=False) as file:
            found: NDArray[np.float64] = file["probability"].astype(np.float64)
    except (TlexpError, OSError, LookupError, ValueError, zipfile.BadZipFile):
        return None
    return found if found.shape == (len(source.held_out.labels), len(trained.card.classes)) else None


def _resolved(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a group with what stands in the environment, which a record names only."""

    def found(match: re.Match[str]) -> str:
        return os.environ.get(match[1], match[0])

    return {name: _VARIABLE.sub(found, value) if isinstance(value, str) else value for name, value in group.items()}


def _random_images(side: int) -> list[NDArray[np.uint8]]:
    drawn = np.random.default_rng(0)
    return list(drawn.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8))


def predicted(trained: Trained, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the probabilities (N, K) of raw images, on the CPU as exports are asked."""
    return Predictor(trained.classifier, trained.card, device="cpu").probabilities(images)
