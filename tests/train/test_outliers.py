import numpy as np

from tlexp.train.metrics import wilson_interval
from tlexp.train.outliers import LEVELS, measure_false_alarms


def test_images_of_the_known_classes_that_would_be_marked_are_counted() -> None:
    found = measure_false_alarms(np.array([0.05, 0.1, 0.02, 0.7, 1.0]), least=0.02)
    assert [(each.level, each.marked, each.rate) for each in found] == [(0.01, 0, 0.0), (0.05, 2, 0.4), (0.1, 3, 0.6)]
    assert [each.possible for each in found] == [False, True, True]
    assert found[1].rate_interval == wilson_interval(2, 5)
    assert [each.level for each in found] == list(LEVELS)
    assert measure_false_alarms(None, least=1.0) == []
