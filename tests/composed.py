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
from tlexp.paths import conf_folder

LOAD = CheckedLoader._load_configuration_impl
CHOICES = (*GROUPS, "experiment", *PARTS, "hydra/launcher")
OF_HYDRA = ("hydra.mode", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.name")
"""Values of Hydra's own that change nothing else."""
_LOADED: dict[tuple[Any, ...], DictConfig] = {}


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
    """Return what choices compose to: where each states keys of its own, those are taken from what it composes to."""
    parts = [word for word in choices if word.key_or_group in (*PARTS, "hydra/launcher")]
    stated = [(word, _stated(word)) for word in choices if word not in parts]
    keys = [key for _, each in stated for key in each or () if key != "hydra"]
    if any(each is None for _, each in stated) or len(set(keys)) < len(keys):  # anything may be said, in any order
        return deepcopy(_loaded(load, *choices, way=way))
    of_hydra = [*parts, *(word for word, each in stated if "hydra" in (each or ()))]
    made = deepcopy(_loaded(load, *of_hydra))
    for word, each in stated:
        if word not in of_hydra:
            for key in each or ():
                made._set_item_impl(key, deepcopy(_loaded(load, word)._get_node(key)))
            made.hydra.runtime.choices[word.key_or_group] = word.value()
    return made


def _loaded(load: Callable[[list[str]], DictConfig], *words: Override, way: tuple[Any, ...] = ()) -> DictConfig:
    """Return what words compose to; options compose to the same in each way."""
    lines = [str(word.input_line) for word in words]
    if (*way, *lines) not in _LOADED:
        _LOADED[*way, *lines] = load(lines)
    return _LOADED[*way, *lines]


def _stated(word: Override) -> frozenset[str] | None:
    """Return the keys that an option's file states; None where it chooses other files, or where there is none."""
    if not _is_choice(word):
        return None
    path = conf_folder() / word.key_or_group / f"{word.value()}.yaml"
    return _keys(path, word.key_or_group) if path.is_file() else None


@functools.cache
def _keys(path: Path, group: str) -> frozenset[str] | None:
    text = path.read_text()
    keys = {str(key) for key in OmegaConf.create(text)}
    if "defaults" in keys:
        return None
    return frozenset(keys) if "@package" in text else frozenset([group])


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
