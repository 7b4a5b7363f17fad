"""Groups are what pairs connect; chains that lead away from an image are cut, and every image is named once."""

import csv
import io

import numpy as np
import pytest

from tests.doctor.pictures import directions
from tlexp.arrays import Pairs
from tlexp.doctor import grouping
from tlexp.doctor.grouping import group_images, groups_csv, named_groups


def chain(count: int) -> Pairs:
    return np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)


def test_small_groups_stay_as_they_were_confirmed() -> None:
    found = group_images(chain(5), directions(np.arange(100)))
    assert found.numbers.tolist() == [0] * 5 + list(range(1, 96))
    assert found.loose == ()


def test_a_large_group_of_copies_stays_whole() -> None:
    of = np.array([0] * 200 + list(range(1, 301)))
    found = group_images(chain(200), directions(of, cosine=0.8))
    assert np.array_equal(found.numbers, of)


def test_a_chain_is_cut_where_it_leads_away() -> None:
    of = np.arange(300) // 10
    found = group_images(chain(300), directions(of))
    assert np.array_equal(found.numbers, of)


def test_one_that_is_too_large_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_LARGE", 100)
    found = group_images(chain(300), directions(np.arange(300) // 10))
    assert (set(found.numbers.tolist()), found.loose) == ({0}, (300,))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_may_be_no_pairs(count: int) -> None:
    found = group_images(np.empty((0, 2), np.int64), np.ones((count, 4), np.float32) / 2)
    assert found.numbers.tolist() == list(range(count))


def test_names_follow_the_order_of_names_and_not_of_images() -> None:
    generator = np.random.default_rng(0)
    names, numbers = np.array([f"{number:03}.png" for number in range(200)]), np.arange(200) // 3
    known = named_groups(names.tolist(), numbers)
    for _ in range(5):
        order = generator.permutation(200)
        assert named_groups(names[order].tolist(), generator.permutation(200)[numbers][order]) == known
    assert list(known.items())[:4] == [
        ("000.png", "g0001"),
        ("001.png", "g0001"),
        ("002.png", "g0001"),
        ("003.png", "g0002"),
    ]


def test_exact_copies_join_groups_and_bring_their_own_names() -> None:
    copies = [("x.png", "a.png"), ("y.png", "x.png"), ("b.png", "c.png"), ("torn1.png", "torn2.png")]
    found = named_groups(["a.png", "b.png", "c.png", "d.png"], np.arange(4), copies)
    assert len(found) == 8
    assert found["a.png"] == found["x.png"] == found["y.png"]
    assert found["b.png"] == found["c.png"] != found["a.png"]
    assert found["torn1.png"] == found["torn2.png"] != found["d.png"]
    assert len(set(found.values())) == 4


def test_many_groups_have_longer_names() -> None:
    found = named_groups([str(number) for number in range(10_000)], np.arange(10_000))
    assert {len(group) for group in found.values()} == {6}


def test_the_table_names_every_image_once() -> None:
    groups = named_groups(["a, b.png", 'c"d.png', "é.png"], np.array([0, 1, 0]))
    rows = list(csv.reader(io.StringIO(groups_csv(groups).decode())))
    assert rows == [["path", "group"], ["a, b.png", "g0001"], ['c"d.png', "g0002"], ["é.png", "g0001"]]
