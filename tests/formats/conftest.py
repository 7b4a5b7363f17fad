import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tlexp.config.head import HeadKind
from tlexp.experiment.reference import predicted
from tlexp.formats import Trained
from tlexp.models import Classifier, HeadOptions, ModelCard, build_backbone, feature_width, find_units, preprocessing
from tlexp.models.head import Head
from tlexp.models.neighbours import Neighbours
from tlexp.models.prior import PriorShift

NAME, SIDE, CLASSES = "test_resnet", 32, ("circle", "stár", 'a "b" c')
SHIFT = PriorShift(wanted=(0.7, 0.2, 0.1), trained=(0.2, 0.2, 0.6))
IMAGES = [
    np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    for number, size in enumerate([(40, 50), (33, 32), (64, 31), (32, 32), (90, 41)])
]

Build = Callable[..., Trained]


def trained(kind: HeadKind, *, depth: int | None = None, **stated: Any) -> Trained:
    """Return a network with random weights, a temperature and class frequencies, frozen as a whole unless said."""
    options = HeadOptions(kind=kind, hidden=(16,) if kind is HeadKind.mlp else ())
    backbone = build_backbone(NAME, image_size=SIDE, head=kind, global_pool=stated.get("global_pool"))
    generator = torch.Generator().manual_seed(0)
    if kind is HeadKind.knn:
        rows = torch.randn(12, feature_width(backbone), generator=generator), torch.arange(12) % 3
        head = Head(Neighbours(*rows, num_classes=3, k=5))
    else:
        head = options.build(backbone, len(CLASSES), seed=0)
        with torch.no_grad():
            for weight in head[-1].parameters():
                weight.normal_(generator=generator)
    units = find_units(backbone, image_size=SIDE)
    classifier = Classifier(backbone, head, units, len(units) if depth is None else depth).eval()
    described = {"temperature": 1.7, "prior": SHIFT} | stated
    card = ModelCard(
        backbone=NAME, preprocessing=preprocessing(NAME, image_size=SIDE), classes=CLASSES, head=options, **described
    )
    return Trained(classifier=classifier, card=card, folder=Path("nowhere"))


def asked(snippet: str, folder: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return classes and probabilities as a snippet has them in its folder: of all images at once, and of one alone."""
    before, names = Path.cwd(), dict[str, Any]()
    os.chdir(folder)
    try:
        exec(snippet, names)
    finally:
        os.chdir(before)
    pictures = [Image.fromarray(image) for image in IMAGES]
    together = np.asarray(names["probabilities"](pictures), np.float64)
    alone = np.asarray(names["probabilities"](pictures[:1]), np.float64)
    np.testing.assert_allclose(alone, together[:1], atol=1e-5)
    return list(names["classes"]), together


def same_as_the_network(made: Trained, snippet: str, folder: Path) -> None:
    """Fail unless a snippet says what the network does."""
    classes, answered = asked(snippet, folder)
    assert classes == list(CLASSES)
    expected = predicted(made, IMAGES)
    assert expected.std() > 0.05, "all alike says nothing"
    np.testing.assert_allclose(answered, expected, atol=1e-5)


@pytest.fixture
def build() -> Build:
    return trained
