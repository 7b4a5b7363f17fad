"""Hydra's loader, which hands out no configuration that has not been looked at.

Every composition passes here: that of the command itself, of `--cfg`, `--info` and completion, and those of the runs of
a sweep, also in worker processes, to which the loader travels. So what was checked is what Hydra acts upon.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlexp.compose.config_files import ConfigFiles, ConfigSource, search_path
from tlexp.compose.hydra_node import composed_problems, file_problems, of_hydra, word_problems
from tlexp.compose.interpolation import joining_problems
from tlexp.compose.leaves import leaves
from tlexp.compose.overrides import forbidden_nodes, parse_overrides, plain_message
from tlexp.compose.places import filed_problems
from tlexp.compose.registration import register
from tlexp.errors import ConfigError

PARTS = {"hydra/hydra_logging": "none", "hydra/job_logging": "none", "hydra/sweeper": "tlexp"}
"""Parts of Hydra's, and tlexp's choice of each."""


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader, behind a look at every word, every file and what they compose to.

    Args:
        source: Where configurations are searched.

    Raises:
        ConfigError: A folder is missing.
    """

    def __init__(self, source: ConfigSource) -> None:
        register()
        self.config_search_path = search_path(source)
        self.repository = ConfigFiles(self.config_search_path)

    def __setstate__(self, state: dict[str, Any]) -> None:
        register()  # a worker process has not been told
        self.__dict__ |= state

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Return the composed configuration, as Hydra does.

        Raises:
            ConfigError: Something stands in it that may not, or it does not compose.
        """
        with _told(config_name):
            composed = super().load_configuration(
                config_name,
                overrides,
                run_mode,
                from_shell=from_shell,
                validate_sweep_overrides=validate_sweep_overrides,
            )
        words = parse_overrides(overrides)
        values: Any = OmegaConf.to_container(composed, resolve=False)
        values.pop("hydra", None)
        _refuse(joining_problems(_texts(values)))  # with what the words say
        _refuse([*composed_problems(composed, words), *forbidden_nodes(composed), *filed_problems(composed, words)])
        return composed

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        """Take words in; hydra.searchpath, which Hydra would act on here, is none of those that may be said.

        Hydra's parts are those that tlexp chooses, whatever primary configuration is used.
        """
        words = parse_overrides(overrides)
        _refuse([problem for word in words if of_hydra(word) for problem in word_problems(word)])
        said = {word.key_or_group for word in words}
        chosen = [f"{part}={option}" for part, option in PARTS.items() if part not in said]
        return [*parse_overrides(chosen), *words], CachingConfigRepository(self.repository)

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        """Compose files, before the words are applied and before Hydra acts on anything."""
        loaded = [repo.load_config(str(default.config_path)) for default in defaults]
        _refuse(joining_problems(text for each in loaded if each is not None for text in _texts(each.config)))
        composed = super()._compose_config_from_defaults_list(defaults, repo)
        _refuse([*file_problems(composed), *forbidden_nodes(composed)])
        return composed


def _texts(config: Any) -> Iterator[str]:
    plain = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    return (value for _, value in leaves(plain) if isinstance(value, str))


def _refuse(problems: Iterable[str]) -> None:
    if told := list(problems):
        raise ConfigError(told)


@contextlib.contextmanager
def _told(config_name: str | None) -> Iterator[None]:
    """Tell of what does not compose as of any other mistake."""
    try:
        yield
    except ConfigError:
        raise
    except RecursionError as error:
        raise ConfigError(
            f"{config_name}: values stand for each other without end, or too deeply; write fewer"
        ) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: Hydra, of group=null
        raise ConfigError(plain_message(error)) from error
    except Exception as error:  # Hydra asserts and indexes where a file is not what it expects
        raise ConfigError(
            f"{config_name}: Hydra cannot compose it ({type(error).__name__}: {error}); see what its files say "
            "of `defaults` and `# @package`"
        ) from error
