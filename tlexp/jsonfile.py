"""JSON files of ours, which anybody may have damaged: one way to read them, and typed values of what they hold.

A dataclass is a JSON object. A field with the default None is left out while it is None, since no earlier version wrote
it; every other one stands as null.
"""

import dataclasses
import enum
import errno
import functools
import json
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never, TypeVar

from tlexp.paths import open_regular

T = TypeVar("T")
_MOST_BYTES = 256 << 20
"""No file of ours comes near; a larger one is not read."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; a pipe or a device in its place is not waited for.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
        ValueError: It is damaged; the reason in words.
    """
    return parse_json(_content(path))


def parse_json(content: bytes | str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        ValueError: It is none, is nested too deeply, names a key twice or holds a number that JSON does not have.
    """
    text = content if isinstance(content, str) else content.decode()
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return found


def to_json(value: object) -> Any:
    """Return a dataclass, or what one holds, as plain JSON values."""
    if dataclasses.is_dataclass(value):
        fields = ((entry, getattr(value, entry.name)) for entry in dataclasses.fields(value))
        return {entry.name: to_json(held) for entry, held in fields if not (held is None and entry.default is None)}
    if isinstance(value, Mapping):
        return {name: to_json(held) for name, held in value.items()}
    return [to_json(held) for held in value] if isinstance(value, list | tuple) else value


def from_json(kind: type[T], values: object, key: str, *, strict: bool = False) -> T:
    """Return the dataclass that JSON values hold.

    Args:
        kind: The dataclass.
        values: What stands in the file.
        key: Where it stands there.
        strict: Refuse keys that this version does not know, at any depth; else they are passed over.

    Raises:
        TypeError: A value has another type, or one that every version wrote is missing.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{key} is {abridged(values)}, not a block of values")
    hints = _hints(typing.cast(Any, kind))
    strange = sorted(map(str, values.keys() - hints.keys()))
    if strict and strange:
        raise TypeError(f"{key} has {abridged(strange[0])}, which this version does not know")
    held = {name: _typed(hint, values[name], f"{key}.{name}", strict) for name, hint in hints.items() if name in values}
    missing = _required(typing.cast(Any, kind)) - held.keys()
    lost = sorted(name for name in missing if not _takes_none(hints[name]))
    if lost:
        raise TypeError(f"{key} lacks {', '.join(lost)}")
    return kind(**dict.fromkeys(missing), **held)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass' fields, which are made of texts: half of what reading a record takes."""
    return typing.get_type_hints(kind)


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the generic type of an annotation, None for a plain one, and what stands in its brackets."""
    return typing.get_origin(hint), typing.get_args(hint)


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    """Return the fields of a dataclass that have no default."""
    plain = (entry for entry in dataclasses.fields(kind) if entry.default is entry.default_factory)
    return frozenset(entry.name for entry in plain)


def abridged(value: object) -> str:
    """Return a value as it stands in messages, 60 characters at most."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _content(path: Path) -> bytes:
    try:
        file = open_regular(path, empty=True)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EINVAL):  # nothing that freeing a disk would mend
            raise ValueError("it is not a regular file") from error
        raise
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > _MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes, of which at most {_MOST_BYTES:,} are read")
        return file.read(size)  # not the most that may be: as much memory would be asked for


def _no_number(text: str) -> Never:
    raise ValueError(f"it holds {text}, which is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text[:20])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names {abridged(next(name for name in names if names.count(name) > 1))} twice")
    return found


def _typed(hint: Any, value: object, key: str, strict: bool) -> Any:
    """Return a JSON value as the annotated type, numbers as they stand: 1 stays 1 where a float may be."""
    if hint is Any or type(value) is hint:  # most of a record
        return value
    origin, inner = _parts(hint)
    if origin is types.UnionType:
        return None if value is None else _typed(inner[0], value, key, strict)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type[Any], hint), value, key, strict=strict)
    if origin in (tuple, list) and isinstance(value, list | tuple):
        pairs = enumerate(_paired(inner, value, key))
        return origin(_typed(each, held, f"{key}[{place}]", strict) for place, (each, held) in pairs)
    if origin is dict and isinstance(value, Mapping):
        if inner[1] is Any:
            return dict(value)
        return {name: _typed(inner[1], held, f"{key}.{name}", strict) for name, held in value.items()}
    if isinstance(hint, enum.EnumType):
        return _chosen(hint, value, key)
    if origin is not None or not _is(value, hint):
        raise TypeError(f"{key} is {abridged(value)}, not {getattr(hint, '__name__', hint)}")
    return value


def _paired(hints: tuple[Any, ...], values: list[Any] | tuple[Any, ...], key: str) -> list[tuple[Any, Any]]:
    """Return each item with its type: one for all of them, or one for each."""
    if len(hints) == 1 or hints[1] is ...:
        return [(hints[0], held) for held in values]
    if len(hints) != len(values):
        raise TypeError(f"{key} has {len(values)} items, not {len(hints)}")
    return list(zip(hints, values, strict=True))


def _chosen(hint: enum.EnumType, value: object, key: str) -> Any:
    try:
        return hint(value)
    except ValueError as error:
        known = ", ".join(str(each) for each in typing.cast(Any, hint))
        raise TypeError(f"{key} is {abridged(value)}, none of {known}") from error


def _is(value: object, hint: Any) -> bool:
    """Return whether a value is of a plain type; true and false are no numbers."""
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def _takes_none(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)
