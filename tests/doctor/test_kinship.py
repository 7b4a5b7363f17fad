import dataclasses

import numpy as np
import torch

from tests.doctor.conftest import a_gallery, a_kinship
from tests.doctor.pictures import directions, picture
from tlexp.doctor.fingerprint import fingerprint
from tlexp.doctor.kinship import find_kinship
from tlexp.train import Listener


def test_all_copies_of_one_image_are_counted_whatever_pairs_were_compared() -> None:
    shown = [*range(10), *[0] * 20]
    labels = [0, 1] * 5 + [1] * 20
    gallery = dataclasses.replace(
        a_gallery(labels, tested=20),
        fingerprints=np.stack([fingerprint(picture(number)) for number in shown]),
        features=torch.from_numpy(directions(np.array(shown))),
    )
    kinship = find_kinship(gallery, Listener())
    assert kinship.leaked(gallery) == list(range(10, 30))
    assert kinship.torn(gallery) == [0, *range(10, 30)]


def test_pairs_across_splits_and_classes() -> None:
    gallery = a_gallery([0, 0, 1, 0, 1, 1], tested=3)
    kinship = a_kinship(6, (0, 1), (1, 2), (0, 3), (2, 5), (1, 3))
    assert [(pair.first, pair.second) for pair in kinship.across_splits(gallery)] == [(0, 3), (2, 5), (1, 3)]
    assert kinship.leaked(gallery) == [3, 5], "an image with two copies is one image"
    assert [(pair.first, pair.second) for pair in kinship.across_classes(gallery)] == [(1, 2)]


def test_large_groups_come_first() -> None:
    assert [part.tolist() for part in a_kinship(7, (5, 6), (0, 2), (2, 4)).large] == [[0, 2, 4], [5, 6]]
    assert a_kinship(3).large == []
    assert a_kinship(0).large == []
