"""The words of a command line before Hydra sees them: what the shell tore apart, and values that need quotes."""

import contextlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

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


MAPPING = "data.prior"
"""The setting that holds numbers by name."""
_ENTRY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s"'{}:,\\](?:[^"{}:,\\]*[^\s"{}:,\\])?))\s*:\s*([-+.\w]+)\s*""")
"""A name, in quotes or without, and a number."""
_MAPPING = re.compile(rf"{{{_ENTRY.pattern}(?:,{_ENTRY.pattern})*}}")
_NAME = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_][\w -]*", re.ASCII | re.IGNORECASE)
"""A name that Hydra takes, and takes for a text: no number, and no quotes, for it knows none around names."""


def quoted_values(words: Sequence[str]) -> list[str]:
    r"""Return the words with quotes around paths, and mappings, that Hydra would not take as they are.

    >>> quoted_values(["data.root=~/my photos (1)", "data.root=a,b", "data.root=photos"])
    ["data.root='~/my photos (1)'", 'data.root=a,b', 'data.root=photos']
    >>> print(*quoted_values([r"data.group=pattern:^([^_]+)_\d{2,}"]))
    data.group='pattern:^([^_]+)_\d{2,}'
    >>> print(*quoted_values(["data.prior={1e3:0.9,dog:0.1}"]))
    data.prior='{"1e3":0.9,"dog":0.1}'
    """
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    key, sign, value = word.partition("=")
    if key == MAPPING:
        text = _named(value)
    elif key in PATHS and (value.startswith(_PATTERN) or not (_PLAIN.fullmatch(value) or _GRAMMAR.fullmatch(value))):
        text = value
    else:
        text = None
    return word if text is None else f"{key}{sign}{QuotedString(text=text, quote=Quote.single).with_quotes()}"


def _named(value: str) -> str | None:
    """Return a mapping as JSON, its names as they were typed; None where Hydra takes them so, or it is no mapping."""
    if not _MAPPING.fullmatch(value):
        return None
    entries = [(one or other or bare, number) for one, other, bare, number in _ENTRY.findall(value[1:-1])]
    if all(_NAME.fullmatch(name) for name, _ in entries) and not set(value) & set("\"'"):
        return None
    try:
        return json.dumps({name: float(number) for name, number in entries}, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return None


def unquoted_values(words: Sequence[str]) -> list[str]:
    """Return the words as a person types them: without the quotes that `quoted_values` puts around a value.

    >>> unquoted_values(["data.root='~/my photos (1)'", "data.root='a,b'"])
    ['data.root=~/my photos (1)', "data.root='a,b'"]
    """
    bare = [f"{key}={value[1:-1]}" for key, _, value in (word.partition("=") for word in words)]
    return [plain if _quoted(plain) == word else word for plain, word in zip(bare, words, strict=True)]


def path_word(key: str, path: str) -> str:
    """Return an override that states a path, as `quoted_values` or Hydra takes it.

    >>> path_word("data.root", "my photos (1)"), path_word("data.root", "a,b")
    ('data.root=my photos (1)', 'data.root="a,b"')
    """
    if not _GRAMMAR.fullmatch(path):
        return f"{key}={path}"
    return f"{key}={QuotedString(text=path, quote=Quote.double).with_quotes()}"


def of_folder(words: str) -> str:
    """Return what to type for the images of a folder, to add to a message; "" where the words name none.

    >>> of_folder("/"), of_folder("nowhere")
    ('; for the images in that folder: data=folder data.root=/', '')
    """
    there = False
    with contextlib.suppress(OSError, RuntimeError):  # too long for a name, or the home of a user who is not there
        there = Path(words).expanduser().is_dir()
    return f"; for the images in that folder: data=folder {shlex.quote(f'data.root={words}')}" if there else ""


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
        return f"{whole} is no override such as labels=20: give key=value{of_folder(whole)}"
    if len(group) == 1:
        return None
    of_images = of_folder(" ".join(group[1:]))
    if of_images and first.partition("=")[0] not in PATHS:
        return f"{' '.join(group[1:])} is no override such as labels=20: give key=value{of_images}"
    return (
        f"{' '.join(group[1:])} stands apart from {first}, for the shell begins another word at a blank; if the value "
        f"has one, quote it: {shlex.quote(whole)}"
    )
