"""The overrides of a command line, and what of Hydra's powers a configuration may not use.

A configuration may come from a paper, a colleague or a run's folder: it may choose among our names and numbers, it may
not name Python objects. Hydra acts on callbacks, launchers and loggers by itself, so it is looked at before.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tlexp.compose.words import torn_words
from tlexp.config import GROUPS, config_fields
from tlexp.config.casting import check_sweep_value, check_value, nearest, takes_list, unknown_key
from tlexp.errors import ConfigError
from tlexp.paths import conf_options

PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
"""Where a launcher or a sweeper may come from."""
_OTHERWISE = {
    "backbone": "; for any other timm model: backbone=timm backbone.name=NAME",
    "freeze": "; for a share or a unit: freeze=depth freeze.depth=0.5",
    "data": "; for a folder of images: data=folder data.root=PATH",
}
"""What may be meant where a group has no such option."""


def forbidden_nodes(composed: DictConfig) -> list[str]:
    """Return a problem for each node that names a Python object where only values may stand."""
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    found = []
    for path, value in leaves(values):
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


def swept_choices(parsed: Iterable[Override]) -> list[str]:
    """Return each value of each swept group as an override; settings are no danger and are left to the jobs."""
    swept = [override for override in parsed if override.is_sweep_override() and override.is_choice_sweep()]
    return [
        f"{override.input_line.partition('=')[0]}={choice}"
        for override in swept
        if override.input_line and override.key_or_group not in config_fields()
        for choice in _choices(override)
    ]


def _choices(override: Override) -> Iterable[str]:
    """Return the values of a swept group; those of a pattern are tlexp's own options, the sweeper looks at others."""
    pattern = override.value()
    if isinstance(pattern, Glob):
        return pattern.filter(conf_options(override.key_or_group))
    return override.sweep_string_iterator()


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides as Hydra understands them.

    Raises:
        ConfigError: An override that the shell tore apart, or that Hydra's grammar refuses.
    """
    if torn := torn_words(overrides):
        raise ConfigError(torn)
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(
            f"{plain_message(error)}\nan override is key=value, e.g. labels=20; quote lists for the shell, "
            "'head.hidden=[256]', "
            "and other signs for both, 'study.name=\"a (b)\"'"
        ) from error


def override_problems(override: Override, *, own: bool) -> list[str]:
    """Return what is wrong with one override, as far as it can be told before composing.

    Args:
        override: The parsed override.
        own: Whether only tlexp's own configuration folder is searched, so that its options are all there are.
    """
    key, line = override.key_or_group, override.input_line or ""
    if key.startswith("hydra.callbacks"):
        return [f"{line}: hydra.callbacks run code before tlexp does and are not allowed; remove it"]
    if "_target_" in line:
        return [f"{line}: a configuration holds values, not Python objects; remove _target_"]
    name = key.removeprefix("hydra.sweeper.")
    if name != key and name.partition(".")[0] not in ("params", "max_batch_size"):  # those are of Hydra's own sweeper
        problems: list[str] = []
        if not override.is_sweep_override():
            check_sweep_value(name, _plain_value(override.value()), problems)
        return problems
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
    problems = []
    check_value(key, _plain_value(value), problems)
    return problems


def several_values(override: Override, *, study: bool) -> str:
    """Return why an override with several values is refused, and what to write instead.

    Args:
        override: The parsed override.
        study: Whether a study is asked for, which refuses -m.
    """
    key, line = override.key_or_group, override.input_line or ""
    values = ",".join(override.sweep_string_iterator()) if override.is_choice_sweep() else "..."
    if not study and not key.startswith("study."):
        listed = f"; a list is written '{key}=[{values}]'" if takes_list(key) else ""
        return (
            f"{line} holds several values: -m runs each of them, all else takes one{listed}; quote a text that has a "
            "comma"
        )
    crossed = {"labels": "study.labels", "freeze.depth": "study.depths"}.get(key, key)
    if takes_list(crossed):
        return f"{line} holds several values: a study takes a list, '{crossed}=[{values}]'"
    return (
        f"{line} holds several values: a study takes one for each setting and crosses depths, labels and seeds by "
        "itself (study.depths, study.labels, study.seeds); type one study for each value"
    )


def launcher_problems(parsed: Sequence[Override]) -> dict[str, list[str]]:
    """Return by key what is wrong with settings of a launcher where none is chosen: Hydra's plain one has none."""
    if any(override.key_or_group == "hydra/launcher" for override in parsed):
        return {}
    return {
        override.key_or_group: [
            f"{override.input_line}: runs go one by one unless a launcher is chosen; add hydra/launcher=joblib, which "
            "needs the extra: pip install 'tlexp[parallel]'"
        ]
        for override in parsed
        if override.key_or_group.startswith("hydra.launcher.") and "_target_" not in override.key_or_group
    }


def _option_problems(override: Override) -> list[str]:
    group = override.key_or_group
    known = conf_options(group)
    value = override.value()
    if isinstance(value, dict) or (override.is_sweep_override() and not override.is_choice_sweep()):
        return []
    chosen = value if isinstance(value, list) else [value]
    if override.is_choice_sweep():
        chosen = [] if isinstance(value, Glob) else [name for name in _choices(override) if name != "null"]
    return [
        f"{group}={name} is no option{nearest(str(name), known)}; options: {', '.join(known)}"
        + _OTHERWISE.get(group, "")
        for name in chosen
        if name is not None and str(name) not in known
    ]


def _plain_value(value: Any) -> Any:
    """Return a parsed override's value without Hydra's quoted-string wrapper."""
    if isinstance(value, list):
        return [_plain_value(entry) for entry in value]
    return getattr(value, "text", value)


def plain_message(error: Exception) -> str:
    """Return a library's message without its technical tail."""
    text = re.sub(r"^\w*Exception: ", "", str(error))
    lines = [line for line in text.splitlines() if not line.strip().startswith(("full_key:", "object_type=", "See "))]
    return "\n".join(lines).strip()


def leaves(node: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Yield every value of nested mappings and lists with its dotted path."""
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from leaves(value, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            yield from leaves(value, f"{path}.{index}")
    elif not (isinstance(node, Mapping) and not node):
        yield path, node
