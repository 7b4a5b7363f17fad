import numpy as np

from tlexp.doctor.confusions import find_confusions
from tlexp.doctor.suspects import Judgement

LABELS = np.array([0] * 10 + [1] * 10 + [2] * 10)


def said(named: np.ndarray, judged: np.ndarray | None = None) -> Judgement:
    return Judgement(probabilities=np.eye(3)[named], judged=np.ones(30, bool) if judged is None else judged)


def test_pairs_come_by_the_share_that_is_confused() -> None:
    named = LABELS.copy()
    named[:1], named[10:14], named[20:23] = 1, 0, 1
    first, second = find_confusions(said(named), LABELS, most=5)
    assert (first.classes, first.mistaken, first.images, first.share) == ((1, 0), (4, 1), (10, 10), 0.25)
    assert (second.classes, second.mistaken) == ((2, 1), (3, 0))
    assert find_confusions(said(named), LABELS, most=1) == [first]


def test_a_single_mistake_and_what_was_not_judged_make_no_pair() -> None:
    named = LABELS.copy()
    named[0] = 1
    named[20:25] = 1
    judged = np.ones(30, bool)
    judged[20:25] = False
    assert find_confusions(said(named, judged), LABELS, most=5) == []
