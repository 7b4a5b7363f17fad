"""The border to Hydra: command line and YAML in, one typed configuration out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra._internal.hydra import Hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from tlexp.compose.checked_loader import CheckedLoader
from tlexp.compose.config_files import ConfigSource
from tlexp.compose.hydra_node import of_hydra
from tlexp.compose.interpolation import joining_problems
from tlexp.compose.leaves import leaves
from tlexp.compose.overrides import (
    launcher_problems,
    override_problems,
    parse_overrides,
    plain_message,
    several_values,
    swept_choices,
)
from tlexp.compose.places import kept_problems
from tlexp.compose.secrecy import LOST, hide_variables, seen_name_problems, without_secrets
from tlexp.compose.yaml_file import build, read_text
from tlexp.config import Config, key_values, run_values
from tlexp.config.casting import build_config
from tlexp.config.sweep import Pruner
from tlexp.errors import ConfigError
from tlexp.paths import conf_folder
from tlexp.secrets import MASK, learn_values, masked_values

__all__ = [
    "Composed",
    "ConfigSource",
    "HydraJob",
    "hydra_job",
    "hydra_of",
    "load",
    "move_hydra_job",
    "resumed_overrides",
    "typed",
]


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
class HydraJob:
    """What Hydra prepared for one run.

    Attributes:
        folder: Its own.
        overrides: What led to it.
        study: The name of the sweep that it is one of; None for a single run.
        own_files: Whether tlexp's own configuration files are all that was read.
        pruner: What ends runs of its sweep early.
    """

    folder: Path
    overrides: tuple[str, ...]
    study: str | None
    own_files: bool = True
    pruner: Pruner = Pruner.none

    @property
    def swept(self) -> bool:
        """Whether it is one of a sweep."""
        return self.study is not None


def hydra_of(source: ConfigSource) -> Hydra:
    """Return Hydra, which composes through a loader that looks at everything before Hydra acts on it.

    Raises:
        ConfigError: A folder is missing.
    """
    return Hydra(task_name="tlexp", config_loader=CheckedLoader(source))


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
    loader = hydra_of(source).config_loader
    return loader.load_configuration(source.name, overrides, RunMode.RUN, from_shell=False)


def typed(composed: DictConfig) -> Composed:
    """Return the typed configuration of a composed one.

    Raises:
        ConfigError: Every unknown key, wrong type and broken rule at once.
    """
    problems: list[str] = []
    # Hydra's own node and the name of the chosen experiment are no settings.
    settings = [str(key) for key in composed if key not in ("hydra", "experiment")]
    if len(settings) < len(composed):  # a copy takes as long as all else here
        composed = OmegaConf.masked_copy(composed, settings)
    unresolved = OmegaConf.to_container(composed, resolve=False)
    if joining := list(joining_problems(text for _, text in leaves(unresolved) if isinstance(text, str))):
        raise ConfigError(joining)  # settings of jobs are applied to what others share, past the loader
    _require_values(composed, unresolved)
    try:
        raw = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(plain_message(error)) from error
    assert isinstance(raw, dict)
    assert isinstance(unresolved, dict)
    if lost := [f"{key}={value} {LOST}: give {key} again" for key, value in leaves(raw) if MASK in str(value)]:
        raise ConfigError(lost)
    learn_values(unresolved)
    config = build_config(raw, problems)
    if not problems:
        problems = [*config.problems(), *seen_name_problems(config)]
    if problems:
        raise ConfigError(problems)
    shown = run_values(config)
    hide_variables(shown, composed, unresolved)
    return Composed(config=config, shown=masked_values(shown))


def _require_values(composed: DictConfig, unresolved: Any) -> None:
    """Refuse references to what is no value: mappings of references to mappings double with each step."""
    problems = []
    for key, text in leaves(unresolved):
        if not (isinstance(text, str) and "${" in text):
            continue
        try:
            value = OmegaConf.select(composed, key)
        except OmegaConfBaseException as error:
            problems.append(f"{key}={text}: {plain_message(error)}")
        except RecursionError:
            problems.append(f"{key}={text}: refers to itself, or to others without end; write the value there")
        else:
            if OmegaConf.is_config(value):
                problems.append(f"{key}={text}: refers to several values, and takes one; write it there")
    if problems:
        raise ConfigError(problems)


def hydra_job() -> HydraJob:
    """Return the folder and the overrides of the job that Hydra is running now."""
    hydra = HydraConfig.get()
    return HydraJob(
        folder=Path(hydra.runtime.output_dir),
        overrides=tuple(_words(hydra.overrides.task)),
        study=Path(hydra.sweep.dir).name if hydra.mode is RunMode.MULTIRUN else None,
        own_files=_has_own_files(hydra),
        pruner=Pruner(hydra.sweeper.get("pruner", Pruner.none)),
    )


def move_hydra_job(folder: Path) -> None:
    """Let the job that Hydra is running now have another folder than Hydra gave it."""
    runtime = cast(DictConfig, HydraConfig.get().runtime)
    with read_write(runtime):
        runtime.output_dir = str(folder)


def _has_own_files(hydra: HydraConf) -> bool:
    """Return whether no configuration of others was read."""
    main = [source.path for source in hydra.runtime.config_sources if source.provider == "main"]
    foreign = any(source.provider == "command-line" for source in hydra.runtime.config_sources)
    return main == [str(conf_folder())] and not foreign and hydra.job.config_name == ConfigSource().name


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
    before = without_secrets(_words_of(file), overrides, folder)
    try:
        if elsewhere := kept_problems(parse_overrides(before), parse_overrides(overrides)):
            raise ConfigError(elsewhere)
        old = load([*before, *(word for word in overrides if word.startswith("resume="))], source).config
    except ConfigError as error:
        raise ConfigError([f"{file}: {problem}" for problem in error.problems]) from error
    new = load([*before, *overrides], source).config
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


def _words_of(file: Path) -> list[str]:
    """Return the words that led to a run; they are settings, for a run's folder may come from anybody."""
    stated = build(read_text(file), file)
    plain = OmegaConf.to_container(stated, resolve=False) if OmegaConf.is_list(stated) else None
    if not isinstance(plain, list) or not all(isinstance(word, str) for word in plain):
        raise ConfigError(f"{file}: holds no list of words such as labels=20; name the folder of another run")
    words = [str(word) for word in plain if not str(word).startswith("resume=")]
    try:
        foreign = [word.input_line for word in parse_overrides(words) if of_hydra(word)]
    except ConfigError as error:
        raise ConfigError([f"{file}: {problem}" for problem in error.problems]) from error
    if foreign:
        raise ConfigError([f"{file}: {word} is no setting of tlexp; remove it there" for word in foreign])
    return words


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    before, now = dict(leaves(old)), dict(leaves(new))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield key, before.get(key), now.get(key)
