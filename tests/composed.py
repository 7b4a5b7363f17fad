"""Configurations for tests: those that choose the same options share a composition, which takes a tenth of a second.

Half of a small study is composing, so all commands share as well; what composes is tested without that.
"""

import functools
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig

from tlexp.compose.checked_loader import PARTS, CheckedLoader
from tlexp.compose.compositions import Compositions
from tlexp.compose.config_files import search_path
from tlexp.compose.load import Composed, ConfigSource, hydra_of
from tlexp.compose.load import load as border
from tlexp.compose.overrides import parse_overrides
from tlexp.config import GROUPS, config_fields
from tlexp.errors import ConfigError

LOAD = CheckedLoader._load_configuration_impl
CHOICES = (*GROUPS, "experiment", *PARTS, "hydra/launcher")
OF_HYDRA = ("hydra.mode", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.name")
"""Values of Hydra's own that change nothing else."""
_LOADED: dict[tuple[Any, ...], DictConfig] = {}


def share() -> None:
    """Let all commands of the tests share what they compose."""
    CheckedLoader._load_configuration_impl = _shared  # type: ignore[method-assign]


def _shared(
    self: CheckedLoader, config_name: str | None, overrides: list[str], run_mode: RunMode, **options: bool
) -> DictConfig:
    """Return what Hydra composes, where all files are tlexp's own from a copy of what the choices compose to."""
    words = parse_overrides(overrides)
    values = [word for word in words if _is_value(word)]
    choices = [word for word in words if word not in values]
    if str(self.config_search_path) != str(search_path(ConfigSource())) or not all(map(_is_choice, choices)):
        return LOAD(self, config_name, overrides, run_mode, **options)
    chosen = [str(word.input_line) for word in choices]
    place = config_name, *chosen, run_mode, *options.items()
    if place not in _LOADED:
        _LOADED[place] = LOAD(self, config_name, chosen, run_mode, **options)
    made = deepcopy(_LOADED[place])
    self._parse_overrides_and_create_caching_repo(config_name, overrides)  # which refuses
    ConfigLoaderImpl._apply_overrides_to_config(values, made)
    _write_down(words, made)
    return made


def _is_value(word: Override) -> bool:
    return (
        word.type is OverrideType.CHANGE
        and word.package is None
        and not word.is_sweep_override()
        and (word.key_or_group in config_fields() or word.key_or_group in OF_HYDRA)
    )


def _is_choice(word: Override) -> bool:
    return word.type is OverrideType.CHANGE and word.package is None and word.key_or_group in CHOICES


def _write_down(words: Sequence[Override], made: DictConfig) -> None:
    """Let Hydra's node say where it was composed, and of which words."""
    of_hydra = [word for word in words if word.is_hydra_override()]
    others = [word for word in words if not word.is_hydra_override()]
    said = {word.key_or_group for word in of_hydra}
    parts = [f"{part}={option}" for part, option in PARTS.items() if part not in said]
    made.hydra.overrides.hydra = [*parts, *(word.input_line for word in of_hydra)]
    made.hydra.overrides.task = [word.input_line for word in others]
    made.hydra.runtime.cwd = str(Path.cwd())
    style = made.hydra.job.config.override_dirname
    made.hydra.job.override_dirname = get_overrides_dirname(others, style.exclude_keys, style.item_sep, style.kv_sep)


@functools.cache
def composed(*words: str) -> Composed:
    """Return the configuration of the words, with the small backbone if they name none; nobody changes it."""
    chosen = any(word.startswith(("backbone=", "experiment=")) for word in words)
    return load(words if chosen else ("backbone=tiny", *words))


def load(words: Sequence[str]) -> Composed:
    """Return what `tlexp.compose.load.load` does, to be changed at will."""
    try:
        return _compositions(Path.cwd()).typed(words)
    except ConfigError:
        return border(words)  # which says all that is wrong


@functools.cache
def _compositions(folder: Path) -> Compositions:
    loader = hydra_of(ConfigSource()).config_loader
    return Compositions(lambda words: loader.load_configuration("config", words, RunMode.RUN, from_shell=False))
