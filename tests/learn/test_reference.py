import numpy as np
import pytest
import torch
from torch import nn

from tests.composed import composed
from tests.conftest import SMALL
from tlexp.experiment.build import build_network, build_setup
from tlexp.features.batches import FeatureSet
from tlexp.learn.reference import find_reference
from tlexp.models import Classifier, typicality


def test_as_many_images_are_taken_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of features that are tokens, one after the other, the means are kept, of unit length."""
    config = composed(*SMALL).config
    setup = build_setup(config, build_network(config), torch.device("cpu"), images=40, classes=2)
    features = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    images = FeatureSet(
        [Held(features)],
        np.repeat([0, 1], 20),
        setup,
        decode=lambda positions: torch.empty(0),
        digests=np.zeros((40, 32), np.uint8),
        memory_bytes=1 << 20,
    )
    classifier = Classifier(nn.Identity(), nn.Linear(12, 2), (), 0)
    learned = np.arange(0, 40, 2)
    rows = find_reference(classifier, images, learned, setup, width=4).rows
    expected = nn.functional.normalize(features[learned].reshape(20, 3, 4).mean(1))
    assert torch.allclose(rows, expected, atol=1e-3)
    monkeypatch.setattr(typicality, "_ROW_BYTES", 8 * 2 * 4)
    assert len(find_reference(classifier, images, learned, setup, width=4).rows) == 8


class Held:
    """Rows that lie in memory."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows, self.shape = rows, tuple(rows.shape)

    def take(self, places: np.ndarray) -> torch.Tensor:
        return self.rows[torch.from_numpy(places)]
