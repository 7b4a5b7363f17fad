"""Overrides from Python values: what a call says, in the words of the command line."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from tlexp.compose.words import quoted_values
from tlexp.config.casting import takes_list
from tlexp.config.root import GROUPS, config_fields
from tlexp.errors import ConfigError

_PLAIN = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_/][\w./-]*( [\w./-]+)*", re.ASCII | re.IGNORECASE)
"""A text that Hydra takes without quotes, and takes for a text."""


def overrides(words: Sequence[str], settings: Mapping[str, Any], *, swept: bool = False) -> list[str]:
    """Return the overrides of a call, as Hydra takes them.

    >>> overrides(["backbone=tiny"], {"labels": 20, "optim.lr": 1e-3, "data.root": "my photos, 2"})
    ['backbone=tiny', 'labels=20', 'optim.lr=0.001', "data.root='my photos, 2'"]
    >>> overrides([], {"data.root": "my photos"})  # as the shell hands it over
    ['data.root=my photos']
    >>> overrides([], {"freeze": ["all", "none"], "data.classes": ["cat", "dog"]}, swept=True)
    ['freeze=all,none', 'data.classes=[cat,dog]']

    Args:
        words: As they are typed on the command line.
        settings: By full name.
        swept: Whether a list for a setting that takes none holds the values to go through.

    Raises:
        ConfigError: A word is none, or a value cannot be a setting's.
    """
    if wrong := [problem for word in words for problem in _word_problems(word)]:
        raise ConfigError(wrong)
    return [*quoted_values(words), *(_stated(key, value, swept=swept) for key, value in settings.items())]


def _word_problems(word: Any) -> list[str]:
    if not isinstance(word, str):
        return [f"{word!r} is no word such as 'labels=20': state a value by its name, labels=20"]
    if word.startswith("-"):
        return [
            f"{word} is a flag of the command line: a call takes overrides such as 'labels=20'; sweeps, studies and "
            "folders of results are calls of their own, see help(tlexp)"
        ]
    return []


def _stated(key: str, value: Any, *, swept: bool) -> str:
    if isinstance(value, list | tuple) and _is_known(key) and not takes_list(key):
        if not value:
            raise ConfigError(f"{key}=[] holds no value to go through: name one or more")
        if not swept:
            budgets = '; those of a study are **{"study.labels": [...]}' if key == "labels" else ""
            raise ConfigError(f"{key}={value!r}: it takes one value; tlexp.sweep goes through several{budgets}")
        return f"{key}={','.join(_text(key, each) for each in value)}"
    return f"{key}={_text(key, value)}"


def _is_known(key: str) -> bool:
    return key in config_fields() or key in GROUPS


def _text(key: str, value: Any) -> str:
    """Return a value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str() | os.PathLike():
            text = os.fspath(value)
            return text if _PLAIN.fullmatch(text) else QuotedString(text=text, quote=Quote.single).with_quotes()
        case list() | tuple():
            return f"[{','.join(_text(key, each) for each in value)}]"
        case Mapping():
            return _text(key, json.dumps(dict(value), ensure_ascii=False))
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _text(key, value.tolist())
    raise ConfigError(
        f"{key}={value!r}: a setting takes None, True or False, numbers, texts, paths, and lists and mappings of them, "
        f"and this is a {type(value).__name__}"
    )
