import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from tlexp.errors import ConfigError
from tlexp.sweeps.space import Axis, SweepSpace, build_space

PARSER = OverridesParser.create()


def space(*words: str) -> SweepSpace:
    return build_space(PARSER.parse_overrides(list(words)))


def axis(word: str) -> Axis:
    [found] = space(word).axes
    return found


def value_of(word: str) -> Any:
    return PARSER.parse_override(word).value()


texts = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="._-%:/@ "), min_size=1).map(
    lambda text: f"'{text}'"
)
plain = st.sampled_from(["1", "1.0", "0.10", ".1", "1e-3", "100%", "10%", "020", "1_000", "null", "true", "all", "a/b"])
numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)).map(repr)
values = st.one_of(texts, plain, numbers, st.lists(numbers, min_size=1, max_size=3).map(lambda v: f"[{','.join(v)}]"))


@given(st.lists(values, min_size=2, max_size=5))
def test_a_choice_means_what_its_values_mean_alone(written: list[str]) -> None:
    found = axis(f"head.dropout={','.join(written)}")
    alone = [value_of(f"head.dropout={value}") for value in written]
    chosen = [value_of(found.override(value)) for value in found.values or ()]
    for value in alone:
        assert any(type(value) is type(other) and value == other for other in chosen)
    assert len(chosen) == len({repr(value) for value in alone})


@given(st.lists(values, min_size=2, max_size=5), st.data())
def test_what_optuna_draws_is_a_value_again(written: list[str], data: st.DataObject) -> None:
    found = axis(f"head.dropout={','.join(written)}")
    drawn = data.draw(st.sampled_from(found.distribution().choices))
    assert found.text(drawn) in (found.values or ())
    assert found.sampled(found.text(drawn)) == drawn


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 7) | st.integers(-7, -1))
def test_a_range_ends_before_its_stop(start: int, stop: int, step: int) -> None:
    word = f"labels=range({start},{stop},{step})"
    expected = list(range(start, stop, step))
    if not expected:
        with pytest.raises(ConfigError, match="holds no value"):
            axis(word)
        return
    found = axis(word)
    assert found.values == tuple(map(str, expected))
    distribution = found.distribution()
    assert list(range(distribution.low, distribution.high + 1, distribution.step)) == sorted(expected)
    assert all(found.text(found.sampled(text)) == text for text in found.values)
    assert found.sampled(str(stop)) is None


@given(st.floats(0, 10), st.floats(0.01, 3), st.integers(2, 9), st.floats(0, 1))
def test_of_a_range_of_decimals_the_nearest_number_is_taken(low: float, step: float, count: int, place: float) -> None:
    found = axis(f"optim.lr=range({low!r},{low + count * step!r},{step!r})")
    drawn = found.low + place * (found.high - found.low)
    text = found.text(drawn)
    assert found.values is not None
    assert text in found.values
    assert abs(float(text) - drawn) <= min(abs(float(value) - drawn) for value in found.values)


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e3), st.booleans(), st.floats(0, 1))
def test_an_interval_keeps_every_bit_of_what_was_drawn(low: float, factor: float, log: bool, place: float) -> None:
    interval = f"interval({low!r},{low * factor!r})"
    found = axis(f"optim.lr=tag(log,{interval})" if log else f"optim.lr={interval}")
    distribution = found.distribution()
    assert (distribution.low, distribution.high, distribution.log) == (low, low * factor, log)
    drawn = min(low + place * (low * factor - low), low * factor)
    assert value_of(found.override(found.text(drawn))) == drawn
    assert found.sampled(found.text(drawn)) == drawn
    middle = float(found.middle())
    assert low <= middle <= low * factor or math.isclose(middle, low)


def test_whole_numbers() -> None:
    for word in ("labels=int(interval(5,100))", "train.steps=interval(4.5,100)"):
        found = axis(word)
        assert (type(found.distribution()).__name__, found.low, found.high) == ("IntDistribution", 5, 100)
        assert found.text(7) == "7"
    assert axis("optim.lr=interval(1,5)").text(2) == "2.0"


def test_a_logarithmic_range_has_no_values_between_its_own() -> None:
    found = axis("labels=tag(log,range(1,100,33))")
    assert found.values == ("1", "34", "67")
    assert type(found.distribution()).__name__ == "FloatDistribution"
    assert [found.text(number) for number in (1.0, 20.0, 66.9)] == ["1", "34", "67"]
    assert type(axis("labels=tag(log,range(1,100))").distribution()).__name__ == "IntDistribution"


def test_points_come_in_the_order_of_the_words_the_last_fastest() -> None:
    found = space("freeze=all,none", "tracking=off", "labels=5,20")
    assert list(found.points()) == [
        {"freeze": "all", "labels": "5"},
        {"freeze": "all", "labels": "20"},
        {"freeze": "none", "labels": "5"},
        {"freeze": "none", "labels": "20"},
    ]
    assert (found.size, found.finite) == (4, True)
    assert list(space("tracking=off").points()) == [{}]
    assert found.holds({"freeze": "all", "labels": "20"})
    assert not found.holds({"freeze": "all", "labels": "21"})
    assert not found.holds({"freeze": "all"})


def test_a_point_of_an_interval_is_held_between_its_ends() -> None:
    found = space("optim.lr=interval(0.1,1)")
    assert [found.holds({"optim.lr": text}) for text in ("0.1", "1.0", "0.05", "many")] == [True, True, False, False]


def test_the_prefix_of_a_word_is_kept() -> None:
    assert axis("+experiment=shapes,photos").override("photos") == "+experiment=photos"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["hydra.launcher.n_jobs=1,2"], "hydra.launcher.n_jobs=1,2: Hydra's own settings cannot be swept"),
        (["resume=a,b"], "leave resume out"),
        (["labels=5,10", "labels=20"], "labels is given twice"),
        (["optim.lr=tag(log,interval(0,1))"], "the logarithm needs numbers above 0"),
        (["labels=tag(log,range(0,5))"], "the logarithm needs numbers above 0"),
        (["optim.lr=interval(1,1)"], "the first number must be below the second"),
        (["optim.lr=tag(lgo,interval(1,2))"], "tag lgo is not known"),
        (["freeze=tag(log,choice(all,none))"], "only an interval or a range"),
    ],
)
def test_what_cannot_be_swept_says_why(words: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        space(*words)
    assert text in str(refused.value)
