import numpy as np
import pytest

from tests.doctor.conftest import clusters
from tlexp.doctor import suspects
from tlexp.doctor.suspects import FOLDS, Judgement, deal_folds, find_confusions, find_suspects, judge, suspects_csv

SHOWN = [0, 1, 2, 3] * 50
LABELS = np.array([0] * 10 + [1] * 10 + [2] * 10)


def alone(count: int) -> np.ndarray:
    return np.arange(count)


@pytest.mark.parametrize("seed", range(3))
def test_planted_labels_come_first(seed: int) -> None:
    labels = np.array(SHOWN, np.int64)
    wrong = np.random.default_rng(seed).choice(200, 10, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 4
    said = judge(clusters(SHOWN, spread=0.12), labels, alone(200), classes=4)
    assert said is not None
    found = find_suspects(said, labels)
    assert {suspect.place for suspect in found[:10]} == set(wrong.tolist())
    assert all(suspect.looks_like == SHOWN[suspect.place] for suspect in found[:10])
    assert [suspect.confidence for suspect in found] == sorted((suspect.confidence for suspect in found), reverse=True)


def test_a_twin_vouches_for_no_label() -> None:
    shown = [0, 1] * 20
    labels = np.array(shown, np.int64)
    features = clusters(shown, spread=0.05)
    features[[0, 2, 4, 6]] = features[0] + 3 * (features[1] - features[0]).roll(3)  # one strange photograph, four times
    labels[[0, 2, 4, 6]] = 1
    groups = alone(40)
    together = groups.copy()
    together[[0, 2, 4, 6]] = 0

    def doubt(groups: np.ndarray) -> float:
        said = judge(features, labels, groups, classes=2)
        assert said is not None
        return float(1 - said.probabilities[0, 1])

    assert doubt(together) > doubt(groups) + 0.1


def test_folds_keep_groups_whole_and_spread_classes() -> None:
    labels = np.repeat([0, 1, 2], [40, 20, 10])
    groups = np.arange(70) // 2
    fold = deal_folds(labels, groups, seed=4)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    for label in range(3):
        counts = np.bincount(fold[labels == label], minlength=FOLDS)
        assert counts.max() - counts.min() <= 2
    assert (deal_folds(labels, groups, seed=5) != fold).any()


def test_a_group_under_two_classes_stays_whole() -> None:
    fold = deal_folds(np.array([0, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 2, 3, 4]))
    assert fold[0] == fold[1]


@pytest.mark.parametrize(
    ("labels", "why"), [([0, 1, 2], "one label per class"), ([0, 0, 0], "one class"), ([0], "one image")]
)
def test_nothing_is_said_where_nothing_could_be_learned(labels: list[int], why: str) -> None:
    assert judge(clusters(labels), np.array(labels), alone(len(labels)), classes=3) is None, why


def test_a_class_of_one_group_is_not_judged() -> None:
    labels = np.array([0] * 8 + [1] * 8 + [2] * 2)
    groups = alone(18)
    groups[17] = groups[16]
    said = judge(clusters(labels.tolist()), labels, groups, classes=3)
    assert said is not None
    assert said.judged.tolist() == [True] * 16 + [False] * 2
    assert all(suspect.place < 16 for suspect in find_suspects(said, labels))


def test_penalties_are_compared_on_a_part_where_images_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    plain = suspects.solve

    def solve(*args: object, **options: object) -> object:
        sizes.append((len(options["candidates"]), len(args[3]), max(len(problem.train) for problem in args[3])))  # type: ignore
        return plain(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(suspects, "solve", solve)
    assert judge(clusters(SHOWN), np.array(SHOWN), alone(200), classes=4) is not None
    assert sizes == [(13, 5, 160), *[(1, 5, 160)] * 3]
    sizes.clear()
    monkeypatch.setattr(suspects, "_ONE_FOLD", 150)
    assert judge(clusters(SHOWN), np.array(SHOWN), alone(200), classes=4) is not None
    assert sizes == [(13, 1, 160), *[(1, 5, 160)] * 3]
    sizes.clear()
    monkeypatch.setattr(suspects, "_COMPARED", 50)
    assert judge(clusters(SHOWN), np.array(SHOWN), alone(200), classes=4) is not None
    assert sizes == [(13, 1, 40), (1, 5, 160)], "all images are judged, once"


def test_the_fold_that_penalties_are_compared_on_has_images_that_can_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_ONE_FOLD", 10)
    labels = np.array([0] * 40 + [1] * 3)
    for seed in range(5):  # of both classes one group alone could be, but for two images
        groups = np.random.default_rng(seed).permutation(43)
        groups[:38] = groups[0]
        said = judge(clusters(labels.tolist()), labels, groups, classes=2)
        assert said is not None
        assert np.isfinite(said.probabilities).all()


def test_the_table_names_images_and_classes() -> None:
    found = [suspects.Suspect(place=1, label=0, looks_like=1, confidence=0.98765)]
    assert suspects_csv(found, ["x", 'a,"b'], ["cat", "dog"]) == (
        b'name,label,looks_like,confidence\n"a,""b",cat,dog,0.9877\n'
    )


def said(named: np.ndarray, judged: np.ndarray | None = None) -> Judgement:
    return Judgement(probabilities=np.eye(3)[named], judged=np.ones(30, bool) if judged is None else judged)


def test_pairs_come_by_the_share_that_is_confused() -> None:
    named = LABELS.copy()
    named[:1], named[10:14], named[20:23] = 1, 0, 1
    first, second = find_confusions(said(named), LABELS, most=5)
    assert (first.classes, first.mistaken, first.images, first.share) == ((1, 0), (4, 1), (10, 10), 0.25)
    assert (second.classes, second.mistaken) == ((2, 1), (3, 0))
    assert find_confusions(said(named), LABELS, most=1) == [first]


def test_a_small_class_that_is_lost_comes_before_large_ones_that_are_mixed_now_and_then() -> None:
    labels = np.array([0] * 100 + [1] * 100 + [2] * 4)
    named = labels.copy()
    named[:20], named[100:120], named[200:] = 1, 0, 1
    first, second = find_confusions(said(named, np.ones(204, bool)), labels, most=5)
    assert (first.classes, first.mistaken, first.share) == ((2, 1), (4, 0), 0.5)
    assert (second.classes, second.share) == ((0, 1), 0.2)


def test_a_single_mistake_and_what_was_not_judged_make_no_pair() -> None:
    named = LABELS.copy()
    named[0] = 1
    named[20:25] = 1
    judged = np.ones(30, bool)
    judged[20:25] = False
    assert find_confusions(said(named, judged), LABELS, most=5) == []


def test_a_class_that_was_not_judged_at_all_has_no_share() -> None:
    named = LABELS.copy()
    named[:4] = 2
    judged = LABELS != 2
    [pair] = find_confusions(said(named, judged), LABELS, most=5)
    assert (pair.classes, pair.mistaken, pair.images, pair.share) == ((0, 2), (4, 0), (10, 0), 0.2)
