"""Where configurations lie: folders in which Hydra looks, and no other kind of place."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.config_source import ConfigSource as HydraSource
from omegaconf import DictConfig

from tlexp.compose.yaml_file import build, read_text
from tlexp.errors import ConfigError
from tlexp.paths import conf_folder


@dataclass(frozen=True, kw_only=True)
class ConfigSource:
    """Where configurations are searched: Hydra's --config-name, --config-path and --config-dir."""

    name: str = "config"
    path: str | None = None
    search: str | None = None


def search_path(source: ConfigSource) -> ConfigSearchPath:
    """Return where Hydra would look, in its order.

    Raises:
        ConfigError: A folder is missing.
    """
    for flag, folder in (("--config-path", source.path), ("--config-dir", source.search)):
        if folder is not None and not Path(folder).is_dir():
            raise ConfigError(f"{flag}={folder}: no such folder; leave it out to use tlexp's own configuration")
    main = conf_folder() if source.path is None else Path(source.path)
    found = create_config_search_path(f"file://{main.absolute()}")
    if source.search is not None:
        place = f"file://{Path(source.search).absolute()}"
        found.prepend("command-line", place, anchor=SearchPathQuery(provider="schema"))
    return found


class ConfigFiles(ConfigRepository):
    """The files below the folders of a search path."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Open each place."""
        self.sources = [_opened(str(each.provider), str(each.path)) for each in config_search_path.get_path()]

    def __deepcopy__(self, memo: dict[int, Any]) -> "ConfigFiles":
        """Return the same: Hydra copies it, with all schemas, lest a search path that words state be put into it.

        No word states one here, and the copy takes a tenth of a composition.
        """
        return self

    def _find_object_source(self, config_path: str, object_type: ObjectType | None) -> HydraSource | None:
        if Path(config_path).is_absolute() or ".." in Path(config_path).parts:
            raise ConfigError(
                f"{config_path}: a configuration is named by its place in the folder that is searched; name that "
                "folder with --config-dir or --config-path, and the file with --config-name"
            )
        return super()._find_object_source(config_path, object_type)


def _opened(provider: str, path: str) -> Any:
    scheme = path.partition("://")[0]
    if scheme == "file" and path != f"file://{conf_folder()}":
        return _Folder(provider, path)
    # Packages are Hydra's own and what installed plugins add. Hydra's scan loads its classes anew: only these travel.
    return SourcesRegistry.instance().resolve(scheme)(provider, path)


class _Folder(FileConfigSource):
    """A folder of configurations that did not come with tlexp."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Return a file's content, read within bounds.

        Raises:
            ConfigError: It is a link to elsewhere, or nothing that could be a configuration.
        """
        path = Path(self.path) / self._normalize_file_name(config_path)
        if not path.resolve().is_relative_to(Path(self.path).resolve()):
            raise ConfigError(
                f"{path} is a link out of {self.path}, from which alone configurations are taken: copy the file there"
            )
        text = read_text(path)
        config = build(text, path)
        if not isinstance(config, DictConfig):
            raise ConfigError(f"{path}: holds a list; a file of settings holds lines such as `labels: 20`")
        if not isinstance(config._get_node("hydra"), DictConfig | None):
            raise ConfigError(
                f"{path}: hydra holds keys, such as `run:` with `dir: PATH` below it, no value; remove it"
            )
        try:
            header = self._get_header_dict(text[:512])
        except ValueError as error:
            raise ConfigError(f"{path}:1: {error}; a first line may be `# @package _global_`") from error
        return ConfigResult(config=config, path=f"{self.scheme()}://{self.path}", provider=self.provider, header=header)
