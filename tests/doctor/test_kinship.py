from tests.doctor.conftest import a_gallery, a_kinship


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
