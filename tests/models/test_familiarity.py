"""Which images a network has seen goes with its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.test_export import build
from tlexp.errors import WeightsError
from tlexp.models import load_classifier, save_classifier
from tlexp.models.familiarity import Familiarity

DIGESTS = [bytes([number]) * 32 for number in (255, 3, 128)]


def test_what_was_seen_goes_along_whole_or_in_half_precision(tmp_path: Path) -> None:
    classifier, card = build()
    classifier.familiarity = Familiarity.of(DIGESTS)
    for half in (False, True):
        save_classifier(classifier, tmp_path / str(half), description=card, half=half)
        again = load_classifier(tmp_path / str(half))[0]
        assert again.familiarity is not None
        assert again.familiarity.holds([DIGESTS[2], b"", bytes(31) + b"a", DIGESTS[0]]).tolist() == [1, 0, 0, 1]
        assert again.state_dict().keys() == classifier.state_dict().keys(), "it is no part of the network"


@pytest.mark.parametrize("tensor", [torch.ones(2, 1, dtype=torch.int64), torch.ones(3)])
def test_what_was_seen_is_refused_where_no_run_wrote_it(
    tensor: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, card = build()
    classifier.familiarity = Familiarity(np.zeros(1, np.int64))
    monkeypatch.setattr(Familiarity, "state", lambda _: tensor)
    save_classifier(classifier, tmp_path, description=card)
    with pytest.raises(WeightsError, match=r"familiarity\.images of shape .*: must be int64 of one dimension: no run"):
        load_classifier(tmp_path)
