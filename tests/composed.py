"""Configurations for tests: those that choose the same options share a composition, which takes a tenth of a second."""

import functools
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig

from tlexp.compose.checked_loader import CheckedLoader
from tlexp.compose.compositions import Compositions
from tlexp.compose.config_files import search_path
from tlexp.compose.load import Composed, ConfigSource, hydra_of
from tlexp.compose.load import load as border
from tlexp.errors import ConfigError

LOAD = CheckedLoader.load_configuration
_LOADED: dict[tuple[Any, ...], DictConfig] = {}


def share() -> None:
    """Let all commands of the tests share what they compose; what composes is tested without that."""
    CheckedLoader.load_configuration = _shared  # type: ignore[method-assign]


def _shared(
    self: CheckedLoader, config_name: str | None, overrides: list[str], run_mode: RunMode, **options: bool
) -> DictConfig:
    """Return a copy of what the words compose to, where they were composed before and all files are tlexp's own."""
    if str(self.config_search_path) != str(search_path(ConfigSource())):
        return LOAD(self, config_name, overrides, run_mode, **options)
    words = config_name, *overrides, run_mode, *options.items()
    if words not in _LOADED:
        _LOADED[words] = LOAD(self, config_name, overrides, run_mode, **options)
    made = deepcopy(_LOADED[words])
    made.hydra.runtime.cwd = str(Path.cwd())
    return made


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
