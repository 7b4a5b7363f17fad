"""The configurations of many jobs."""

from collections.abc import Callable, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlexp.compose.load import Composed, typed
from tlexp.compose.overrides import parse_overrides, plain_message
from tlexp.compose.places import PLACES
from tlexp.config import GROUPS, config_fields
from tlexp.errors import ConfigError


class Compositions:
    """Composes overrides.

    That takes Hydra a tenth of a second. What chooses the same options shares one composition, to which its settings
    are applied as Hydra does.

    Args:
        compose: Lets Hydra compose overrides.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig]) -> None:
        self._compose = compose
        self._shared: dict[tuple[str, ...], DictConfig] = {}

    @classmethod
    def of_jobs(cls, loader: ConfigLoader, master: DictConfig) -> "Compositions":
        """Return those of a multirun.

        Args:
            loader: Hydra's.
            master: The configuration of the multirun itself, with the overrides that are Hydra's own.
        """
        return cls(lambda overrides: loader.load_sweep_config(master, overrides))

    def typed(self, overrides: Sequence[str]) -> Composed:
        """Return what overrides compose to.

        Raises:
            ConfigError: They do not compose, say what they may not, or do not fit together.
        """
        words = parse_overrides(overrides)
        ordered = all(_is_setting(word) or _is_choice(word) for word in words)  # what adds and deletes needs its place
        settings = [word for word in words if ordered and _is_setting(word)]
        config = self._copy(tuple(str(word.input_line) for word in words if word not in settings))
        try:
            for word in settings:
                OmegaConf.update(config, word.key_or_group, word.value(), merge=True)
        except (OmegaConfBaseException, ValueError) as error:
            raise ConfigError(plain_message(error)) from error
        return typed(config)

    def _copy(self, overrides: tuple[str, ...]) -> DictConfig:
        """Return a copy of what the overrides compose to, without Hydra's own node."""
        if overrides not in self._shared:
            self._shared[overrides] = self._compose(list(overrides))
        shared = self._shared[overrides]
        return OmegaConf.masked_copy(shared, [str(name) for name in shared if name != "hydra"])


def _is_setting(word: Override) -> bool:
    """Return whether a word sets one setting, which changes nothing else; who states a place, the loader has to see."""
    settings = config_fields().keys() - PLACES
    return word.type is OverrideType.CHANGE and word.package is None and word.key_or_group in settings


def _is_choice(word: Override) -> bool:
    return word.type is OverrideType.CHANGE and word.key_or_group in (*GROUPS, "experiment")
