import re
from collections.abc import Iterator

import pytest

from tlexp.config.group import _MOST_STEPS, LONGEST_NAME
from tlexp.config.pattern import search_steps

SOUND = [
    r"^(.*?)_\d+",
    r"p\d+",
    r"^([^_]+)_([^_]+)_(\d+)\.",
    r"(?:[^_]+_){2}",
    r"^(?:\w+-){1,3}",
    r"(?P<patient>\w+?)_scan\d+",
    r"[^_]++x",
    r"(?>a+)+b",
    r"^(?=(a+))\1b",
    r"^(.+)-(\d{4})-(\d{2})-(\d{2})",
    r"(?i)patient-?\d+",
    r"^(.*)_(.*)_(.*)$",
    r"(.*)_(.*)_",
    r"(.+)_\d+_\d+\.png$",
    r"^(\w+)\w+\w+\d$",
    r"^(?:(a)?){22}[xy]",
]
ENDLESS = [
    r"(a+)+$",
    r"(a|a)*b",
    r"(.*)*x",
    r"(\w+\s?)*$",
    r"(a|ab|b)*c",
    r".*.*.*.*x",
    r"(x{1,100}){1,100}y",
    r"(?:a?){200}b",
    r"((a*)*)*b",
    r"^(?:(?=a)a+)+$",
    r"^(?:[a-z]+[b]?)+\d",
    r"(?i)^([^a]+A[^a]+A)+$",
    r"^((?:[^_]+_?)+)\d",
]
WORST = ["a" * LONGEST_NAME, "_" * LONGEST_NAME, "p1-" * (LONGEST_NAME // 3), "ab_" * (LONGEST_NAME // 3) + "!"]


@pytest.mark.parametrize("pattern", SOUND)
def test_ordinary_expressions_are_taken_and_end_on_the_worst_names(pattern: str) -> None:
    assert search_steps(pattern, length=LONGEST_NAME) <= _MOST_STEPS
    for name in WORST:
        re.search(pattern, name)


@pytest.mark.parametrize("pattern", ENDLESS)
def test_what_may_be_searched_for_ever_is_found(pattern: str) -> None:
    assert search_steps(pattern, length=LONGEST_NAME) > _MOST_STEPS


@pytest.mark.parametrize(
    "pattern", ["^a{2000000000}", "a{256}", "^(?:ab){3000000,}$", "^x?a{999999}+", "^(?:a{9999}){9999}"]
)
def test_what_is_longer_than_every_name_is_counted_no_further(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    def counted(end: int) -> Iterator[int]:
        nonlocal turns
        for number in range(end):
            turns += 1
            assert turns <= LONGEST_NAME, "goes on"
            yield number

    monkeypatch.setattr("tlexp.config.pattern.range", counted, raising=False)
    assert search_steps(pattern, length=LONGEST_NAME) < _MOST_STEPS


def test_what_may_be_nothing_repeats_as_often_as_it_says() -> None:
    for pattern in ("^(?:x|(?:(a)|[ab]){300})", "(?:(a)|b){2000000000}"):  # tried to the end of the name all the same
        assert search_steps(pattern, length=LONGEST_NAME) > _MOST_STEPS
    assert search_steps("^(?:a?){300}b", length=LONGEST_NAME) > _MOST_STEPS
    assert search_steps("^(?:){2000000000}b", length=LONGEST_NAME) > _MOST_STEPS


def test_a_repeat_counts_once_only_where_its_end_is_in_no_doubt() -> None:
    sure, doubtful, folded = (
        search_steps(pattern, length=100) for pattern in (r"^[^_]+_\d+x", r"^[^_]+a\d+x", r"(?i)^[^_]+_\d+x")
    )
    assert sure < 1000 < doubtful
    assert folded > 1000


@pytest.mark.parametrize("pattern", ["(", "[", "x{2,1}", "*", "x{99999999999999999999}", r"\q", "(" * 5000])
def test_what_is_no_expression_says_so(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        search_steps(pattern, length=10)
