"""From plain values, as YAML and command lines give them, to the typed configuration."""

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from tlexp.config.root import GROUPS, Config, config_fields
from tlexp.config.sweep import SweepConfig

_TIME = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)", re.ASCII)
"""A time as people write it, with its unit."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Of a unit, by its first letter."""
_TIMES = {"minutes": 60, "seconds": 1}
"""Seconds of the units that settings are named after."""


def build_config(values: Mapping[Any, Any], problems: list[str]) -> Config:
    """Return the typed configuration; unknown keys and wrong types are added to `problems`."""
    config: Config = _build(Config, values, "", problems)
    return config


def check_value(key: str, value: Any, problems: list[str]) -> None:
    """Add to `problems` what is wrong with one setting's value or name."""
    fields = config_fields()
    if key not in fields:
        problems.append(unknown_key(key))
    else:
        _convert(value, _hints()[key], key, fields[key].metadata["doc"], problems)


def check_sweep_value(name: str, value: Any, problems: list[str]) -> None:
    """Add to `problems` what is wrong with one setting of the sweeper, its value or its name."""
    fields = {entry.name: entry for entry in dataclasses.fields(SweepConfig)}
    key = f"hydra.sweeper.{name}"
    if name not in fields:
        problems.append(f"{key} is no setting of sweeps{nearest(name, fields)}; see tlexp --help")
    else:
        _convert(value, typing.get_type_hints(SweepConfig)[name], key, fields[name].metadata["doc"], problems)


def unknown_key(key: str) -> str:
    """Return the problem of a key that is no setting, with the nearest ones.

    In a group that there is only what follows it is compared: `study.` alone would make all of its settings look alike.
    """
    group, _, name = key.partition(".")
    inside = {each.partition(".")[2]: each for each in config_fields() if name and each.startswith(f"{group}.")}
    alike = nearest(name, inside, inside) if inside else nearest(key, [*config_fields(), *GROUPS, "experiment"])
    elsewhere = [each for each in config_fields() if each.partition(".")[2] == name]
    if name and not alike and elsewhere:
        alike = f" (did you mean {' or '.join(elsewhere[:3])}?)"
    return f"{key} is no setting of tlexp{alike}; see tlexp --help"


def takes_list(key: str) -> bool:
    """Return whether a setting is a list.

    >>> takes_list("study.labels"), takes_list("labels"), takes_list("data.classes")
    (True, False, True)
    """
    hint = _hints().get(key)
    return any(typing.get_origin(part) is list for part in (hint, *typing.get_args(hint)))


def nearest(name: str, known: Iterable[str], shown: Mapping[str, str] | None = None) -> str:
    """Return a question that offers the names that look alike, as they are shown, or nothing.

    >>> nearest("resnet5", ["resnet50", "vgg16"])
    ' (did you mean resnet50?)'
    """
    close = difflib.get_close_matches(name, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    told = [(shown or {}).get(each, each) for each in close]
    return f" (did you mean {' or '.join(told)}?)" if told else ""


def _hints() -> dict[str, Any]:
    """Return the annotation of every setting by its full key."""
    root = typing.get_type_hints(Config)
    nested = {f"{group}.{name}": hint for group in GROUPS for name, hint in typing.get_type_hints(root[group]).items()}
    return nested | {name: hint for name, hint in root.items() if name not in GROUPS}


def _build(cls: type[Any], values: Mapping[Any, Any], prefix: str, problems: list[str]) -> Any:
    """Return a configuration dataclass from plain values; what does not fit is added to `problems`."""
    hints = typing.get_type_hints(cls)
    fields = {entry.name: entry for entry in dataclasses.fields(cls)}
    built: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if name not in fields:
            problems.append(unknown_key(key))
        elif dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                problems.append(
                    f"{key}={value}: is a group of settings, not a value; name an option of it, or settings"
                )
                value = {}
            built[name] = _build(typing.cast(type[Any], hints[name]), value, f"{key}.", problems)
        else:
            built[name] = _convert(value, hints[name], key, fields[name].metadata["doc"], problems)
    return cls(**built)


def _convert(value: Any, hint: Any, key: str, doc: str, problems: list[str]) -> Any:
    """Return the value as the annotated type; a value that does not fit is added to `problems`."""
    try:
        return _cast(value, hint)
    except ValueError as error:
        unit = key.rpartition(".")[2].rpartition("_")[2]
        if isinstance(value, str) and unit in _TIMES:
            problems.append(f"{key}={value}: must be a number of {unit}, e.g. {key}={_time(value, unit):.10g}")
        else:
            problems.append(f"{key}={value}: must be {error}. {doc}")
        return None


def _time(text: str, unit: str) -> float:
    """Return in a unit what a text says, such as 8min or 2h; 8 where it says something else.

    >>> _time("8min", "minutes"), _time("2 hours", "minutes"), _time("1m", "seconds"), _time("long", "minutes")
    (8.0, 120.0, 60.0, 8)
    """
    found = _TIME.fullmatch(text.strip().lower())
    return 8 if found is None else float(found[1]) * _SECONDS[found[2][0]] / _TIMES[unit]


def _cast(value: Any, hint: Any) -> Any:
    """Return the value as the annotated type.

    Raises:
        ValueError: It does not fit; the message names what would.
    """
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        inner = next(part for part in typing.get_args(hint) if part is not type(None))
        return None if value is None else _cast(value, inner)
    if typing.get_origin(hint) is list:
        (inner,) = typing.get_args(hint)
        if inner is str and isinstance(value, str | int | float) and not isinstance(value, bool):
            value = [value]  # study.backbones=standard
        if not isinstance(value, list):
            alone = "..." if value is None or isinstance(value, dict) else value
            raise ValueError(f"a list of {inner.__name__}, e.g. '[{alone}]'")
        return [_cast(entry, inner) for entry in value]
    if typing.get_origin(hint) is dict:
        return _cast_mapping(value, typing.get_args(hint)[1])
    if issubclass(hint, StrEnum):
        if str(value) not in list(hint):
            raise ValueError(f"one of {', '.join(hint)}{nearest(str(value), hint)}")
        return hint(str(value))
    return _cast_scalar(value, hint)


def _cast_mapping(value: Any, hint: type[Any]) -> dict[str, Any]:
    """Return numbers by name; a text is read as JSON, which keeps names as they are written."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_int=float)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, Mapping) or not value:
        raise ValueError("numbers by name, e.g. '{cat:0.9,dog:0.1}'")
    if None in value:
        raise ValueError("numbers by name, and null is none unless it stands in quotes, '{\"null\":0.9,dog:0.1}'")
    return {_cast_scalar(name, str): _cast(entry, hint) for name, entry in value.items()}


def _cast_scalar(value: Any, hint: type[Any]) -> Any:
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value
    if hint is str:
        if value is None or isinstance(value, (list, dict)):
            raise ValueError("a text")
        return str(value).lower() if isinstance(value, bool) else str(value)
    kind = "a whole number" if hint is int else "a finite number"
    if isinstance(value, (bool, list, dict)) or value is None or (hint is int and isinstance(value, float)):
        raise ValueError(kind)
    try:
        number = hint(value)
    except ValueError:
        raise ValueError(kind) from None
    if not math.isfinite(number):
        raise ValueError(kind)
    return number
