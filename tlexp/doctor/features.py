"""All images as EfficientNet-Lite0 sees them, whatever backbone is studied: it comes as a package, and is fast.

features (N, D) float32 pooled, as the first layer of a linear probe takes them.
"""

import dataclasses

import numpy as np
from torch import Tensor

from tlexp.config import Config, Preprocessing
from tlexp.config.backbone import BackboneConfig
from tlexp.data import Images
from tlexp.experiment.build import build_classifier, build_setup
from tlexp.experiment.inputs import row_key
from tlexp.experiment.probe import probe_config
from tlexp.experiment.session import Session
from tlexp.features.extractor import FeatureExtractor
from tlexp.models import preprocessing
from tlexp.train import Listener, choose_device

BACKBONE = "tf_efficientnet_lite0"
"""As `backbone=lite0` names it."""


def seen_by_lite0(config: Config) -> Config:
    """Return the same images before a frozen EfficientNet-Lite0 as it is by default, with a probe to be solved."""
    return probe_config(dataclasses.replace(config, backbone=BackboneConfig(name=BACKBONE)))


def expected_by(config: Config) -> Preprocessing:
    """Return what the backbone expects of images."""
    return preprocessing(config.backbone.name, image_size=None, mean=None, std=None, interpolation=None, crop_pct=None)


def extract_features(config: Config, images: Images, session: Session, listener: Listener, *, classes: int) -> Tensor:
    """Return the pooled features (N, D) float32 of all images, on the CPU; those in the feature cache are read there.

    Args:
        config: Of `seen_by_lite0`.
        images: N of them.
        session: With the cache, where a run with backbone=lite0 finds what is computed here.
        listener: Hears of images that are read.
        classes: How many there are.

    Raises:
        DataError: An image cannot be read any more.
        WeightsError: The package with the weights is damaged.
        OutOfMemoryError: A chunk does not fit into the device's memory.
    """
    device = choose_device(config.train.device)
    network, _ = session.network(config)
    classifier = build_classifier(config, network, classes).to(device)
    setup = build_setup(config, network, device, images=len(images.labels), classes=classes)
    positions = np.arange(len(images.labels))
    told = _Counted(listener, len(positions))
    extractor = FeatureExtractor(
        classifier,
        setup,
        keys=[row_key(config, setup, classifier, hashed=session.digest)],
        store=session.store(config, listener.message),
        decode=lambda those, places: session.decode(config, those, places, setup.expected, Listener()),
        progress=told.images,
    )
    features = extractor.rows(images, positions).take(positions)
    listener.images(len(positions), len(positions))  # those that were in the cache are not read
    return features


class _Counted(Listener):
    """Tells of the images of all blocks together.

    Args:
        listener: Hears of them.
        count: How many there are.
    """

    def __init__(self, listener: Listener, count: int) -> None:
        self._listener, self._count, self._before = listener, count, 0

    def images(self, done: int, count: int) -> None:
        """Hear of one block."""
        self._listener.images(self._before + done, self._count)
        if done == count:
            self._before += count
