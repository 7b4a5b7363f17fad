import numpy as np
import pytest

from tlexp.models.abstention import Abstention
from tlexp.train.answering import PROMISES, measure_answering


def test_coverage_and_accuracy_of_what_is_answered() -> None:
    sure = Abstention(thresholds=(0.8, 0.5), answered=(40, 90), right=(40, 60))
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.85, 0.15]])
    first, second, *rest = measure_answering(sure, probabilities, np.array([0, 1, 0, 1]))
    assert [answering.promised for answering in (first, second, *rest)] == list(PROMISES)
    assert (first.threshold, first.answered, first.coverage) == (0.8, 3, 0.75)
    assert first.accuracy == pytest.approx(2 / 3)
    assert first.accuracy_interval is not None
    assert rest[-1].threshold is None
    assert (rest[-1].answered, rest[-1].accuracy) == (0, None)
    assert measure_answering(None, probabilities, np.array([0, 1, 0, 1])) == []
