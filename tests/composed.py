"""Configurations for tests: those that choose the same options share a composition, which takes a tenth of a second."""

import functools
from collections.abc import Sequence
from pathlib import Path

from hydra.types import RunMode

from tlexp.compose.compositions import Compositions
from tlexp.compose.load import Composed, ConfigSource, hydra_of
from tlexp.compose.load import load as border
from tlexp.errors import ConfigError


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
