"""The border to Hydra: command line and YAML in, one typed configuration out.

Everything that Hydra would act on by itself (callbacks, launchers, loggers, targets) is looked at here first, because a
configuration may come from a paper, a colleague or a run's folder: it may choose among our names and numbers, it may
not name Python objects.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlexp.config import GROUPS, Config, config_fields, config_values, key_values
from tlexp.config.casting import build_config, check_value, nearest, unknown_key
from tlexp.errors import ConfigError
from tlexp.paths import conf_folder, conf_options

PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
"""Where a launcher or a sweeper may come from."""


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A typed configuration and its values as they may be shown.

    Attributes:
        config: What the run works with.
        shown: The same as plain values, in which a value from an environment variable stays `${oc.env:NAME}`:
            secrets are not logged.
    """

    config: Config
    shown: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where configurations are searched: Hydra's --config-name, --config-path and --config-dir."""

    name: str = "config"
    path: str | None = None
    search: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What Hydra prepared for one run: its folder, made already, and the overrides that led to it."""

    folder: Path
    overrides: tuple[str, ...]


def register() -> None:
    """Tell Hydra our schema and our resolver; harmless when called again."""
    ConfigStore.instance().store(name="_schema", node=config_values(Config()))
    # Not Hydra's `now`: processes that start within one second would share a folder.
    OmegaConf.register_new_resolver("tlexp.stamp", _stamp, replace=True)


def _stamp() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{uuid.uuid4().hex[:8]}"


def load(words: Sequence[str], source: Source = Source(), *, partial: bool = False) -> Composed:
    """Return the typed configuration that the words of a command line ask for.

    Args:
        words: `key=value` overrides.
        source: Where configurations are searched.
        partial: Leave out swept words (`a=1,2`) and the rules across settings: each job checks its own point.

    Raises:
        ConfigError: Everything that is wrong, at once.
    """
    register()
    parsed = _parse(words)
    wrong = {override.key_or_group: _override_problems(override, own=source == Source()) for override in parsed}
    problems = [problem for found in wrong.values() for problem in found]
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
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return Composed(config=Config(), shown={}) if partial else loaded


def _compose(words: list[str], source: Source) -> DictConfig:
    """Return the composed configuration with Hydra's own node, looked at but not acted upon."""
    if source.search is not None:
        words = [*words, f"hydra.searchpath=['file://{Path(source.search).resolve()}']"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(_folder(source.path))):
            composed = hydra_compose(source.name, words, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_plain(error)) from error
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
        raise ConfigError(_plain(error)) from error
    assert isinstance(raw, dict)
    assert isinstance(unresolved, dict)
    config = build_config(raw, problems)
    if not problems:
        problems = config.problems()
    if problems:
        raise ConfigError(problems)
    shown = config_values(config)
    _mask(shown, unresolved)
    return Composed(config=config, shown=shown)


def job() -> Job:
    """Return the folder and the overrides of the job that Hydra is running now."""
    hydra = HydraConfig.get()
    return Job(folder=Path(hydra.runtime.output_dir), overrides=tuple(hydra.overrides.task))


def resumed_words(folder: Path, words: Sequence[str], source: Source) -> list[str]:
    """Return the overrides of an interrupted run.

    Args:
        folder: The interrupted run's folder.
        words: The overrides given now; they may not change what the run computes.
        source: Where configurations are searched.

    Raises:
        ConfigError: The folder is no run's, or the words change its settings; the difference is shown.
    """
    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        raise ConfigError(
            f"resume={folder}: no run's folder ({file} is missing); name one such as outputs/<time>-<uid>"
        )
    before = [str(word) for word in OmegaConf.load(file) if not str(word).startswith("resume=")]
    old, new = load(before, source).config, load([*before, *words], source).config
    changes = [
        f"resume={folder}: {key} was {was} and would be {now}; leave it out, or start a new run without resume"
        for key, was, now in _differences(key_values(old), key_values(new))
    ]
    if changes:
        raise ConfigError(changes)
    return before


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    before, now = dict(_leaves(old)), dict(_leaves(new))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield key, before.get(key), now.get(key)


def forbidden_nodes(composed: DictConfig) -> list[str]:
    """Return a problem for each node that names a Python object where only values may stand."""
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    found = []
    for path, value in _leaves(values):
        name = path.rpartition(".")[2]
        if path.startswith("hydra.callbacks."):
            found.append(f"{path}={value}: hydra.callbacks run code before tlexp does and are not allowed; remove them")
        elif name == "_target_" and not (
            path in ("hydra.launcher._target_", "hydra.sweeper._target_", "hydra.sweeper.sampler._target_")
            and str(value).startswith(PLUGINS)
        ):
            found.append(f"{path}={value}: a configuration holds values, not Python objects; remove _target_")
        elif "_logging." in path and (name == "()" or (name == "class" and not str(value).startswith("logging."))):
            found.append(f"{path}={value}: only the classes of Python's logging may stand here; remove it")
    return found


def _folder(config_path: str | None) -> Path:
    folder = conf_folder() if config_path is None else Path(config_path).resolve()
    if not folder.is_dir():
        raise ConfigError(f"--config-path={config_path}: no such folder; leave it out to use tlexp's own configuration")
    return folder


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(
            f"{_plain(error)}\nan override is key=value, e.g. labels=20; quote lists for the shell: 'head.hidden=[256]'"
        ) from error


def _override_problems(override: Override, *, own: bool) -> list[str]:
    """Return what is wrong with one override, as far as it can be told before composing.

    Args:
        override: The parsed word.
        own: Whether only tlexp's own configuration folder is searched, so that its options are all there are.
    """
    key, line = override.key_or_group, override.input_line or ""
    if key.startswith("hydra.callbacks"):
        return [f"{line}: hydra.callbacks run code before tlexp does and are not allowed; remove it"]
    if "_target_" in line:
        return [f"{line}: a configuration holds values, not Python objects; remove _target_"]
    if key.startswith(("hydra.", "hydra/")) or override.is_delete():
        return []
    if key in (*GROUPS, "experiment"):
        return _option_problems(override) if own else []
    if key not in config_fields():
        return [unknown_key(key)]
    if override.is_sweep_override():
        return []
    value = override.value()
    if isinstance(value, str) and "${" in value:
        return []
    problems: list[str] = []
    check_value(key, _plain_value(value), problems)
    return problems


def _option_problems(override: Override) -> list[str]:
    group = override.key_or_group
    known = conf_options(group)
    if override.is_sweep_override() or isinstance(override.value(), dict):
        return []
    value = override.value()
    chosen = value if isinstance(value, list) else [value]
    return [
        f"{group}={name} is no option{nearest(str(name), known)}; options: {', '.join(known)}"
        + ("; for any other timm model: backbone=timm backbone.name=NAME" if group == "backbone" else "")
        for name in chosen
        if name is not None and str(name) not in known
    ]


def _plain_value(value: Any) -> Any:
    """Return a parsed override's value without Hydra's quoted-string wrapper."""
    if isinstance(value, list):
        return [_plain_value(entry) for entry in value]
    return getattr(value, "text", value)


def _plain(error: Exception) -> str:
    """Return a library's message without its technical tail."""
    lines = [
        line for line in str(error).splitlines() if not line.strip().startswith(("full_key:", "object_type=", "See "))
    ]
    return "\n".join(lines).strip()


def _leaves(node: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}.{index}")
    elif not (isinstance(node, Mapping) and not node):
        yield path, node


def _mask(shown: dict[str, Any], unresolved: Mapping[Any, Any]) -> None:
    """Put the unresolved text back wherever a value came from an environment variable."""
    for name, value in unresolved.items():
        if isinstance(value, Mapping):
            if isinstance(shown.get(name), dict):
                _mask(shown[name], value)
        elif name in shown and "oc.env" in str(value):
            shown[name] = value
