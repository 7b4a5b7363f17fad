"""Bursts are told by names and features together; numbers alone, which all people's files have, make none."""

import numpy as np
import pytest

from tests.doctor.pictures import directions
from tlexp.doctor.bursts import find_bursts, numbered
from tlexp.doctor.grouping import group_images


def bursts(names: list[str], of: list[int], *, cosine: float = 0.85) -> list[list[int]]:
    """Return the images of each burst, given which images show the same."""
    features = directions(np.array(of), cosine=cosine)
    numbers = group_images(find_bursts(names, features), features).numbers
    return [
        members for number in range(numbers.max() + 1) if len(members := np.flatnonzero(numbers == number).tolist()) > 1
    ]


def numbers(count: int, form: str = "a/IMG_{:04}.jpg") -> list[str]:
    return [form.format(number) for number in range(count)]


def test_planted_bursts_are_found_whole_and_no_others() -> None:
    generator = np.random.default_rng(0)
    sizes = np.ones(300, int)
    sizes[generator.permutation(300)[:20]] = generator.integers(4, 7, 20)
    of = np.repeat(np.arange(300), sizes).tolist()
    wanted = [[place for place, own in enumerate(of) if own == number] for number in np.flatnonzero(sizes > 1)]
    assert bursts(numbers(len(of)), of) == wanted


def test_a_folder_that_is_numbered_throughout_is_no_burst() -> None:
    assert bursts(numbers(200), list(range(200))) == []


def test_nor_is_one_whose_images_are_all_alike() -> None:
    assert bursts(numbers(200), [0] * 200, cosine=0.79) == []


@pytest.mark.parametrize("apart", [4, 1000])
def test_images_that_are_alike_far_apart_are_no_burst(apart: int) -> None:
    names = numbers(50)
    of = list(range(50))
    names += [f"a/IMG_{50 + apart * number:04}.jpg" for number in range(1, 5)]
    assert bursts(names, [*of, 60, 60, 60, 60]) == []


def test_some_of_a_burst_may_be_missing() -> None:
    of = [*range(30), 40, 40, 40, *range(50, 80)]
    names = numbers(len(of) + 2)
    del names[31], names[32]
    assert bursts(names, of) == [[30, 31, 32]]


def test_frames_may_be_numbered_by_tens() -> None:
    names = [f"clip/frame-{10 * number:05}.png" for number in range(40)]
    assert bursts(names, [*range(20), 30, 30, 30, *range(40, 57)]) == [[20, 21, 22]]


def test_times_are_seconds_apart() -> None:
    taken = ["20240102_101157", "20240102_101203", "20240102_101230", "20240103_000001"]
    names = [*numbers(40), *(f"a/{time}.jpg" for time in taken)]
    assert bursts(names, [*range(40), 50, 50, 50, 50]) == [[40, 41]]


def test_a_burst_may_be_dealt_out_to_training_and_test() -> None:
    names = [f"{'test' if number % 5 == 0 else 'train'}/cats/{number}.jpg" for number in range(60)]
    assert bursts(names, [*range(30), 70, 70, 70, 70, *range(40, 66)]) == [[30, 31, 32, 33]]


def test_other_folders_and_forms_of_names_are_other_sequences() -> None:
    names = [*numbers(40), "b/IMG_0040.jpg", "a/DSC_0041.jpg", "a/IMG_0041_edit.jpg", "a/none.jpg"]
    assert bursts(names, [*range(39), 60, 60, 60, 60, 60]) == []


@pytest.mark.parametrize(
    ("name", "sequence", "number"),
    [
        ("a/x/007.png", ("x", "", ""), 7),
        ("1.png", ("", "", ""), 1),
        ("x/IMG_2 (3).jpg", ("x", "IMG_2 (", ")"), 3),
        ("x/99999999_999999.jpg", ("x", "99999999_", ""), 999999),
        ("x/" + "9" * 40 + ".jpg", ("x", "9" * 22, ""), int("9" * 18)),
    ],
)
def test_a_number_is_the_last_one(name: str, sequence: tuple[str, ...], number: int) -> None:
    told = numbered(name)
    assert told is not None
    assert (told.sequence, told.number, told.timed) == (sequence, number, False)


@pytest.mark.parametrize(
    "stem", ["20240102_101157", "IMG-20240102-101157", "PXL_20240102_101157345", "2024010210.11.57"]
)
def test_a_time_is_told_from_a_number(stem: str) -> None:
    told = numbered(f"a/{stem}.jpg")
    assert told is not None
    assert told.timed
    assert told.number % 86400 == 10 * 3600 + 11 * 60 + 57


@pytest.mark.parametrize("names", [[], ["a/1.png"], ["a/b.png", "a/c.png"], ["a/1.png", "b/1.png"]])
def test_there_may_be_no_sequence(names: list[str]) -> None:
    assert find_bursts(names, np.ones((len(names), 4), np.float32) / 2).shape == (0, 2)
