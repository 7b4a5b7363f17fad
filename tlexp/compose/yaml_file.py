"""YAML files, read within bounds: their text says what is wrong before anything is built of it.

A file of a few lines can stand for a billion values, by names for parts that are made of such parts, or for a nesting
that no program can follow. So it is gone through event by event, which builds nothing.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent

from tlexp.compose.interpolation import DEEPEST, text_problems
from tlexp.errors import ConfigError
from tlexp.paths import open_regular

LARGEST = 100_000
"""Bytes of a file."""
MOST = 10_000
"""Values of a file, with all that its aliases stand for."""
LONGEST = 3_000
"""Signs of a value: a number of more could not be shown any more."""
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}
"""What may be said of a value's type; everything else makes an object."""


def read_text(path: Path) -> str:
    """Return the text of a file of settings.

    Raises:
        ConfigError: It cannot be read, is too large, no text, or no YAML that can be built.
    """
    try:
        with open_regular(path, empty=True) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a file of settings") from error
    if len(content) > LARGEST:
        raise ConfigError(f"{path}: has more than {LARGEST:,} bytes; a file of settings is smaller: name another one")
    try:
        text = content.decode()
        for problem in _problems(text):
            raise ConfigError(f"{path}:{problem}")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is no text in UTF-8 ({error.reason}, byte {error.start}); save it as one"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:{_told(error)}; mend the line, or name another file") from error
    return text


def build(text: str, path: Path) -> Any:
    """Return what a text holds, as OmegaConf has it.

    Raises:
        ConfigError: It holds no mapping and no list, a key twice, or a value that is none.
    """
    try:
        return OmegaConf.load(io.StringIO(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:{_told(error)}; mend the line, or name another file") from error
    except (OSError, ValueError, TypeError) as error:  # OmegaConf's own word for a single value is OSError
        raise ConfigError(f"{path}: {error}; a file of settings holds lines such as `labels: 20`") from error


@dataclass
class _Open:
    """A mapping or list that is not read to its end."""

    anchor: str | None
    before: int
    height: int = 0


def _problems(text: str) -> Iterator[str]:
    """Yield what is wrong with a text, each with its line; going on after the first could take for ever."""
    opened: list[_Open] = []
    named: dict[str, tuple[int, int]] = {}
    count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        size, height = 1, 0
        if isinstance(event, CollectionEndEvent):
            ended = opened.pop()
            size, height = 0, ended.height + 1
            named[ended.anchor or ""] = count - ended.before, height
        elif isinstance(event, AliasEvent):
            if event.anchor not in named:
                yield f"{line}: *{event.anchor} stands inside what it names, or before it; write the values there"
                return
            size, height = named[event.anchor]
        elif isinstance(event, CollectionStartEvent):
            opened.append(_Open(event.anchor, count))
        elif isinstance(event, ScalarEvent):
            named[event.anchor or ""] = 1, 0
        else:
            continue
        count += size
        if opened and height:
            opened[-1].height = max(opened[-1].height, height)
        yield from _beyond(event, line, count, len(opened) + height)


def _beyond(event: Event, line: int, count: int, depth: int) -> Iterator[str]:
    """Yield which bound is passed at an event."""
    tag = getattr(event, "tag", None)
    if tag is not None and tag not in _TAGS:
        yield f"{line}: the tag {tag} makes an object; a configuration holds plain values: remove the tag"
    if count > MOST:
        yield f"{line}: more than {MOST:,} values, with all that aliases (*name) stand for; write fewer"
    if depth > DEEPEST:
        yield f"{line}: more than {DEEPEST} levels of nesting; no setting has so many: write fewer"
    if isinstance(event, ScalarEvent) and len(event.value) > LONGEST:
        yield f"{line}: a value of more than {LONGEST:,} signs; no setting takes so many: write fewer"
    elif isinstance(event, ScalarEvent) and "${" in event.value:
        yield from (f"{line}: {problem}" for problem in text_problems(event.value))


def _told(error: yaml.YAMLError) -> str:
    """Return line and problem of an error of the YAML library."""
    mark = getattr(error, "problem_mark", None)
    place = "" if mark is None else f"{mark.line + 1}:"
    text = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{place} no valid YAML, {text}"
