"""The border to Hydra: command line and YAML in, one typed configuration out."""

import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlexp.compose.overrides import (
    forbidden_nodes,
    launcher_problems,
    leaves,
    override_problems,
    parse_overrides,
    plain_message,
    several_values,
    swept_choices,
)
from tlexp.compose.secrecy import guard_hydra, hide_variables, seen_name_problems, without_secrets
from tlexp.config import Config, config_values, key_values, run_values
from tlexp.config.casting import build_config
from tlexp.errors import ConfigError
from tlexp.paths import conf_folder, plugin_folder
from tlexp.secrets import learn_values, masked_values


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A typed configuration and its values as they may be shown.

    Attributes:
        config: What the run works with.
        shown: The same as plain values without secrets: what came from a variable stays `${oc.env:NAME}`.
    """

    config: Config
    shown: dict[str, Any]

    @property
    def references(self) -> dict[str, Any]:
        """The settings, by full name, that are shown as a reference."""
        return {name: value for name, value in leaves(self.shown) if "${" in str(value)}


@dataclass(frozen=True, kw_only=True)
class ConfigSource:
    """Where configurations are searched: Hydra's --config-name, --config-path and --config-dir."""

    name: str = "config"
    path: str | None = None
    search: str | None = None


@dataclass(frozen=True, kw_only=True)
class HydraJob:
    """What Hydra prepared for one run.

    Attributes:
        folder: Its own.
        overrides: What led to it.
        study: The name of the sweep that it is one of; None for a single run.
    """

    folder: Path
    overrides: tuple[str, ...]
    study: str | None

    @property
    def swept(self) -> bool:
        """Whether it is one of a sweep."""
        return self.study is not None


def register() -> None:
    """Tell Hydra our schema, our resolver and where our sweeper lies; harmless when called again."""
    if plugin_folder().is_dir() and str(plugin_folder()) not in sys.path:
        sys.path.append(str(plugin_folder()))  # a checkout that is not installed; Hydra scans `hydra_plugins`
    ConfigStore.instance().store(name="_schema", node=config_values(Config()))
    guard_hydra()
    # Not Hydra's `now`: processes that start within one second would share a folder.
    OmegaConf.register_new_resolver("tlexp.stamp", _stamp, replace=True, use_cache=True)


def _stamp() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{uuid.uuid4().hex[:8]}"


def load(
    overrides: Sequence[str], source: ConfigSource = ConfigSource(), *, swept: bool = False, partial: bool = False
) -> Composed:
    """Return the typed configuration that the overrides of a command line ask for.

    Args:
        overrides: `key=value` overrides.
        source: Where configurations are searched.
        swept: Leave out overrides with several values (`a=1,2`), and as each job of a sweep checks its own point, what
            `partial` does.
        partial: Leave out the rules across settings.

    Raises:
        ConfigError: Everything that is wrong, at once.
    """
    register()
    partial = partial or swept
    parsed = parse_overrides(overrides)
    wrong = {override.key_or_group: override_problems(override, own=source == ConfigSource()) for override in parsed}
    if source == ConfigSource():  # another one may choose a launcher by itself
        wrong |= launcher_problems(parsed)
    problems = [problem for found in wrong.values() for problem in found]
    if not swept:
        study = any(override.key_or_group == "study" and override.value() != "none" for override in parsed)
        problems += [several_values(override, study=study) for override in parsed if override.is_sweep_override()]
    groups = {key.split(".")[0] for key, found in wrong.items() if found}
    sound = [
        override.input_line or ""
        for override in parsed
        if override.key_or_group.split(".")[0] not in groups and not override.is_sweep_override()
    ]
    try:
        composed = _compose(sound, source)
        if not partial:
            loaded = typed(composed)
        for choice in swept_choices(override for override in parsed if not wrong[override.key_or_group]):
            _compose([*sound, choice], source)  # an option that is one of several may hold a forbidden node as well
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return Composed(config=Config(), shown={}) if partial else loaded


def _compose(overrides: list[str], source: ConfigSource) -> DictConfig:
    """Return the composed configuration with Hydra's own node, looked at but not acted upon."""
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    try:
        # Not through Hydra's own compose, which knows no --config-dir.
        hydra = Hydra.create_main_hydra2(task_name="tlexp", config_search_path=_search_path(source))
        composed = hydra.compose_config(
            source.name, overrides, run_mode=RunMode.RUN, from_shell=False, with_log_configuration=False
        )
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: Hydra, of group=null
        raise ConfigError(plain_message(error)) from error
    finally:
        GlobalHydra.instance().clear()
    forbidden = forbidden_nodes(composed)
    if forbidden:
        raise ConfigError(forbidden)
    return composed


def typed(composed: DictConfig) -> Composed:
    """Return the typed configuration of a composed one.

    Raises:
        ConfigError: Every unknown key, wrong type and broken rule at once.
    """
    problems: list[str] = []
    # Hydra's own node and the name of the chosen experiment are no settings.
    composed = OmegaConf.masked_copy(composed, [str(key) for key in composed if key not in ("hydra", "experiment")])
    try:
        raw = OmegaConf.to_container(composed, resolve=True)
        unresolved = OmegaConf.to_container(composed, resolve=False)
    except OmegaConfBaseException as error:
        raise ConfigError(plain_message(error)) from error
    assert isinstance(raw, dict)
    assert isinstance(unresolved, dict)
    learn_values(unresolved)
    config = build_config(raw, problems)
    if not problems:
        problems = [*config.problems(), *seen_name_problems(config)]
    if problems:
        raise ConfigError(problems)
    shown = run_values(config)
    hide_variables(shown, composed, unresolved)
    return Composed(config=config, shown=masked_values(shown))


def hydra_job() -> HydraJob:
    """Return the folder and the overrides of the job that Hydra is running now."""
    hydra = HydraConfig.get()
    return HydraJob(
        folder=Path(hydra.runtime.output_dir),
        overrides=tuple(_words(hydra.overrides.task)),
        study=Path(hydra.sweep.dir).name if hydra.mode is RunMode.MULTIRUN else None,
    )


def resumed_overrides(folder: Path, overrides: Sequence[str], source: ConfigSource) -> list[str]:
    """Return the overrides of an interrupted run.

    Args:
        folder: The interrupted run's folder.
        overrides: The overrides given now; they may not change what the run computes.
        source: Where configurations are searched.

    Raises:
        ConfigError: The folder is no run's, a secret has to be given again, or the overrides change its settings; the
            difference is shown.
    """
    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        raise ConfigError(
            f"resume={folder}: no run's folder ({file} is missing); name one such as outputs/<time>-<uid>"
        )
    words = [word for word in _words(OmegaConf.load(file)) if not word.startswith("resume=")]
    before = without_secrets(words, overrides, folder)
    old, new = load(before, source).config, load([*before, *overrides], source).config
    changes = [
        f"resume={folder}: {key} was {was} and would be {now}; leave it out, or start a new run without resume"
        for key, was, now in _differences(key_values(old), key_values(new))
    ]
    if changes:
        raise ConfigError(changes)
    return before


def _words(node: Any) -> list[str]:
    """Return overrides as they were given; a loop over the node would fill in references."""
    return [str(word) for word in cast(list[Any], OmegaConf.to_container(node))]


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    before, now = dict(leaves(old)), dict(leaves(new))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield key, before.get(key), now.get(key)


def _search_path(source: ConfigSource) -> ConfigSearchPath:
    """Return where Hydra would look, in its order."""
    for flag, folder in (("--config-path", source.path), ("--config-dir", source.search)):
        if folder is not None and not Path(folder).is_dir():
            raise ConfigError(f"{flag}={folder}: no such folder; leave it out to use tlexp's own configuration")
    found = create_config_search_path(str(conf_folder() if source.path is None else Path(source.path).absolute()))
    if source.search is not None:
        place = f"file://{Path(source.search).absolute()}"
        found.prepend("command-line", place, anchor=SearchPathQuery(provider="schema"))
    return found
