"""Secrets at the border to Hydra: variables of the environment, what Hydra writes by itself, names that all can see."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core import utils
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers.oc import env

from tlexp.config import Config
from tlexp.errors import ConfigError
from tlexp.paths import publish
from tlexp.secrets import LEAST, MASK, keep_secret, learn_values, masked, masked_values

_STORE = "tracking.uri"
LOST = "held a secret, which is not kept"
_given: list[str] = []
"""The variables' values that configurations were given of late."""


def guard_hydra() -> None:
    """Let Hydra give out variables as secrets, and write none into a run's `.hydra`; harmless when called again."""
    OmegaConf.register_new_resolver("oc.env", _secret_variable, replace=True)
    utils._save_config = _save_config


def hide_variables(shown: dict[str, Any], composed: DictConfig, unresolved: Mapping[Any, Any]) -> None:
    """Put the reference back wherever a value came from a variable, in whatever way, and be it short or a number.

    Args:
        shown: Values by setting; changed.
        composed: What they are from.
        unresolved: The same as plain values, with references as they are.
    """
    for name, stated in unresolved.items():
        if name not in shown or "${" not in str(stated):
            continue
        if isinstance(stated, Mapping):
            hide_variables(shown[name], composed[name], stated)
        elif not isinstance(shown[name], dict) and (given := _variables_of(composed, name)):
            secret = any(len(each) >= LEAST for each in given)
            if secret and isinstance(shown[name], str) and masked(shown[name]) == shown[name]:  # a resolver changed it
                keep_secret(shown[name])
            if "${" in _server(str(stated)):  # which messages tell, whatever login stands before it
                keep_secret(_server(str(shown[name])), shown=_server(str(stated)))
            shown[name] = stated


def seen_name_problems(config: Config) -> list[str]:
    """Return which names hold secrets although everybody sees them: a study's folder, an experiment in a store."""
    seen = {"study.name": config.study.name, "tracking.experiment": config.tracking.experiment}
    return [problem for key, name in seen.items() if name is not None for problem in seen_problems(key, name)]


def seen_problems(key: str, name: str) -> list[str]:
    """Return what is wrong with a name that everybody sees."""
    public = masked(name)
    return [] if public == name else [f"{key}={public}: everybody sees this name, and it may hold no secret; type it"]


def without_secrets(words: Sequence[str], given: Sequence[str], folder: Path) -> list[str]:
    """Return the overrides that a run has kept but for those whose secrets are stated now, or by MLFLOW_TRACKING_URI.

    Args:
        words: The kept overrides.
        given: The overrides given now.
        folder: The run's.

    Raises:
        ConfigError: Nothing states a secret that was not kept.
    """
    known = {_key(word) for word in given} | ({_STORE} if os.environ.get("MLFLOW_TRACKING_URI") else set())
    lost = [word for word in words if MASK in word and _key(word) not in known]
    if lost:
        raise ConfigError(
            [
                f"resume={folder}: {word} {LOST}: give {_key(word)} again"
                + (", or set MLFLOW_TRACKING_URI" if _key(word) == _STORE else "")
                for word in lost
            ]
        )
    return [word for word in words if MASK not in word]


def _server(uri: str) -> str:
    """Return a URI without its scheme, user and password."""
    return uri.partition("://")[2].rpartition("@")[2]


def _secret_variable(name: str, *default: Any) -> str | None:
    """Return what OmegaConf's own `oc.env` does, and keep what the variable holds secret."""
    found = env(name, *default)
    if found is not None and name in os.environ:
        _given.append(found)
        keep_secret(found, shown=f"${{oc.env:{name}}}")
    return found


def _variables_of(composed: DictConfig, name: str) -> list[str]:
    """Return what the variables hold that are read to resolve a value."""
    _given.clear()
    value = composed[name]
    if OmegaConf.is_config(value):
        OmegaConf.to_container(value, resolve=True)
    return list(_given)


def _save_config(cfg: DictConfig, filename: str, output_dir: Path) -> None:
    """Write a configuration as Hydra's function of this name does, but whole and without secrets."""
    plain = OmegaConf.to_container(cfg, enum_to_str=True)
    learn_values(plain)
    output_dir.mkdir(parents=True, exist_ok=True)
    publish(output_dir / filename, OmegaConf.to_yaml(OmegaConf.create(masked_values(plain))))


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")
