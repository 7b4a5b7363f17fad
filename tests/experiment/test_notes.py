"""What people are told of a test that says nothing."""

import numpy as np
import pytest

from tlexp.config import Config
from tlexp.experiment.notes import guess_note
from tlexp.train.metrics import evaluate


@pytest.mark.parametrize(("right", "warned"), [(55, True), (95, False)])
def test_a_test_that_says_no_more_than_guessing_is_warned_of(right: int, warned: bool) -> None:
    labels = np.repeat(np.arange(2), 50)
    named = labels.copy()
    named[: 100 - right] = 1
    found = list(guess_note(Config(), evaluate(np.eye(2)[named], labels, label_smoothing=0)))
    assert bool(found) is warned
    assert not warned or "test accuracy 0.550 is not surely above guessing" in found[0]
