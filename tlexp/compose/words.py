"""The words of a command line before Hydra sees them: what the shell tore apart, and paths that need quotes."""

import re
import shlex
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.types import Quote, QuotedString

PATHS = (
    "data.root",
    "data.train",
    "data.test",
    "data.class_names",
    "data.group",
    "data.neither",
    "data.shifted",
    "backbone.weights",
    "cache.dir",
)
"""Settings that hold a path."""
_PLAIN = re.compile(r"[\w/\\+.$%*@?| :-]*", re.ASCII)
"""What Hydra takes without quotes."""
_PATTERN = "pattern:"
"""Begins a regular expression, which holds signs of all kinds and is one value."""
_GRAMMAR = re.compile(r".*[,'\"\[\]{}].*|\w+\(.*\)", re.DOTALL)
"""What may be meant for Hydra: several values, quotes, lists, interpolations, functions."""


def quoted_paths(words: Sequence[str]) -> list[str]:
    r"""Return the words with quotes around paths that Hydra would not take as they are.

    >>> quoted_paths(["data.root=~/my photos (1)", "data.root=a,b", "data.root=photos"])
    ["data.root='~/my photos (1)'", 'data.root=a,b', 'data.root=photos']
    >>> print(*quoted_paths([r"data.group=pattern:^([^_]+)_\d{2,}"]))
    data.group='pattern:^([^_]+)_\d{2,}'
    """
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    key, sign, value = word.partition("=")
    if key not in PATHS or (not value.startswith(_PATTERN) and (_PLAIN.fullmatch(value) or _GRAMMAR.fullmatch(value))):
        return word
    return f"{key}{sign}{QuotedString(text=value, quote=Quote.single).with_quotes()}"


def unquoted_paths(words: Sequence[str]) -> list[str]:
    """Return the words as a person types them: without the quotes that `quoted_paths` puts around a path.

    >>> unquoted_paths(["data.root='~/my photos (1)'", "data.root='a,b'"])
    ['data.root=~/my photos (1)', "data.root='a,b'"]
    """
    bare = [f"{key}={value[1:-1]}" for key, _, value in (word.partition("=") for word in words)]
    return [plain if _quoted(plain) == word else word for plain, word in zip(bare, words, strict=True)]


def torn_words(words: Sequence[str]) -> list[str]:
    """Return what is wrong with overrides that the shell tore apart at a blank.

    >>> torn_words(["seed=0", "labels=5,", "20"])
    ['labels=5, 20: a blank stands beside the comma, where the shell begins another word; write labels=5,20 with -m']
    """
    return [problem for group in _groups(words) if (problem := _torn(group)) is not None]


def _groups(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield each override with the words behind it that are none by themselves."""
    group: list[str] = []
    for word in words:
        if group and ("=" in word or word.startswith("~")):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _torn(group: list[str]) -> str | None:
    whole, first = " ".join(group), group[0]
    if any(word.endswith(",") or word.startswith(",") for word in group):
        meant = shlex.quote("".join(group).rstrip(","))
        if len(group) == 1:
            return f"{whole} ends in a comma, behind which nothing stands; write {meant}"
        each = "" if "[" in meant else " with -m"
        return f"{whole}: a blank stands beside the comma, where the shell begins another word; write {meant}{each}"
    if "=" not in first and not first.startswith("~"):
        return f"{first} is no override such as labels=20: give key=value"
    if len(group) == 1:
        return None
    return (
        f"{' '.join(group[1:])} stands apart from {first}, for the shell begins another word at a blank; if the value "
        f"has one, quote it: {shlex.quote(whole)}"
    )
