from pathlib import Path

import numpy as np
import pytest
import torch

from tests.composed import load
from tlexp.config import Config
from tlexp.data import Images
from tlexp.doctor.features import BACKBONE, expected_by, extract_features, seen_by_lite0
from tlexp.experiment.build import build_classifier, build_network, build_setup
from tlexp.experiment.images import open_images
from tlexp.experiment.inputs import row_key
from tlexp.experiment.session import Session
from tlexp.models.digest import tensors_digest
from tlexp.train import Listener


class Heard(Listener):
    """Keeps what is told of images."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def images(self, done: int, count: int) -> None:
        self.told.append((done, count))


def words(photos: Path) -> list[str]:
    return ["data=folder", f"data.root={photos}", "backbone=tiny", "freeze=none", "augment=flip", "tune=rates"]


def test_features_are_those_of_lite0_and_computed_once(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = seen_by_lite0(load(words(photos)).config)
    images = open_images(config, expected_by(config), Listener()).pool
    heard = Heard()
    first = extract_features(config, images, Session(), heard, classes=2)
    assert first.shape == (16, 1280)
    assert heard.told[-2:] == [(16, 16), (16, 16)]
    monkeypatch.setattr(Session, "decode", lambda *_: pytest.fail("the images were read again"))
    assert torch.equal(extract_features(config, images, Session(), heard, classes=2), first)


def key_of(config: Config, images: Images) -> str:
    """Return what names the features of a frozen network with random weights."""
    network = build_network(config)
    classifier = build_classifier(config, network, 2)
    setup = build_setup(config, network, torch.device("cpu"), images=16, classes=2)
    return row_key(config, setup, classifier, hashed=tensors_digest)(None).digest


def test_a_run_with_lite0_finds_them(photos: Path) -> None:
    own = seen_by_lite0(load(words(photos)).config)
    run = load([f"data.root={photos}", "data=folder", "backbone=lite0", "freeze=all", "head=linear"]).config
    images = open_images(own, expected_by(own), Listener()).pool
    assert run.backbone.name == BACKBONE
    assert key_of(own, images) == key_of(run, images)
    assert np.array_equal(images.labels, [0] * 8 + [1] * 8)
