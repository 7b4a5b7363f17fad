"""What Hydra is told of tlexp in each process: schema, resolver, and where its plugins lie."""

import sys
import uuid
from datetime import datetime

from hydra import version
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from tlexp.compose.secrecy import guard_hydra
from tlexp.config import Config, config_values
from tlexp.paths import plugin_folder


def register() -> None:
    """Tell Hydra our schema, our resolvers and where our sweeper lies; harmless when called again."""
    if plugin_folder().is_dir() and str(plugin_folder()) not in sys.path:
        sys.path.append(str(plugin_folder()))  # a checkout that is not installed; Hydra scans `hydra_plugins`
    version.setbase("1.3")
    ConfigStore.instance().store(name="_schema", node=config_values(Config()))
    guard_hydra()
    # Not Hydra's `now`: processes that start within one second would share a folder.
    OmegaConf.register_new_resolver("tlexp.stamp", stamp, replace=True, use_cache=True)


def stamp() -> str:
    """Return a name for the folder of a run: the time, and signs that no other one has."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{uuid.uuid4().hex[:8]}"
