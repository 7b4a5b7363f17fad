"""Configurations for tests: each option is composed once, for a composition takes a tenth of a second.

What chooses several options is put together of what each composes to. Half of a small study is composing, so all
commands share as well; what composes is tested without that.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

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
_OWN: dict[str, bool] = {}


def share() -> None:
    """Let all commands of the tests share what they compose."""
    CheckedLoader._load_configuration_impl = _shared  # type: ignore[method-assign]


def foresee(words: Sequence[str]) -> None:
    """Compose the options among words, so that commands in forks of this process find them composed."""
    options = [word for word in words if word.partition("=")[0] in CHOICES]
    with contextlib.suppress(ConfigError):
        hydra_of(ConfigSource()).config_loader.load_configuration("config", options, RunMode.RUN)


def _shared(
    self: CheckedLoader, config_name: str | None, overrides: list[str], run_mode: RunMode, **options: bool
) -> DictConfig:
    """Return what Hydra composes, where all files are tlexp's own from a copy of what the choices compose to."""
    own = config_name == "config" and str(self.config_search_path) == str(search_path(ConfigSource()))
    if not own:
        return LOAD(self, config_name, overrides, run_mode, **options)
    words = parse_overrides(overrides)
    values = [word for word in words if _is_value(word, run_mode)]
    choices = [word for word in words if word not in values]
    if not all(map(_is_choice, choices)):  # what adds and deletes needs its place
        values, choices = [], words
    way = run_mode, *options.items()
    made = _of_choices(lambda chosen: LOAD(self, config_name, chosen, run_mode, **options), way, choices)
    self._parse_overrides_and_create_caching_repo(config_name, overrides)  # which refuses
    ConfigLoaderImpl._apply_overrides_to_config([word for word in values if not word.is_sweep_override()], made)
    _write_down(words, made)
    return made


def _of_choices(load: Callable[[list[str]], DictConfig], way: tuple[Any, ...], choices: list[Override]) -> DictConfig:
    """Return what choices compose to: of options that change their own group alone, each group as it is by itself."""
    own = [word for word in choices if word.key_or_group not in (*PARTS, "hydra/launcher")]
    distinct = len({word.key_or_group for word in own}) == len(own)
    if not distinct or not all(
        word.key_or_group in GROUPS and _is_choice(word) and _is_own(load, word) for word in own
    ):
        return deepcopy(_loaded(load, *choices, way=way))
    made = deepcopy(_loaded(load, *(word for word in choices if word not in own)))
    for word in own:
        group = word.key_or_group
        made._set_item_impl(group, deepcopy(_loaded(load, word)._get_node(group)))
        made.hydra.runtime.choices[group] = word.value()
    return made


def _loaded(load: Callable[[list[str]], DictConfig], *words: Override, way: tuple[Any, ...] = ()) -> DictConfig:
    """Return what words compose to; options compose to the same in each way."""
    lines = [str(word.input_line) for word in words]
    if (*way, *lines) not in _LOADED:
        _LOADED[*way, *lines] = load(lines)
    return _LOADED[*way, *lines]


def _is_own(load: Callable[[list[str]], DictConfig], word: Override) -> bool:
    """Return whether an option changes the settings of its own group alone."""
    line, group = str(word.input_line), word.key_or_group
    if line not in _OWN:
        _OWN[line] = _without(_loaded(load, word), group) == _without(_loaded(load), group)
    return _OWN[line]


def _without(config: DictConfig, group: str) -> dict[str, Any]:
    """Return plain values of a configuration, without those of a group and those that say what was chosen."""
    values: Any = OmegaConf.to_container(config, resolve=False)
    hydra = values["hydra"]
    del values[group], hydra["runtime"]["choices"], hydra["overrides"], hydra["job"]["override_dirname"]
    return dict(values)


def _is_value(word: Override, run_mode: RunMode) -> bool:
    if word.type is not OverrideType.CHANGE or word.package is not None:
        return False
    if word.is_sweep_override():  # which Hydra refuses in a single run, and leaves to the jobs in others
        return run_mode is RunMode.MULTIRUN and not word.is_hydra_override()
    return word.key_or_group in config_fields() or word.key_or_group in OF_HYDRA


def _is_choice(word: Override) -> bool:
    plain = word.type is OverrideType.CHANGE and word.package is None and not word.is_sweep_override()
    return plain and word.key_or_group in CHOICES


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
