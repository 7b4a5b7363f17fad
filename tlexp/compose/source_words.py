"""The flags by which a run's command named configuration files of its own."""

from pathlib import Path
from typing import Any

import yaml

from tlexp.compose.yaml_file import read_text
from tlexp.errors import ConfigError

_FILE = ".hydra/hydra.yaml"


def source_words(run: Path) -> tuple[str, ...]:
    """Return `--config-dir DIR` and `--config-name NAME` of a run's command, those that are known.

    Args:
        run: The run's folder, in which Hydra has left what it was told.
    """
    try:
        hydra: Any = yaml.safe_load(read_text(run / _FILE))["hydra"]
        sources, name = hydra["runtime"]["config_sources"], hydra["job"]["config_name"]
        stated = [str(source["path"]) for source in sources if source["provider"] == "command-line"]
    except (ConfigError, KeyError, TypeError):
        return ()
    named = [] if name in (None, "config") else ["--config-name", str(name)]
    return (*(word for folder in stated for word in ("--config-dir", folder)), *named)
