from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlexp.api.words import overrides
from tlexp.compose.load import load
from tlexp.compose.overrides import parse_overrides
from tlexp.errors import ConfigError

TEXTS = [
    *("a, b's", 'say "no"', "[x]", "{a: b}", "a=b", "ends in a \\", "\\'", "$HOME", "  blanks  ", "", "null", "True"),
    *("1e3", "007", "nan", "-x", "+x", "~x", "a#b", "über", "日本", "x(1)", "interval(0,1)", "a:b", "*", "@", "a\tb"),
    *("my photos", "null 1", "a 1e3 -x", "a  b", "a b "),
]


def value(word: str) -> Any:
    [parsed] = parse_overrides([word])
    assert not parsed.is_sweep_override()
    found = parsed.value()
    return [getattr(each, "text", each) for each in found] if isinstance(found, list) else getattr(found, "text", found)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_arrives_as_it_is_whatever_signs_it_holds(text: str) -> None:
    [word] = overrides([], {"data.root": text})
    assert value(word) == text
    [word] = overrides([], {"data.classes": [text, text]})
    assert value(word) == [text, text]


def test_blanks_take_no_quotes_but_those_of_the_shell() -> None:
    words = overrides(["data=folder"], {"data.root": "/my photos/of 2026", "data.classes": ["big cat", "dog"]})
    assert words[1:] == ["data.root=/my photos/of 2026", "data.classes=[big cat,dog]"]
    config = load(words).config
    assert (config.data.root, config.data.classes) == ("/my photos/of 2026", ["big cat", "dog"])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (None, "x=null"),
        (True, "x=true"),
        (20, "x=20"),
        (1e-5, "x=1e-05"),
        (np.float32(0.5), "x=0.5"),
        (np.int64(3), "x=3"),
        (np.array([1, 2]), "x=[1,2]"),
        (Path("/tmp/photos"), "x=/tmp/photos"),
        (("a", None, [1.5]), "x=[a,null,[1.5]]"),
        ({"cat": 0.9}, """x='{"cat": 0.9}'"""),
    ],
)
def test_values_are_written_as_hydra_reads_them(given: object, word: str) -> None:
    assert overrides([], {"x": given}) == [word]


def test_texts_pass_through_the_whole_composition() -> None:
    words = overrides(["data=folder"], {"data.root": "a, b's (1)", "data.classes": TEXTS[:3], "labels": "0.1"})
    config = load(words).config
    assert (config.data.root, config.data.classes, config.labels) == ("a, b's (1)", TEXTS[:3], "0.1")


def test_a_list_is_gone_through_where_a_setting_takes_none() -> None:
    assert overrides([], {"labels": [5, "all", "a,b"]}, swept=True) == ["labels=5,all,'a,b'"]
    assert overrides([], {"study.labels": [5, 20]}, swept=True) == ["study.labels=[5,20]"]
    with pytest.raises(ConfigError, match=r"^labels=\[2, 5\]: it takes one value; tlexp.sweep goes .* \[\.\.\.\]}$"):
        overrides([], {"labels": [2, 5]})
    with pytest.raises(ConfigError, match=r"^freeze=\('all', 'none'\): it takes one value; .* through several$"):
        overrides([], {"freeze": ("all", "none")})
    with pytest.raises(ConfigError, match=r"^freeze=\[\] holds no value to go through"):
        overrides([], {"freeze": []}, swept=True)


def test_what_is_no_word_and_no_value_is_told() -> None:
    with pytest.raises(ConfigError, match=r"20 is no word such as 'labels=20'.*\n-m is a flag of the command line"):
        overrides([20, "-m"], {})  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"^labels=<object object at .*: a setting takes .* and this is a object$"):
        overrides([], {"labels": object()})
