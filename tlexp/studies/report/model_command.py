"""What to type for a column of a study as a single run on all labels: the network that was recommended."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from tlexp.compose.words import unquoted_values
from tlexp.compose.yaml_file import read_text
from tlexp.paths import conf_folder
from tlexp.studies.analysis.table import StudyTable

_DROPPED = ("study", "hydra", "labels", "train.save_weights")
"""What a study says of itself, and of its replicates, whose weights nobody keeps."""
_ADDED = ("tune.validate=false", "data.evaluate=rest")
"""What it adds for itself: no folds of a single candidate, and test images that `labels=all` has not left."""
_DEFAULTS = ("tune.trials=0",)
"""What a column states and is so without it."""


def model_command(table: StudyTable, name: str | None) -> str | None:
    """Return the command for a column; None where the study does not say how it is made.

    An option of `study=` states more than the study, such as how candidates lie; that is spelled out.
    """
    stated = next((column.words for column in table.columns if column.name == name), ())
    if not stated:
        return None
    typed = shlex.split(str(table.about.get("study", {}).get("command", "")))[3:]
    added = [word for word in _ADDED if word not in typed]
    own = (word for word in stated if word not in added)
    words = list(_spelled((*typed, *own)))  # columns of early versions state their own words alone
    last = {_key(word): word for word in words}  # what is said later holds
    solved = "tune.trials=0" in stated
    kept = [
        word
        for key, word in last.items()
        if word not in _DEFAULTS and not _within(key, _DROPPED) and not (solved and key == "tune.search")
    ]
    return shlex.join(["python", "-m", "tlexp", *unquoted_values(kept), "labels=all"])


def _spelled(words: Iterable[str]) -> Iterator[str]:
    """Yield the words, what presets state besides the study before all others."""
    kept = []
    for word in words:
        group, _, option = word.partition("=")
        preset = _preset(group, option) if group in ("study", "experiment") else None
        if preset is None or (group == "experiment" and "override /study" not in _overridden(preset)):
            kept.append(word)
        else:
            yield from _spelled(_stated(preset))
    yield from kept


def _preset(group: str, option: str) -> Mapping[str, Any] | None:
    """Return what an option of ours says; None where there is none of that name."""
    path = conf_folder() / group / f"{option}.yaml"
    if not option.replace("_", "").isalnum() or not path.is_file():
        return None
    values = yaml.safe_load(read_text(path))
    return values if isinstance(values, Mapping) else {}


def _stated(preset: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an option says, as overrides."""
    for group, option in _overridden(preset).items():
        yield f"{group.removeprefix('override /')}={option}"
    yield from _settings({name: value for name, value in preset.items() if name not in ("defaults", "study", "hydra")})


def _overridden(preset: Mapping[str, Any]) -> dict[str, str]:
    entries: Sequence[Mapping[str, str]] = preset.get("defaults", ())
    return {group: option for entry in entries for group, option in entry.items()}


def _settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={_typed(value)}"


def _typed(value: object) -> str:
    """Return a value as Hydra takes it.

    >>> _typed(["2", "10"]), _typed(False), _typed(None), _typed("around")
    ('[2,10]', 'false', 'null', 'around')
    """
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _within(key: str, names: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
