import pytest

from tests.composed import load
from tlexp.compose.words import quoted_values
from tlexp.config import config_key
from tlexp.config.data import DataConfig
from tlexp.config.prior import prior_shares
from tlexp.errors import ConfigError


def refused(prior: dict[str, float]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        prior_shares(prior, ["cat", "dog", "red fox"])
    return list(error.value.problems)


def test_a_class_that_is_not_there_is_named_with_those_alike() -> None:
    [problem] = refused({"cat": 0.5, "dog": 0.2, "red fox": 0.2, "dogs": 0.1})
    assert problem == (
        "data.prior names dogs, and there is no such class (did you mean dog?): the classes are cat, dog, red fox"
    )


def test_a_class_without_a_share_is_named() -> None:
    [problem] = refused({"cat": 0.9, "dog": 0.1})
    assert problem == "data.prior gives no share to red fox: give each class one, all of them adding up to 1"


@pytest.mark.parametrize(
    ("prior", "problem"),
    [
        ({"a": 1.0}, "data.prior={a}: give each class a share, of two classes at least"),
        ({"a": 0.6, "b": 0.6}, "data.prior: the shares must add up to 1, these add up to 1.2; divide each by that"),
        (
            {"a": 1.0, "b": 0.0},
            "data.prior={b:0}: each share must be above 0; data.classes leaves out a class that never comes",
        ),
    ],
)
def test_shares_are_positive_and_add_up_to_1(prior: dict[str, float], problem: str) -> None:
    assert DataConfig(prior=prior).problems() == [problem]
    assert DataConfig(prior={"a": 1 / 3, "b": 1 / 3, "c": 0.3333333}).problems() == []


def test_it_is_typed_as_a_mapping_in_any_order() -> None:
    one, other = (load([f"data.prior={{{words}}}"]).config for words in ("red fox:0.9,2:0.1", "2:0.1,red fox:0.9"))
    assert one.data.prior == {"red fox": 0.9, "2": 0.1}
    assert config_key(one) == config_key(other)
    assert config_key(one) != config_key(load(["data.prior={red fox:0.8,2:0.2}"]).config)


NAMES = ["1e3", "1_000", "007", "True", "null", "dög", "O'Neil", "a (b)", "a/b", "two words"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_as_it_is_typed(name: str) -> None:
    for typed in (name, f'"{name}"'):
        assert load(quoted_values([f"data.prior={{{typed}:0.9,dog:.1}}"])).config.data.prior == {name: 0.9, "dog": 0.1}


@pytest.mark.parametrize("name", ["a,b", "a:b", "{a}", "a\\", ""])
def test_signs_of_a_mapping_need_quotes_in_a_name(name: str) -> None:
    assert load(quoted_values([f'data.prior={{"{name}":0.9,dog:0.1}}'])).config.data.prior == {name: 0.9, "dog": 0.1}
    with pytest.raises(ConfigError, match=r"in names as well, 'data\.prior=\{\"a,b\":0\.9,dog:0\.1\}'"):
        load(quoted_values(["data.prior={a,b:0.9,dog:0.1}"]))


@pytest.mark.parametrize(("name", "meant"), [("1000.0", '"1e3"'), ("7", '"007"')])
def test_a_name_that_became_a_number_is_offered_as_it_is_written(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as error:
        prior_shares({name: 0.9, "dog": 0.1}, ["1e3", "007", "dog"])
    assert f"did you mean {meant}, in quotes, without which it is read as a number?" in error.value.problems[0]


def test_a_null_in_place_of_a_name_is_told() -> None:
    with pytest.raises(ConfigError, match=r'null is none unless it stands in quotes, .\{"null":0\.9'):
        load(["data.prior={null:0.9,dog:0.1}"])


@pytest.mark.parametrize("words", ["'no json'", "'[0.5]'", '"{}"', "[0.9,0.1]", "0.5", "{}", "{cat:much}"])
def test_anything_else_is_refused_with_an_example(words: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.prior=.*: must be (numbers by name|a finite number)"):
        load([f"data.prior={words}"])
