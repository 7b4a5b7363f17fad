"""What a run's network says of images of its own test split, for comparison with what others make of the network."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.config import Config
from tlexp.config.data import DataConfig
from tlexp.errors import TlexpError
from tlexp.experiment.images import open_images
from tlexp.formats import Reference, Trained
from tlexp.jsonfile import from_json
from tlexp.predictor import Predictor
from tlexp.tracking import Record
from tlexp.train import Listener

IMAGES = 64
"""Most images that are compared, spread over the test split."""
_VARIABLE = re.compile(r"\$\{oc\.env:(\w+)\}")


def reference(record: Record, trained: Trained, listener: Listener | None = None) -> Reference:
    """Return test images of a run and its network's probabilities; random images where those cannot be read again.

    Args:
        record: Of the run.
        trained: Its network.
        listener: Hears of images that are read.
    """
    try:
        images = _test_images(record, trained, listener or Listener())
        told = f"{len(images)} test images of the run"
    except (TlexpError, OSError, TypeError, ValueError):
        # Why is not told: a card is published, and reasons may show what stands in the environment.
        images = _random_images(trained.card.preprocessing.image_size)
        told = f"{len(images)} random images, as the run's test images cannot be read again"
    return Reference(images=images, probabilities=predicted(trained, images), told=told)


def _test_images(record: Record, trained: Trained, listener: Listener) -> list[NDArray[np.uint8]]:
    config = Config(data=from_json(DataConfig, _resolved(record.config["data"]), "data"))
    split = open_images(config, trained.card.preprocessing, listener).held_out
    places = np.unique(np.linspace(0, len(split.labels) - 1, IMAGES).astype(int))
    return [np.asarray(split.read(int(place))) for place in places]


def _resolved(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with what stands in the environment, which a record names only."""

    def found(match: re.Match[str]) -> str:
        return os.environ.get(match[1], match[0])

    return {name: _VARIABLE.sub(found, value) if isinstance(value, str) else value for name, value in data.items()}


def _random_images(side: int) -> list[NDArray[np.uint8]]:
    drawn = np.random.default_rng(0)
    return list(drawn.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8))


def predicted(trained: Trained, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the probabilities (N, K) of raw images, on the CPU as exports are asked."""
    return Predictor(trained.classifier, trained.card, device="cpu").probabilities(images)
